"""This module is the features of the last hours and of the week: level, spread, slope, crossings.

One pass back through the last three hours gives those of all windows; the day and the week are
read from blocks. `plain.past_of` says the same in NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foreshard.forecast.feature.column import SHARED
from foreshard.forecast.feature.span import DAYS

__all__ = ["describe_past", "mean_before"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]

_NEAR = 0.8
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


@njit(cache=True, nogil=True)
def mean_before(x: Array, t: int, window: int) -> float:
    """Mean of the last `window` samples of x [T] up to t; NaN = none was heard."""
    total, count = 0.0, 0
    for k in range(max(t - window + 1, 0), t + 1):
        if not np.isnan(x[k]):
            total += x[k]
            count += 1
    return total / count if count > 0 else np.nan


@njit(cache=True, nogil=True)
def describe_past(
    x: Array,
    blocks: tuple[Array, Array, Array, int, int],
    where: tuple[Index, Index, Array],
    spans: tuple[tuple[int, int, int, int, int], int, int, float],
    out: Array,
) -> None:
    """Fill in the features of the past, fractions of the limit.

    Args:
        x: [R, T].
        blocks: Highest, sum and number [R, K], length, and where block 0 begins.
        where: Row, sample and limit of each of N places; the limit in the unit of x.
        spans: Recent windows, an hour, a day, and samples in an hour.
        out: [N, F].
    """
    rows, at, limits = where
    highest, total, number, length, first = blocks
    windows, hour, day, per_hour = spans
    for i in range(rows.size):
        r, t, limit = rows[i], at[i], limits[i]
        _windows(x[r], t, limit, (windows, per_hour), out[i])
        since, since_near = _crossings(x[r], t, limit, (hour, windows[4]), out[i])
        back, back_near = _week(
            (highest[r], total[r], number[r]), t - first, limit, (length, day), out[i]
        )
        since = since if since >= 0 else back
        since_near = since_near if since_near >= 0 else back_near
        out[i, _SINCE] = np.log1p(since if since >= 0 else DAYS * day)
        out[i, _SINCE_NEAR] = np.log1p(since_near if since_near >= 0 else DAYS * day)
        usual = out[i, _DAY_MEAN + 2]
        out[i, _ROOM] = (out[i, _NOW] - usual) / max(1.0 - usual, _LEAST_ROOM)
        out[i, _ABOVE_DAY] = out[i, _MEAN + 2] - out[i, _DAY_MEAN]


@njit(cache=True, nogil=True)
def _windows(
    x: Array,
    t: int,
    limit: float,
    spans: tuple[tuple[int, int, int, int, int], float],
    out: Array,
) -> None:
    """Level, extremes, spread and slope of x [T] in each window that ends at t."""
    windows, per_hour = spans
    unit = 1.0 / limit
    out[_NOW] = x[t] * unit
    for w in range(5):
        mean, spread, slope, middle, low, high = _moments(x, t, windows[w])
        out[_MEAN + w] = mean * unit
        if w > 0:
            out[_MAX + w - 1] = high * unit
        if 0 < w < 4:
            out[_MIN + w - 1] = low * unit
            out[_SLOPE + w - 1] = slope * per_hour * unit
            out[_LINE + w - 1] = (mean + slope * (windows[w] - middle)) * unit
        if 1 < w < 4:
            out[_SD + w - 2] = spread * unit
    out[_BEND] = out[_SLOPE + 1] - out[_SLOPE + 2]


@njit(cache=True, nogil=True)
def _moments(x: Array, t: int, window: int) -> tuple[float, float, float, float, float, float]:
    """Mean, standard deviation, slope a sample, mean time, lowest and highest; or NaN."""
    n, s, q, sk, skk, skv = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    low, high = np.inf, -np.inf
    for k in range(min(window, t + 1)):
        v = x[t - k]
        if not np.isnan(v):
            n += 1
            s += v
            q += v * v
            sk -= k
            skk += float(k) * k
            skv -= k * v
            low, high = min(low, v), max(high, v)
    if n == 0:
        return np.nan, np.nan, np.nan, np.nan, np.nan, np.nan
    mean = s / n
    bend = n * skk - sk * sk
    slope = (n * skv - sk * s) / bend if bend > 0.0 else np.nan
    return mean, np.sqrt(max(q / n - mean * mean, 0.0)), slope, sk / n, low, high


@njit(cache=True, nogil=True)
def _crossings(
    x: Array, t: int, limit: float, spans: tuple[int, int], out: Array
) -> tuple[int, int]:
    """Samples since x [T] was at the limit and near it, -1 = not in the last hours."""
    hour, longest = spans
    since, since_near, full, heard, age = -1, -1, 0, 0, -1
    for k in range(min(longest, t + 1)):
        v = x[t - k]
        if np.isnan(v):
            continue
        if age < 0:
            age = k
        if k < hour:
            heard += 1
            full += v >= limit
        if since < 0 and v >= limit:
            since = k
        if since_near < 0 and v >= _NEAR * limit:
            since_near = k
    out[_AT_LIMIT], out[_HEARD] = full, heard / hour
    out[_AGE] = age if age >= 0 else np.nan
    return since, since_near


@njit(cache=True, nogil=True)
def _week(
    blocks: tuple[Array, Array, Array],
    back: int,
    limit: float,
    spans: tuple[int, int],
    out: Array,
) -> tuple[int, int]:
    """Samples since a block [K] of a row was at the limit and near it, -1 = not in the week.

    `back` samples ago the first block began.
    """
    highest, total, number = blocks
    length, day = spans
    unit = 1.0 / limit
    last, in_day = (back + 1) // length - 1, day // length
    s, n, high, full, near = 0.0, 0.0, -np.inf, 0, 0
    since, since_near = -1, -1
    for d in range(DAYS):
        newest = last - d * in_day
        for k in range(newest, max(newest - in_day, -1), -1):
            v = highest[k]
            # Never true of a NaN.
            if v >= _NEAR * limit:
                age = back - k * length - length // 2
                near += 1
                since_near = since_near if since_near >= 0 else age
                if v >= limit:
                    full += 1
                    since = since if since >= 0 else age
            s += total[k]
            n += number[k]
            high = max(high, v)
        if d == 0:
            out[_DAY_MEAN] = s / n * unit if n > 0.0 else np.nan
            out[_DAY_MEAN + 1] = high * unit if n > 0.0 else np.nan
            out[_DAY_MEAN + 4] = full
    out[_DAY_MEAN + 2] = s / n * unit if n > 0.0 else np.nan
    out[_DAY_MEAN + 3] = high * unit if n > 0.0 else np.nan
    out[_DAY_MEAN + 5], out[_DAY_MEAN + 6] = full, near
    return since, since_near
