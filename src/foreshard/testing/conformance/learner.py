"""This module is the contract of learners: repeatable, blind to the future, restored as they were.

The made-up fleet has a busy hour every day that now and then goes over a limit, a slow leak that
ends in a restart, siblings, gaps and a cell that falls silent: enough for any model to learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.learner import Learner, Risk, RiskModel, Snapshot
from foreshard.forecast.onset import BreachRule, find_onsets, labels
from foreshard.model.errors import ForecastError
from foreshard.testing.conformance.verdict import require

__all__ = ["check_learner", "sample_history"]

CELLS = ("calm", "leaky", "busy", "silent")
GAUGES = ("cpu", "memory", "queue")
RULE = BreachRule(sustain=3, merge_gap_s=3600.0, quiet_s=3600.0)
STEP_S = 300.0
DAYS = 8
PER_DAY = round(86_400.0 / STEP_S)
LOADS = (0.0, 0.5, 1.0, 1.5)


def sample_history(*, days: int = DAYS, seed: int = 7) -> History:
    """A fleet of four cells at steps of five minutes, the same every time.

    Args:
        days: Length.
        seed: Of its weather.
    """
    t = np.arange(days * PER_DAY)
    chance = np.random.default_rng(seed)
    day = np.sin(2.0 * np.pi * (t / PER_DAY - 0.25))
    rush = chance.uniform(0.8, 1.25, size=(len(CELLS), days)).repeat(PER_DAY, axis=1)
    load = (0.45 + 0.25 * day) * (1.0 + 0.6 * (rush - 1.0) * (day > 0.8))
    load = load + chance.normal(0.0, 0.01, size=load.shape)
    value = np.empty((len(CELLS), len(GAUGES), len(t)))
    value[:, 0] = load * 1.15
    value[:, 1] = 0.4 + chance.normal(0.0, 0.01, size=load.shape)
    value[:, 2] = np.maximum(load - 0.55, 0.0) ** 2 + 0.05
    value[2, 0] *= 1.25
    # Two and a half days from a start to the limit, then it starts again.
    leak = round(2.5 * PER_DAY)
    value[1, 1] = 0.2 + 0.83 * (t % leak) / leak + chance.normal(0.0, 0.005, size=len(t))
    value[3, :, 3 * PER_DAY :] = np.nan
    value[:, :, 1000::97] = np.nan
    up_s = np.full(load.shape, np.nan)
    up_s[1] = (t % leak) * STEP_S
    history = History.of_gauges(
        value.astype(np.float32), cells=CELLS, gauges=GAUGES, step_s=STEP_S, begins_s=1.7e9
    )
    counts = history.counts.copy()
    counts[0, 2] = False
    return replace(
        history,
        counts=counts,
        scales_with_load=np.array([True, False, True]),
        load=load.astype(np.float32),
        sibling=np.array([0, 0, 0, -1], dtype=np.int32),
        up_s=up_s.astype(np.float32),
    )


def check_learner(learner: Learner, *, restore: Callable[[Snapshot], RiskModel]) -> None:
    """Hold a `Learner` and its models to their contract.

    Args:
        learner: The learner.
        restore: Of its module.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    history = sample_history()
    train = history.until(6 * PER_DAY)
    horizons_s = (900.0, 7200.0)
    before = _fingerprint(history)
    told: list[float] = []
    model = learner.fit(train, RULE, horizons_s, seed=3, progress=told.append)
    require(model.name == learner.name, f"fit: model is {model.name!r}, not {learner.name!r}")
    require(
        model.horizons_s == horizons_s,
        f"fit: horizons are {model.horizons_s}, asked for were {horizons_s}; any must work",
    )
    require(
        all(0.0 <= done <= 1.0 for done in told) and told == sorted(told),
        f"fit: progress was {told[:5]}, must rise from 0 to 1",
    )
    at = np.arange(6 * PER_DAY, 7 * PER_DAY, 7, dtype=np.int64)
    risk = model.risk(history, at, loads=LOADS)
    require(_fingerprint(history) == before, "risk or fit: changed the history it was given")
    _check_shape(risk, history, at)
    _check_sight(model, history, at, risk)
    _check_same(
        learner.fit(train, RULE, horizons_s, seed=3).risk(history, at, loads=LOADS),
        risk,
        "fit: the same history and seed gave another model; it must be deterministic",
    )
    _check_weights(learner, train, horizons_s, (history, at, risk))
    _check_same(
        restore(model.snapshot()).risk(history, at, loads=LOADS),
        risk,
        "restore: the model that came back from its snapshot says something else",
    )
    # A model that needs no training may take nothing; any other has to say so in words.
    with suppress(ForecastError):
        learner.fit(history.until(0), RULE, horizons_s, seed=3)
    try:
        restore(Snapshot(kind="nobody", settings={}))
    except ForecastError:
        return
    raise AssertionError("restore: took a snapshot that is none; raise ForecastError")


def _check_shape(risk: Risk, history: History, at: NDArray[np.int64]) -> None:
    wanted = (2, len(LOADS), len(CELLS), len(GAUGES), len(at))
    require(
        risk.by_gauge.shape == wanted,
        f"risk: by_gauge has shape {risk.by_gauge.shape}, must be {wanted}",
    )
    require(
        not np.isnan(risk.any[:, :, :3]).all(axis=(0, 1, 3)).any(),
        "risk: says nothing of a cell that is well known",
    )
    require(
        bool(np.isnan(risk.any[:, :, 3]).all()),
        "risk: says something of a cell that was silent for days; NaN = not said",
    )
    leaky, calm = np.nanmax(risk.any[1, 2, 1]), np.nanmax(risk.any[1, 2, 0])
    require(leaky > 0.0 or calm > 0.0, "risk: is 0 everywhere")
    uncounted = risk.by_gauge[:, :, ~history.counts]
    require(
        bool(np.isnan(uncounted).all()),
        "risk: says something of a gauge whose limit does not count; NaN = not said",
    )


def _check_sight(model: RiskModel, history: History, at: NDArray[np.int64], risk: Risk) -> None:
    """No sample after `at` may count, nor which others are asked for with it."""
    cut = history.until(int(at[-1]) + 1)
    _check_same(
        model.risk(cut, at, loads=LOADS), risk, "risk: looks at samples after the last one"
    )
    middle = len(at) // 2
    value = history.value.copy()
    value[:, :, int(at[middle]) + 1 :] = 0.123
    changed = model.risk(replace(history, value=value), at[: middle + 1], loads=LOADS)
    _check_same(
        changed,
        Risk(any=risk.any[..., : middle + 1], by_gauge=risk.by_gauge[..., : middle + 1]),
        "risk: what comes later changes what was said before",
    )
    alone = model.risk(history, at[middle : middle + 1], loads=LOADS)
    _check_same(
        alone,
        Risk(
            any=risk.any[..., middle : middle + 1],
            by_gauge=risk.by_gauge[..., middle : middle + 1],
        ),
        "risk: of a sample depends on which others are asked for with it",
    )


def _check_weights(
    learner: Learner,
    train: History,
    horizons_s: tuple[float, ...],
    said: tuple[History, NDArray[np.int64], Risk],
) -> None:
    """Samples that count for more must be believed more, by whoever learns from samples."""
    history, at, risk = said
    follows, _ = labels(find_onsets(train, RULE), train.steps(horizons_s[-1]))
    weight = np.where(follows, 8.0, 0.125).astype(np.float32)
    weighed = learner.fit(replace(train, weight=weight), RULE, horizons_s, seed=3)
    usual = float(np.nanmean(risk.any[-1, 2]))
    found = float(np.nanmean(weighed.risk(history, at, loads=LOADS).any[-1, 2]))
    if found > usual + 1e-6:
        return
    # What needs no training says the same whatever it was shown.
    other = learner.fit(train.until(5 * PER_DAY), RULE, horizons_s, seed=3)
    _check_same(
        other.risk(history, at, loads=LOADS),
        risk,
        f"fit: where a sample before a failure counts as much as 64 others, the risk is "
        f"{found:.6f} on average, {usual:.6f} where all count the same; it must use "
        "`History.weight`",
    )


def _check_same(one: Risk, other: Risk, because: str) -> None:
    # Sums may be taken in another order; what differs by more has seen something else.
    same = np.allclose(one.any, other.any, atol=1e-5, equal_nan=True)
    require(same and np.allclose(one.by_gauge, other.by_gauge, atol=1e-5, equal_nan=True), because)


def _fingerprint(history: History) -> tuple[bytes, ...]:
    parts = (history.value, history.load, history.up_s, history.counts, history.censored)
    return tuple(np.ascontiguousarray(part).tobytes() for part in parts)
