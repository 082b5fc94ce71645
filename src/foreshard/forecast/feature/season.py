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

from foreshard.forecast.feature.blocks import UNHEARD, highest_between, mean_before
from foreshard.forecast.feature.column import AHEAD, SHARED
from foreshard.forecast.feature.span import DAYS

__all__ = ["describe_hours", "describe_season", "levels_before"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]

_NEAR = 0.9
_HOURS = 24
_HOURLY = SHARED.index("hourly_share")
_AHEAD = AHEAD.index("ahead_1d")
_MEAN, _SHARE, _WIDE = (AHEAD.index(f"ahead_{k}") for k in ("mean", "share", "wide_share"))
_LIFTED, _CARRIED = AHEAD.index("lifted_mean"), AHEAD.index("carried_15m")


@njit(cache=True, nogil=True, error_model="numpy")
def describe_season(
    row: tuple[Array, tuple[Array, int]],
    t: int,
    limit: float,
    spans: tuple[int, int, int, int],
    told: tuple[float, Array, Array],
    out: Array,
) -> None:
    """Fill in the features of one horizon of one row.

    Args:
        row: What was held [T] (`blocks.hold`), and the blocks of `blocks.highest_between`.
        t: Sample.
        limit: In the unit of the levels.
        spans: Horizon, tolerance, a day, and sustain.
        told: Level now, in the unit of the limit, levels on the days before [DAYS]
            (`levels_before`), and room to work in [2, DAYS].
        out: [F'], of the horizon.
    """
    held, far = row
    level, usual, (exact, lifted) = told
    horizon, tolerance, day, sustain = spans
    unit, known = 1.0 / limit, t - sustain + 1
    out[_AHEAD:_CARRIED] = np.nan
    n, full, near, wide = 0, 0, 0, 0
    oldest = min(far[1], 0)
    for d in range(1, DAYS + 1):
        then = t - d * day
        if then + 1 < oldest:
            break
        last = then + horizon
        best = highest_between(held, far, then + 1, min(last, known))
        before = highest_between(held, far, then - tolerance + 1, then)
        after = highest_between(held, far, last + 1, min(last + tolerance, known))
        around = max(best, before, after)
        if d in (1, 2, 3, DAYS):
            out[_AHEAD + min(d, 4) - 1] = _told(best, unit)
        if d == 1:
            out[_WIDE + 1] = _told(around, unit)
        if not best > UNHEARD:
            continue
        exact[n] = best * unit
        lifted[n] = level + (best - usual[d - 1]) * unit
        n += 1
        full += int(best >= limit)
        near += int(best >= _NEAR * limit)
        wide += int(around >= limit)
    if n > 0:
        _two_highest(exact[:n], out, _MEAN)
        _two_highest(lifted[:n], out, _LIFTED)
        out[_SHARE], out[_SHARE + 1], out[_WIDE] = full / n, near / n, wide / n


@njit(cache=True, nogil=True, error_model="numpy")
def levels_before(
    row: tuple[Array, tuple[Array, int]], t: int, spans: tuple[int, int], found: Array
) -> None:
    """Means of the window that ended at this time on each of the days before.

    Args:
        row: Levels [T], and the blocks of `blocks.highest_between`.
        t: Sample.
        spans: A day, and the window.
        found: [DAYS] at most; filled in.
    """
    x, far = row
    day, window = spans
    oldest = min(far[1], 0)
    for d in range(1, found.size + 1):
        then = t - d * day
        found[d - 1] = mean_before(x, far, then, window) if then >= oldest else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def describe_hours(
    row: tuple[Array, tuple[Array, int]],
    t: int,
    limit: float,
    spans: tuple[int, int, int],
    out: Array,
) -> None:
    """Fill in what returns every hour, in one row.

    Args:
        row: What was held [T] (`blocks.hold`), and the blocks of `blocks.highest_between`.
        t: Sample.
        limit: In the unit of the levels.
        spans: An hour, 5 min, and sustain.
        out: [F].
    """
    held, far = row
    hour, slack, sustain = spans
    n, full, best, newest = 0, 0, UNHEARD, UNHEARD
    oldest = min(far[1], 0)
    for h in range(1, _HOURS + 1):
        then = t - h * hour
        if then < oldest:
            break
        v = highest_between(held, far, then, min(then + slack, t - sustain + 1))
        if h == 1:
            newest = v
        n += int(v > UNHEARD)
        full += int(v >= limit)
        best = max(best, v)
    out[_HOURLY] = full / n if n > 0 else np.nan
    out[_HOURLY + 1] = _told(best, 1.0 / limit)
    out[_HOURLY + 2] = _told(newest, 1.0 / limit)


@njit(cache=True, nogil=True, error_model="numpy")
def _told(level: float, unit: float) -> float:
    """A level in fractions of the limit; NaN = nothing was heard."""
    return level * unit if level > UNHEARD else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _two_highest(values: Array, out: Array, place: int) -> None:
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
