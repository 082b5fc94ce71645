"""This module is the features of the last hours and of the week: level, spread, slope, crossings.

One pass back through the last three hours gives those of all windows; the day and the week are
read from blocks. `plain.past_of` says the same in NumPy.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foreshard.forecast.feature.blocks import UNHEARD
from foreshard.forecast.feature.column import SHARED
from foreshard.forecast.feature.span import DAYS
from foreshard.forecast.past import EVERY

__all__ = ["describe_past"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]

# In the width of the levels that they are compared with.
_NEAR = cast("float", np.float32(0.8))
# A little less, as it is asked of what was divided by the limit.
_NEARLY = 0.79
_NOTHING, _ONE = cast("float", np.float32(0.0)), cast("float", np.float32(1.0))
_NOW = SHARED.index("now")
_MEAN = SHARED.index("mean_3m")
_MAX = SHARED.index("max_5m")
_MIN = SHARED.index("min_5m")
_SD = SHARED.index("sd_15m")
_SLOPE = SHARED.index("slope_5m")
_LINE = SHARED.index("line_5m")
_BEND = SHARED.index("bend")
_AT_LIMIT = SHARED.index("at_limit_1h")
_SINCE = SHARED.index("since_limit")
_SINCE_NEAR = SHARED.index("since_near")
_AGE = SHARED.index("age")
_HEARD = SHARED.index("heard")
_DAY_MEAN = SHARED.index("mean_1d")
_ROOM = SHARED.index("room")
_ABOVE_DAY = SHARED.index("above_day")
# A gauge that usually stands at its limit has this much room.
_LEAST_ROOM = 1e-3


@njit(cache=True, nogil=True, error_model="numpy")
def describe_past(
    row: tuple[Array, tuple[Array, int]],
    t: int,
    limit: float,
    spans: tuple[tuple[int, int, int, int, int], int, int, float],
    out: Array,
) -> None:
    """Fill in the features of the past of one row, fractions of the limit.

    Args:
        row: Levels [T], and the blocks of `blocks.highest_between` that are over at t.
        t: Sample.
        limit: In the unit of the levels.
        spans: Recent windows, an hour, a day, and samples in an hour.
        out: [F].
    """
    x, (highest, begins) = row
    windows, hour, day, per_hour = spans
    _windows(x, t, limit, (windows, per_hour), out)
    since, since_near = _crossings(x, t, limit, (hour, windows[4]), out)
    back, back_near = _week(highest, t - begins, limit, day, out)
    since = since if since >= 0 else back
    since_near = since_near if since_near >= 0 else back_near
    out[_SINCE] = np.log1p(since if since >= 0 else DAYS * day)
    out[_SINCE_NEAR] = np.log1p(since_near if since_near >= 0 else DAYS * day)
    usual = out[_DAY_MEAN + 2]
    out[_ROOM] = (out[_NOW] - usual) / max(1.0 - usual, _LEAST_ROOM)
    out[_ABOVE_DAY] = out[_MEAN + 2] - out[_DAY_MEAN]


@njit(cache=True, nogil=True, error_model="numpy")
def _windows(
    x: Array,
    t: int,
    limit: float,
    spans: tuple[tuple[int, int, int, int, int], float],
    out: Array,
) -> None:
    """Level, extremes, spread and slope of x [T] in each window that ends at t.

    Each window is the one before and a stretch more, so that no sample is read twice.
    """
    windows, per_hour = spans
    unit = 1.0 / limit
    out[_NOW] = x[t] * unit
    n, s, q, sk, skk, skv, low, high = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.inf, -np.inf
    for w in range(5):
        first = max(t - windows[w] + 1, 0)
        before = windows[w - 1] if w > 0 else 0
        part = _sums(x[first : max(t - before + 1, 0)], first - t)
        n, s, q = n + part[0], s + part[1], q + part[2]
        sk, skk, skv = sk + part[3], skk + part[4], skv + part[5]
        low, high = min(low, part[6]), max(high, part[7])
        mean = s / n if n > 0.0 else np.nan
        bend = n * skk - sk * sk
        slope = (n * skv - sk * s) / bend if bend > 0.0 else np.nan
        out[_MEAN + w] = mean * unit
        if w > 0:
            out[_MAX + w - 1] = high * unit if n > 0.0 else np.nan
        if 0 < w < 4:
            out[_MIN + w - 1] = low * unit if n > 0.0 else np.nan
            out[_SLOPE + w - 1] = slope * per_hour * unit
            out[_LINE + w - 1] = (mean + slope * (windows[w] - sk / n)) * unit
        if 1 < w < 4:
            out[_SD + w - 2] = np.sqrt(max(q / n - mean * mean, 0.0)) * unit
    out[_BEND] = out[_SLOPE + 1] - out[_SLOPE + 2]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"nsz", "reassoc"})
def _sums(x: Array, when: int) -> tuple[float, float, float, float, float, float, float, float]:
    """What is to be known of x [N], of which the first is of the time `when`.

    Of what was heard: number, sum, sum of squares, of times, of their squares, of times with
    levels, lowest and highest.
    """
    n, s, q, sk, skk, skv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for i in range(x.size):
        is_heard = x[i] == x[i]
        v = np.float64(x[i]) if is_heard else 0.0
        one = 1.0 if is_heard else 0.0
        k = float(when + i)
        n += one
        s += v
        q += v * v
        sk += k * one
        skk += k * k * one
        skv += k * v
        # Never true of a NaN.
        low = min(low, x[i])
        high = max(high, x[i])
    return n, s, q, sk, skk, skv, np.float64(low), np.float64(high)


@njit(cache=True, nogil=True, error_model="numpy")
def _crossings(
    x: Array, t: int, limit: float, spans: tuple[int, int], out: Array
) -> tuple[int, int]:
    """Samples since x [T] was at the limit and near it, -1 = not in the last hours."""
    hour, longest = spans
    since, since_near, full, heard = -1, -1, 0, 0
    last_hour = x[max(t - hour + 1, 0) : t + 1]
    for v in last_hour:
        heard += v == v  # noqa: PLR0124 - a NaN is not itself
        full += v >= limit
    out[_AT_LIMIT], out[_HEARD] = full, heard / hour
    out[_AGE] = np.nan
    for k in range(min(longest, t + 1)):
        if not np.isnan(x[t - k]):
            out[_AGE] = k
            break
    # Mostly it was near the limit at no time, and then there is nothing to look for.
    if not out[_MAX + 3] >= _NEARLY:
        return since, since_near
    for k in range(min(longest, t + 1)):
        v = x[t - k]
        if since_near < 0 and v >= _NEAR * limit:
            since_near = k
        if v >= limit:
            since = k
            break
    return since, since_near


@njit(cache=True, nogil=True, error_model="numpy")
def _week(highest: Array, back: int, limit: float, day: int, out: Array) -> tuple[int, int]:
    """Samples since a block [K] of a row was at the limit and near it, -1 = not in the week.

    `back` samples ago the first block began.
    """
    unit = 1.0 / limit
    last, in_day = highest.size - 1, max(day // EVERY, 1)
    total, n, high, full, near = 0.0, 0, UNHEARD, 0, 0
    for d in range(DAYS):
        newest = last - d * in_day
        of_day = highest[max(newest - in_day + 1, 0) : max(newest + 1, 0)]
        s, count, best, at_limit, close = _day(of_day, limit, _NEAR * limit)
        total += s
        n += count
        full += at_limit
        near += close
        high = max(high, best)
        if d == 0:
            out[_DAY_MEAN] = total / n * unit if n > 0 else np.nan
            out[_DAY_MEAN + 1] = high * unit if n > 0 else np.nan
            out[_DAY_MEAN + 4] = full
    out[_DAY_MEAN + 2] = total / n * unit if n > 0 else np.nan
    out[_DAY_MEAN + 3] = high * unit if n > 0 else np.nan
    out[_DAY_MEAN + 5], out[_DAY_MEAN + 6] = full, near
    first = max(last - DAYS * in_day + 1, 0)
    since = _newest(highest, first, last, limit) if full > 0 else -1
    since_near = _newest(highest, first, last, _NEAR * limit) if near > 0 else -1
    return (
        back - since * EVERY - EVERY // 2 if since >= 0 else -1,
        back - since_near * EVERY - EVERY // 2 if since_near >= 0 else -1,
    )


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _day(highest: Array, limit: float, near: float) -> tuple[float, int, float, int, int]:
    """Sum, number and highest of blocks [K] that were heard; those at the limit, and near it."""
    # Counts in the width of the levels, so that several are worked on at a time.
    total, n, full, close, best = _NOTHING, _NOTHING, _NOTHING, _NOTHING, UNHEARD
    for v in highest:
        total += v if v > UNHEARD else _NOTHING
        n += _ONE if v > UNHEARD else _NOTHING
        best = max(best, v)
    if best >= near:
        for v in highest:
            full += _ONE if v >= limit else _NOTHING
            close += _ONE if v >= near else _NOTHING
    return total, int(n), best, int(full), int(close)


@njit(cache=True, nogil=True, error_model="numpy")
def _newest(highest: Array, first: int, last: int, level: float) -> int:
    """The newest block from first to last that reached a level, -1 = none."""
    for k in range(last, first - 1, -1):
        if highest[k] >= level:
            return k
    return -1
