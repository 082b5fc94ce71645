"""This module is a forecaster that knows nothing: what any figure is worth is seen beside it."""

from __future__ import annotations

import numpy as np

from foreshard.forecast.onset import find_onsets, labels
from foreshard.lab.backtest.outline import Outline
from foreshard.lab.backtest.record import Record
from foreshard.lab.backtest.walk import Walked, stages

__all__ = ["RANDOM", "by_chance"]

RANDOM = "random"


def by_chance(record: Record, outline: Outline) -> Walked:
    """Numbers drawn without a look at anything, around the prevalence before the scored part."""
    plan = stages(record, outline)
    origin = plan[0].begin
    past = find_onsets(record.history.until(max(origin, 1)), outline.rule)
    chance = np.random.default_rng(outline.seed)
    shape = (len(record.history.cells), record.history.samples - origin)
    p = np.empty((len(outline.horizons_s), *shape), dtype=np.float32)
    for i, horizon_s in enumerate(outline.horizons_s):
        y, known = labels(past, record.history.steps(horizon_s))
        use = known & past.scored
        usual = float(y[use].mean()) if use.any() else 0.0
        # A whisper of chance: enough to rank by, too little to be a forecast.
        p[i] = usual + (1e-6 + 0.1 * usual) * (chance.random(shape) - 0.5)
    return Walked(name=RANDOM, p=np.clip(p, 0.0, 1.0), origin=origin, stages=plan, gaps=())
