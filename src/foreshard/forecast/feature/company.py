"""This module is the features of what stands beside a gauge: others of its cell, peers, load.

The other gauges of a cell count by rank (the worst, the second worst), each before its own limit.
Contrast with the sibling cells is against their mean without the cell itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foreshard.forecast.feature.blocks import mean_before
from foreshard.forecast.feature.column import AHEAD, SHARED

__all__ = ["describe_others", "describe_peers", "describe_work", "read_load", "slope_before"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]
Scores = NDArray[np.float64]

# Nothing further back is kept of loads and peers.
_NO_BLOCKS = (np.zeros(0, dtype=np.float32), 0)

_OTHERS = (
    ("now", "other_now"),
    ("max_15m", "other_max_15m"),
    ("mean_1h", "other_mean_1h"),
    ("slope_15m", "other_slope_15m"),
    ("since_limit", "other_since_limit"),
)
_OTHERS_AHEAD = (("ahead_mean", "other_ahead_mean"), ("ahead_max", "other_ahead_max"))
_LOAD_AHEAD = AHEAD.index("load_ahead")
_FIRST, _WIDTH = len(SHARED), len(AHEAD)
_COST = SHARED.index("cost_drift")
_PEERS = SHARED.index("above_peers")
# Below this part of the day's mean load the cost of work is all noise.
_LEAST_LOAD = 0.05


@njit(cache=True, nogil=True)
def slope_before(x: Array, t: int, window: int) -> float:
    """Slope a sample of the last `window` samples of x [T] up to t; NaN = fewer than two."""
    n, s, sk, skk, skv = 0, 0.0, 0.0, 0.0, 0.0
    for k in range(min(window, t + 1)):
        v = x[t - k]
        if not np.isnan(v):
            n += 1
            s += v
            sk -= k
            skk += float(k) * k
            skv -= k * v
    bend = n * skk - sk * sk
    return (n * skv - sk * s) / bend if bend > 0.0 else np.nan


def describe_others(table: Array, horizons: int) -> None:
    """Fill in the features of the other gauges of each cell, from those of the gauges themselves.

    Args:
        table: [N, G, F], all others are there already; NaN where a gauge has no limit.
        horizons: H.
    """
    pairs = [(SHARED.index(of), SHARED.index(to)) for of, to in _OTHERS]
    for h in range(horizons):
        first = len(SHARED) + h * len(AHEAD)
        pairs += [(first + AHEAD.index(of), first + AHEAD.index(to)) for of, to in _OTHERS_AHEAD]
    since, second = SHARED.index("other_since_limit"), SHARED.index("second_now")
    for of, to in pairs:
        # The shortest time is the worst, of all else the highest value.
        value = -table[:, :, of] if to == since else table[:, :, of]
        best, next_best, third = _three_highest(value)
        is_best = np.arange(value.shape[1])[None] == best[1][:, None]
        worst = np.where(is_best, next_best[0][:, None], best[0][:, None])
        table[:, :, to] = -worst if to == since else worst
        if of == SHARED.index("now"):
            is_next = np.arange(value.shape[1])[None] == next_best[1][:, None]
            is_used = is_best | is_next
            table[:, :, second] = np.where(is_used, third[0][:, None], next_best[0][:, None])


def _three_highest(value: Array) -> list[tuple[Array, NDArray[np.intp]]]:
    """Highest, second and third of value [N, G] and where they stand; NaN = there is none."""
    left = np.where(np.isnan(value), -np.inf, value)
    found = []
    rows = np.arange(len(left))
    for _ in range(3):
        where = left.argmax(axis=1)
        top = left[rows, where]
        found.append((np.where(np.isfinite(top), top, np.nan).astype(np.float32), where))
        left[rows, where] = -np.inf
    return found


@njit(cache=True, nogil=True)
def describe_peers(
    x: Array,
    peers: tuple[Array, Array, Index],
    where: tuple[Index, Index, Array],
    spans: tuple[int, int, float],
    out: Array,
) -> None:
    """Fill in how far a gauge stands above the same one in the sibling cells.

    Args:
        x: [R, T].
        peers: Sum and number of the readings of each group of siblings and gauge, [P, T]; and
            which of them a row belongs to, -1 = none, [R].
        where: Row, sample and limit of each of N places.
        spans: 15 min, an hour, and samples in an hour.
        out: [N, F].
    """
    rows, at, limits = where
    total, number, group = peers
    quarter, hour, per_hour = spans
    mean_of = np.empty(hour, np.float32)
    for i in range(rows.size):
        r, t = rows[i], at[i]
        p = group[r]
        out[i, _PEERS] = np.nan
        out[i, _PEERS + 1] = np.nan
        if p < 0:
            continue
        for k in range(hour):
            mean_of[hour - 1 - k] = np.nan
            if t - k >= 0:
                heard = not np.isnan(x[r, t - k])
                n = number[p, t - k] - heard
                if n > 0:
                    own = x[r, t - k] if heard else 0.0
                    mean_of[hour - 1 - k] = (total[p, t - k] - own) / n
        unit = 1.0 / limits[i]
        above = mean_before(x[r], _NO_BLOCKS, t, quarter) - mean_before(
            mean_of, _NO_BLOCKS, hour - 1, quarter
        )
        steeper = slope_before(x[r], t, hour) - slope_before(mean_of, hour - 1, hour)
        out[i, _PEERS] = above * unit
        out[i, _PEERS + 1] = steeper * per_hour * unit


@njit(cache=True, nogil=True, error_model="numpy")
def read_load(load: Array, t: int, spans: tuple[Index, int, int, int], found: Scores) -> None:
    """What the load of a cell [T] is to its gauges, NaN = not known.

    Args:
        load: NaN = unknown.
        t: Sample.
        spans: Horizons [H], a day, 15 min, and an hour.
        found: [2 + H], filled: level of the hour and of the day, and how the time ahead went on
            yesterday, against the level now (log).
    """
    horizons, day, quarter, hour = spans
    found[0] = mean_before(load, _NO_BLOCKS, t, hour)
    found[1] = mean_before(load, _NO_BLOCKS, t, day)
    now, then = mean_before(load, _NO_BLOCKS, t, quarter), t - day
    for h in range(horizons.size):
        found[2 + h] = np.nan
        if then < 0 or not now > 0.0 or not found[0] > _LEAST_LOAD * found[1]:
            continue
        ahead = -np.inf
        for k in range(then + 1, min(then + horizons[h], t) + 1):
            # Never true of a NaN.
            ahead = max(ahead, load[k])
        if ahead > 0.0:
            found[2 + h] = np.log(ahead / now)


@njit(cache=True, nogil=True, error_model="numpy")
def describe_work(x: Array, t: int, spans: tuple[int, int], load: Scores, out: Array) -> None:
    """Fill in what the load tells: cost for it that drifts, and how it went on yesterday.

    Args:
        x: [T].
        t: Sample.
        spans: A day, and an hour.
        load: See `read_load`.
        out: [F].
    """
    day, hour = spans
    out[_COST] = np.nan
    for h in range(load.size - 2):
        out[_FIRST + h * _WIDTH + _LOAD_AHEAD] = load[2 + h]
    if load[0] > _LEAST_LOAD * load[1]:
        cost = mean_before(x, _NO_BLOCKS, t, hour) / load[0]
        was = mean_before(x, _NO_BLOCKS, t, day) / load[1]
        if cost > 0.0 and was > 0.0:
            out[_COST] = np.log(cost / was)
