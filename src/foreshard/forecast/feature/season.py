"""This module is the features of the time ahead as it was on the days before, hour for hour.

The time ahead of a sample t is (t, t + h]; a day ago it was (t - day, t - day + h], all of which
lies in the past. Its highest *held* level is what a breach is made of. A day whose level was other
than today's is told twice: as it was, and brought to today's level. `plain.season_of` says the
same in NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foreshard.forecast.feature.column import AHEAD, SHARED
from foreshard.forecast.feature.recent import mean_before
from foreshard.forecast.feature.span import DAYS

__all__ = ["describe_hours", "describe_season", "highest_held"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]

_NEAR = 0.9
_YESTERDAY = SHARED.index("above_yesterday_15m")
_HOURLY = SHARED.index("hourly_share")
_MEAN_15M = SHARED.index("mean_15m")
_SLOPE_15M = SHARED.index("slope_15m")
_AHEAD = AHEAD.index("ahead_1d")
_MEAN, _SHARE, _WIDE = (AHEAD.index(f"ahead_{k}") for k in ("mean", "share", "wide_share"))
_LIFTED, _CARRIED = AHEAD.index("lifted_mean"), AHEAD.index("carried_15m")


@njit(cache=True, nogil=True)
def highest_held(held: Array, first: int, last: int, known: int) -> float:
    """Highest of held [T] from first to last, of what is known; NaN = nothing was heard."""
    best = -np.inf
    for k in range(max(first, 0), min(last, known) + 1):
        # Never true of a NaN.
        best = max(best, held[k])
    return best if best > -np.inf else np.nan


@njit(cache=True, nogil=True)
def describe_season(
    x: Array,
    held: Array,
    where: tuple[Index, Index, Array],
    spans: tuple[int, int, int, int, int, float],
    columns: tuple[int, Array],
) -> None:
    """Fill in the features of one horizon.

    Args:
        x: [R, T].
        held: [R, T], see `blocks.hold`.
        where: Row, sample and limit of each of N places.
        spans: Horizon, tolerance, a day, 15 min, sustain, and samples in an hour.
        columns: Where the features of the horizon begin in a table [N, F], and the table; those
            of the past are there already.
    """
    rows, at, limits = where
    horizon, _, _, _, _, per_hour = spans
    first, out = columns
    for i in range(rows.size):
        r = rows[i]
        own = out[i, first:]
        _days_before((x[r], held[r]), at[i], limits[i], (out[i, _MEAN_15M], spans), own)
        for k in range(2):
            rise = out[i, _SLOPE_15M + k] * horizon / per_hour
            own[_CARRIED + k] = out[i, _MEAN_15M + k] + rise


@njit(cache=True, nogil=True)
def _days_before(
    lines: tuple[Array, Array],
    t: int,
    limit: float,
    told: tuple[float, tuple[int, int, int, int, int, float]],
    own: Array,
) -> None:
    """The features of one horizon of one row, as the days before went on at this time."""
    x, held = lines
    level, (horizon, tolerance, day, quarter, sustain, _) = told
    unit, known = 1.0 / limit, t - sustain + 1
    exact, lifted = np.empty(DAYS), np.empty(DAYS)
    own[_AHEAD:_CARRIED] = np.nan
    n, full, near, wide = 0, 0, 0, 0
    for d in range(1, min(DAYS, (t + 1) // day) + 1):
        then = t - d * day
        best = highest_held(held, then + 1, then + horizon, known)
        before = highest_held(held, then - tolerance + 1, then, known)
        after = highest_held(held, then + horizon + 1, then + horizon + tolerance, known)
        around = np.fmax(best, np.fmax(before, after))
        if d in (1, 2, 3, DAYS):
            own[_AHEAD + min(d, 4) - 1] = best * unit
        if d == 1:
            own[_WIDE + 1] = around * unit
        if np.isnan(best):
            continue
        exact[n] = best * unit
        lifted[n] = level + (best - mean_before(x, then, quarter)) * unit
        n += 1
        full += best >= limit
        near += best >= _NEAR * limit
        wide += around >= limit
    if n > 0:
        _two_highest(exact[:n], own, _MEAN)
        _two_highest(lifted[:n], own, _LIFTED)
        own[_SHARE], own[_SHARE + 1], own[_WIDE] = full / n, near / n, wide / n


@njit(cache=True, nogil=True)
def _two_highest(values: NDArray[np.float64], out: Array, place: int) -> None:
    """Mean, highest and second of values [N], NaN = unknown, into three columns."""
    best, second, total, n = np.nan, np.nan, 0.0, 0
    for v in values:
        if np.isnan(v):
            continue
        total += v
        n += 1
        if not best >= v:
            best, second = v, best
        elif not second >= v:
            second = v
    out[place] = total / n if n > 0 else np.nan
    out[place + 1], out[place + 2] = best, second


@njit(cache=True, nogil=True)
def describe_hours(
    x: Array,
    held: Array,
    where: tuple[Index, Index, Array],
    spans: tuple[int, int, int, int, int],
    out: Array,
) -> None:
    """Fill in how the level stands to yesterday's, and what returns every hour.

    Args:
        x: [R, T].
        held: [R, T], see `blocks.hold`.
        where: Row, sample and limit of each of N places.
        spans: An hour, a day, 15 min, 5 min, and sustain.
        out: [N, F]; the features of the past are there already.
    """
    rows, at, limits = where
    hour, day, quarter, slack, sustain = spans
    for i in range(rows.size):
        r, t, limit = rows[i], at[i], limits[i]
        unit = 1.0 / limit
        known = t - sustain + 1
        for k, window in enumerate((quarter, hour)):
            then = mean_before(x[r], t - day, window) if t - day >= 0 else np.nan
            out[i, _YESTERDAY + k] = out[i, _MEAN_15M + k] - then * unit
        n, full, best, newest = 0, 0, np.nan, np.nan
        for h in range(1, 25):
            then = t - h * hour
            if then < 0:
                break
            v = highest_held(held[r], then, then + slack, known)
            if h == 1:
                newest = v
            if np.isnan(v):
                continue
            n += 1
            full += v >= limit
            if not best >= v:
                best = v
        out[i, _HOURLY] = full / n if n > 0 else np.nan
        out[i, _HOURLY + 1] = best * unit
        out[i, _HOURLY + 2] = newest * unit
