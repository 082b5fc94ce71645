"""A small shop for the tests of backtests, and outlines over it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from foreshard.forecast.baseline import HeadroomLearner, PredictLinearLearner
from foreshard.forecast.limit import LimitRule
from foreshard.forecast.onset import BreachRule
from foreshard.lab.backtest.outline import GaugeColumn, Outline, Reading
from foreshard.lab.backtest.record import Record, lay
from foreshard.lab.backtest.trial import Outcome, put_on_trial
from foreshard.ports import Samples

__all__ = ["OUTLINE", "ignore", "outcome", "record", "samples"]

STEP_S = 300.0
PER_DAY = 288

OUTLINE = Outline(
    name="shop",
    about="A cell runs out of memory.",
    reading=Reading(
        gauges=(
            GaugeColumn(name="memory", source="memory", limit=LimitRule(absolute=1.0)),
            GaugeColumn(
                name="cpu", source="cpu", limit=LimitRule(quantile=0.99, min_headroom=0.5)
            ),
        ),
        step_s=STEP_S,
    ),
    rule=BreachRule(sustain=2, merge_gap_s=3600.0, quiet_s=1800.0),
    horizons_s=(900.0, 3600.0),
    calibration_s=2.0 * 86_400.0,
    seed=3,
)


def samples(*, days: int = 8, cells: int = 3, seed: int = 5) -> Samples:
    """Memory leaks for half a day, or a little more, until it is freed."""
    chance = np.random.default_rng(seed)
    t = np.arange(days * PER_DAY)
    memory, cpu = [], []
    for c in range(cells):
        life = 120 + 13 * c
        memory.append(0.3 + 0.75 * ((t + 17 * c) % life) / life + chance.normal(0, 0.01, len(t)))
        cpu.append(0.5 + 0.2 * np.sin(2 * np.pi * t / PER_DAY) + chance.normal(0, 0.02, len(t)))
    return Samples(
        entities=tuple(f"cell-{c}" for c in range(cells)),
        groups=("a",) * (cells - 1) + ("",),
        entity=np.repeat(np.arange(cells, dtype=np.int32), len(t)),
        time_s=np.tile(1.7e9 + STEP_S * t, cells),
        columns={"memory": np.concatenate(memory), "cpu": np.concatenate(cpu)},
    )


def record(outline: Outline = OUTLINE) -> Record:
    """The shop on its grid."""
    return lay(samples(), outline)


def ignore(*_: object) -> None:
    """Tell nobody."""


@cache
def outcome(refit_s: float | None = 86_400.0) -> Outcome:
    """The shop's backtest, run once."""
    outline = replace(OUTLINE, refit_s=refit_s)
    learners = (HeadroomLearner(), PredictLinearLearner())
    return put_on_trial(record(outline), outline, learners, tell=ignore)
