"""This module is how a `LoadResponse` is learned: from how gauges swing as the load does.

Changes within a quarter of an hour count, not levels: a leak that grew while the day did is no
effect of the day.

- `idle`: the median over the cells of the intercept of a robust line.
- `driver`: what load moves goes *down* with it as well. Only falls of the driver decide whether a
  gauge hangs on it, so a leak under a rising day does not.
- `stays`: while the level says the same, chance tells the two apart: work that has grown dearer
  swings with the load by as much more. One case is too short to say so (a slope of 1 or 0, with a
  deviation of 1), all cases of a fleet together are not. Without any, either is as likely.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.response import (
    BINS,
    LEAST_WORK,
    NO_DRIVER,
    STAYS,
    LoadResponse,
    ramps,
    usual_cost,
)
from foreshard.forecast.trail import trailing_mean

__all__ = ["learn_response"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Means over so long, changes within so long, and what is mended within an hour is one case.
_MEAN_S, _CHANGE_S, _CASE_S = 300.0, 900.0, 3_600.0
_DAY_S = 86_400.0
# What is learned from: the newest days of so many cells, and so many changes of a gauge.
_DAYS, _CELLS, _CHANGES = 7.0, 200, 100_000
_FEWEST_CHANGES = 100
# A gauge hangs on another whose falls tell so much of the square of its changes.
_TELLING = 0.1
# Neighbouring bins are alike: a change of slope between two counts as so many of the changes seen.
_STIFFNESS = 1e-3
_LEAST_LEVEL = 1e-3
# An excess counts from here on, in limits; a gauge at its limit no longer says what it would need.
_EXCESS, _FULL = 0.15, 0.98
# A swing is what leaves the mean of so many samples: whatever grows, it hardly grew in them.
_SWING = 5
# Load and gauges are read at different moments, so that less than the truth is seen of a swing:
# less than this part, and nothing can be told.
_LEAST_SWING = 0.2
# Deviation of `stays` before any case is seen.
_STAYS_SD = 0.5


def learn_response(history: History) -> LoadResponse:
    """Learn what load does to the gauges of a fleet, from the newest days of some of its cells."""
    found = LoadResponse.declared(history.gauges)
    cells = np.unique(np.linspace(0, len(history.cells) - 1, _CELLS).astype(np.int64))
    first = max(history.samples - history.steps(_DAYS * _DAY_S), 0)
    load = history.load[cells, first:]
    counted = history.counts[cells].any(axis=0)
    follows = np.flatnonzero(history.scales_with_load & counted)
    if np.isnan(load).all() or not len(follows):
        return found
    value, up_s = history.value[cells, :, first:], history.up_s[cells, first:]
    mean = max(round(_MEAN_S / history.step_s), 1)
    apart = max(mean, round(_CHANGE_S / history.step_s))
    steady = ~(up_s[:, apart:] < (apart + mean) * history.step_s)
    smooth = trailing_mean(load, mean)
    drivers = {int(j): trailing_mean(value[:, j], mean) for j in follows}
    for j, level in drivers.items():
        found.idle[j] = _idle(level, smooth, steady, apart)
    levels = {}
    for g in np.flatnonzero(counted).tolist():
        level = trailing_mean(value[:, g], mean)
        if g in drivers:
            # What a unit of load takes of it.
            level = (level - found.idle[g]) / np.where(smooth >= LEAST_WORK, smooth, np.nan)
        levels[g] = np.log(np.maximum(level, _LEAST_LEVEL))
    _find_drivers(found, levels, drivers, steady, apart)
    for j in drivers:
        need = load
        if found.driver[j] != NO_DRIVER:
            need = load * np.exp(found.logarithm(j, value[:, found.driver[j]])).astype(np.float32)
        found.stays[j] = _stays(history, value[:, j], need, float(found.idle[j]))
    return found


def _find_drivers(
    found: LoadResponse,
    levels: Mapping[int, NDArray[np.floating]],
    drivers: Mapping[int, NDArray[np.floating]],
    steady: Flags,
    apart: int,
) -> None:
    """Fill in what each gauge, given as logarithms, hangs on."""
    hangs = [
        (*_hangs(level, driver, steady, apart), g, j)
        for g, level in levels.items()
        for j, driver in drivers.items()
        if j != g
    ]
    # The clearest first; nothing hangs on what hangs on something else.
    for told, slope, g, j in sorted(hangs, key=lambda hang: (-hang[0], hang[2], hang[3])):
        is_free = found.driver[g] == found.driver[j] == NO_DRIVER and g not in found.driver
        if told > _TELLING and is_free:
            found.driver[g], found.slope[g] = j, slope


def _idle(
    level: NDArray[np.floating], load: NDArray[np.floating], steady: Flags, apart: int
) -> float:
    """What a gauge is without load, in the median cell."""
    idle = []
    for x, work, fit in zip(level, load, steady, strict=True):
        rise, more = x[apart:] - x[:-apart], work[apart:] - work[:-apart]
        used = fit & ~np.isnan(rise) & ~np.isnan(more)
        if used.sum() < _FEWEST_CHANGES:
            continue
        y, w = rise[used].astype(np.float64), more[used].astype(np.float64)
        kept = np.ones(len(y), dtype=bool)
        cost = 0.0
        # Faults come and go within a quarter of an hour: what is far off the line is one of them.
        for _ in range(4):
            cost = float(y[kept] @ w[kept] / max(w[kept] @ w[kept], 1e-12))
            off = np.abs(y - cost * w)
            kept = off <= 4.5 * np.median(off)
        idle.append(float(np.nanmedian(x - cost * work)))
    return max(float(np.median(idle)), 0.0) if idle else 0.0


def _stays(
    history: History, value: NDArray[np.float32], load: NDArray[np.float32], idle: float
) -> float:
    """How likely an excess of a gauge does not follow the load."""
    day, case = history.steps(_DAY_S), history.steps(_CASE_S)
    late = _SWING // 2
    # Excess and load as they are around a sample, not up to it.
    usual = np.full(load.shape, np.nan)
    for first in range(0, load.shape[1], day):
        part = slice(first, first + day)
        usual[:, part] = usual_cost(value[:, part], load[:, part], idle)[:, None]
    beyond = (value - idle - usual * load).astype(np.float32)
    around, work = (np.full(load.shape, np.nan) for _ in range(2))
    around[:, : load.shape[1] - late] = trailing_mean(beyond, _SWING)[:, late:]
    work[:, : load.shape[1] - late] = trailing_mean(load, _SWING)[:, late:]
    swing = load - work
    well = (around < 0.5 * _EXCESS) & (around > -0.5 * _EXCESS) & (value < _FULL)
    own = usual * swing
    level = np.full(load.shape, np.nan)
    level[:, : load.shape[1] - late] = trailing_mean(value, _SWING)[:, late:]
    seen, _ = _through_cases(own, value - level, well, case)
    if not seen > _LEAST_SWING:
        return STAYS
    ill = (around > _EXCESS) & (work >= LEAST_WORK) & (value < _FULL)
    dearer = around / np.maximum(work, LEAST_WORK) * swing
    follows, sd = _through_cases(dearer, (beyond - around) - (seen - 1.0) * own, ill, case)
    if not np.isfinite(sd):
        return STAYS
    follows, sd = follows / seen, max(sd / seen, 1e-6)
    prior, told = 1.0 / _STAYS_SD**2, 1.0 / sd**2
    return float(np.clip(1.0 - (prior * STAYS + told * follows) / (prior + told), 0.0, 1.0))


def _through_cases(x: Array, y: Array, used: Flags, case: int) -> tuple[float, float]:
    """Slope of y over x, and its deviation by what differs between cases; inf = too few."""
    fit = used & np.isfinite(x) & np.isfinite(y)
    starts = np.arange(0, x.shape[1], case)
    q, r = np.where(fit, x, 0.0), np.where(fit, y, 0.0)
    square = np.add.reduceat(q * q, starts, axis=1).ravel()
    both = np.add.reduceat(q * r, starts, axis=1).ravel()
    if np.count_nonzero(square) < 3:
        return np.nan, np.inf
    total = square.sum()
    slope = both.sum() / total
    return float(slope), float(np.sqrt(((both - slope * square) ** 2).sum()) / total)


def _hangs(
    level: NDArray[np.floating], driver: NDArray[np.floating], steady: Flags, apart: int
) -> tuple[float, Array]:
    """What the falls of a driver tell of the changes of a gauge, and the curve."""
    every = max(level.size // _CHANGES, 1)
    rise = (level[:, apart:] - level[:, :-apart])[:, ::every]
    after, before = driver[:, apart::every], driver[:, :-apart:every]
    used = steady[:, ::every] & ~np.isnan(rise) & ~np.isnan(after) & ~np.isnan(before)
    y = rise[used].astype(np.float64)
    design = ramps(after[used]) - ramps(before[used])
    falls = after[used] < before[used]
    if falls.sum() < _FEWEST_CHANGES:
        return 0.0, np.zeros(BINS)
    of_falls = _rising_line(design[falls], y[falls])
    left = y[falls] - design[falls] @ of_falls
    told = 1.0 - float(left @ left) / max(float(y[falls] @ y[falls]), 1e-12)
    return told, _rising_line(design, y)


def _rising_line(design: Array, y: Array) -> Array:
    """Least squares with slopes >= 0 that change little from bin to bin."""
    step = np.diff(np.eye(BINS), axis=0)
    stiff = _STIFFNESS * len(y) * float(design.sum(axis=1).var()) + 1e-9
    gram = design.T @ design + stiff * (step.T @ step)
    aim = design.T @ y
    slope = np.zeros(BINS)
    # Coordinate by coordinate: no slope falls below 0 on the way.
    for _ in range(2_000):
        before = slope.copy()
        for k in range(BINS):
            slope[k] = max(slope[k] + (aim[k] - gram[k] @ slope) / max(gram[k, k], 1e-12), 0.0)
        if float(np.abs(slope - before).max()) < 1e-6:
            break
    return slope
