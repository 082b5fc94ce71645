"""A fleet whose failures announce themselves at a level of another gauge, which drifts.

The `pool` is at its limit for a while, an hour after the `hint` rose to a level that is 0.8 in the
beginning and moves by some hundredths a day.
"""

from __future__ import annotations

import numpy as np

from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule

__all__ = ["HORIZONS_S", "PER_DAY", "RULE", "STEP_S", "drifting"]

STEP_S = 300.0
PER_DAY = 288
HORIZONS_S = (900.0, 3600.0)
RULE = BreachRule(sustain=3, merge_gap_s=3600.0, quiet_s=3600.0)


def drifting(
    days: int, *, cells: int = 8, a_day: float = -0.06, seed: int = 1, is_quiet: bool = False
) -> History:
    """A history of some days.

    Args:
        days: How long.
        cells: How many.
        a_day: By how much the level moves.
        seed: Of its weather.
        is_quiet: The hint is far from any limit, and the pool restless: who looks at nothing but
            the room that is left is no wiser.
    """
    draw = np.random.default_rng(seed)
    t = np.arange(days * PER_DAY)
    level = np.clip(0.8 + a_day * (t // PER_DAY), 0.1, 1.1)
    hint = np.empty((cells, len(t)))
    pool = draw.normal(0.4, 0.12 if is_quiet else 0.03, size=(cells, len(t)))
    for c in range(cells):
        hint[c] = level - 0.25 + draw.normal(0.0, 0.02, size=len(t))
        at = int(draw.integers(20, 120))
        while at + 30 < len(t):
            # The hint rises over twelve steps; then the pool is exhausted for eight.
            hint[c, at : at + 12] = level[at] + draw.normal(0.0, 0.02, size=12)
            pool[c, at + 12 : at + 20] = 1.05
            at += 30 + int(draw.integers(0, 200))
    value = np.stack([pool, hint * (0.4 if is_quiet else 1.0)], axis=1).astype(np.float32)
    history = History.of_gauges(
        value,
        cells=tuple(f"cell-{c}" for c in range(cells)),
        gauges=("pool", "hint"),
        step_s=STEP_S,
        begins_s=1_000_200.0,
    )
    history.counts[:, 1] = False
    return history
