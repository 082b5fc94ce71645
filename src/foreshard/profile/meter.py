"""This module is a cell's meter held against itself: what grows everywhere alike is its doing.

Memory, disk, threads and descriptors stand by themselves. Nothing that befalls a cell fills each
by the same factor, but a meter that is off does (another unit, another limit, an exporter gone
astray). Each gauge has a quick and a slow mean of its logarithm; the growth between the two that
*all* steady gauges of a cell share is believed of the meter, and a cell's use is read by so much
less. `forecast.yardstick` does the same to the past that trends are sought in.

Known weakness: what a meter has shown for half an hour passes for the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError

__all__ = ["MeterState", "growth", "start_meter", "update_meter"]

Array = NDArray[np.float64]

_FAST_S, _SLOW_S = 10.0, 1_800.0
# Until a gauge was read for so long its means are plain ones, and tell nothing.
_WARM_S = 60.0
# So many gauges have nothing in common, and an almost empty one has no proportion.
_FEWEST_GAUGES = 4
_LEAST_LEVEL = 0.02
# A gauge that scatters more than this around its quick mean has no share in the verdict.
_MOST_SCATTER = 0.1
# Less in common is chance.
_LEAST_GROWTH = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeterState:
    """What is known of C cells' steady gauges; never changed in place.

    Attributes:
        gauges: G names.
        fast: [C, G] quick mean of the log level, NaN = never read.
        slow: [C, G] slow mean.
        scatter: [C, G] mean distance of a reading from the quick mean.
        read_s: [C, G] for how long it was read.
        started_s: [C] when the process began that was read last.
    """

    gauges: tuple[str, ...]
    fast: Array
    slow: Array
    scatter: Array
    read_s: Array
    started_s: Array


def start_meter(cells: int) -> MeterState:
    """Nothing was read."""
    none = np.full((cells, 0), np.nan)
    return MeterState(
        gauges=(),
        fast=none,
        slow=none,
        scatter=none,
        read_s=np.zeros((cells, 0)),
        started_s=np.full(cells, np.nan),
    )


def update_meter(
    state: MeterState,
    gauges: tuple[str, ...],
    level: Array,
    *,
    started_s: Array,
    dt_s: float,
) -> MeterState:
    """Take in one reading; a process that began anew has no past.

    Args:
        state: Before.
        gauges: G' names, of those that do not follow the load.
        level: [C, G'] fractions of the limit, NaN = not read.
        started_s: [C] when each process began, NaN = not known.
        dt_s: Since the reading before, > 0.

    Raises:
        ForecastError: Shapes do not match, or `dt_s` is not > 0.
    """
    cells = len(state.started_s)
    if level.shape != (cells, len(gauges)) or started_s.shape != (cells,) or not dt_s > 0.0:
        raise ForecastError(
            f"meter: level {level.shape}, started_s {started_s.shape}, dt_s {dt_s}: must be "
            f"{(cells, len(gauges))}, {(cells,)} and > 0"
        )
    state = _widened(state, gauges)
    place = [state.gauges.index(name) for name in gauges]
    read = np.full(state.fast.shape, np.nan)
    read[:, place] = level
    told = read >= _LEAST_LEVEL
    log = np.log(np.where(told, read, 1.0))
    is_new = np.abs(started_s - state.started_s) > 1.0
    known = np.where(is_new[:, None], 0.0, state.read_s)
    first = known <= 0.0
    read_s = np.where(told, known + dt_s, known)
    fast, slow, scatter = (
        np.where(first, at, before)
        for before, at in ((state.fast, log), (state.slow, log), (state.scatter, 0.0))
    )
    quick = -np.expm1(-dt_s / np.clip(read_s, dt_s, _FAST_S))
    smooth = -np.expm1(-dt_s / np.clip(read_s, dt_s, _SLOW_S))
    off = np.abs(log - fast)
    return replace(
        state,
        fast=np.where(told, fast + quick * (log - fast), fast),
        slow=np.where(told, slow + smooth * (log - slow), slow),
        scatter=np.where(told, scatter + quick * (off - scatter), scatter),
        read_s=read_s,
        started_s=np.where(np.isnan(started_s), state.started_s, started_s),
    )


def growth(state: MeterState) -> Array:
    """[C] factor by which a cell's meter shows too much; 1 = nothing speaks against it."""
    if len(state.gauges) < _FEWEST_GAUGES:
        return np.ones(len(state.started_s))
    apart = state.fast - state.slow
    counts = (state.read_s > _WARM_S) & (state.scatter <= _MOST_SCATTER)
    least = np.where(counts, apart, np.inf).min(axis=1)
    is_judged = counts.sum(axis=1) >= _FEWEST_GAUGES
    return np.where(is_judged & (least > np.log1p(_LEAST_GROWTH)), np.exp(least), 1.0)


def _widened(state: MeterState, gauges: tuple[str, ...]) -> MeterState:
    """With room for gauges that were never read."""
    new = tuple(name for name in gauges if name not in state.gauges)
    if not new:
        return state
    cells = len(state.started_s)

    def wider(held: Array, filling: float) -> Array:
        return np.hstack((held, np.full((cells, len(new)), filling)))

    return replace(
        state,
        gauges=(*state.gauges, *new),
        fast=wider(state.fast, np.nan),
        slow=wider(state.slow, np.nan),
        scatter=wider(state.scatter, np.nan),
        read_s=wider(state.read_s, 0.0),
    )
