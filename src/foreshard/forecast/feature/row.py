"""This module is one pass over rows: what is read of a row is read while it is near at hand."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads
from numpy.typing import NDArray

from foreshard.forecast.compiled.view import uncounted
from foreshard.forecast.feature.blocks import UNHEARD, hold_row
from foreshard.forecast.feature.column import AHEAD, SHARED
from foreshard.forecast.feature.company import describe_work, read_load
from foreshard.forecast.feature.recent import describe_past
from foreshard.forecast.feature.season import describe_hours, describe_season, levels_before
from foreshard.forecast.feature.span import DAYS
from foreshard.forecast.past import EVERY

__all__ = ["describe_rows"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]

_MEAN_15M = SHARED.index("mean_15m")
_SLOPE_15M = SHARED.index("slope_15m")
_YESTERDAY = SHARED.index("above_yesterday_15m")
_CARRIED = AHEAD.index("carried_15m")
_FIRST, _WIDTH = len(SHARED), len(AHEAD)
# Fewer rows are sooner done than a second thread has begun; and it is two that the engine has.
_ROWS_FOR_TWO = 20_000


def describe_rows(
    lines: tuple[Array, Array, tuple[Array, int]],
    load: tuple[Array, int],
    where: tuple[Index, Index, Array],
    spans: tuple[tuple[int, int, int, int, int], int, int, float],
    ahead: tuple[Index, Index, int],
    out: Array,
) -> None:
    """Fill in what a row tells by itself.

    Args:
        lines: Levels [R, T] and what was held, or [R, 0] where that is yet to be seen; and highest
            of each block [R, K], NaN = not heard, and at which sample the first begins.
        load: [C, T], or [0, T] where none is known; and gauges in a cell.
        where: Row, sample and limit of each of N places; the limit in the unit of the levels.
        spans: Recent windows, an hour, a day, and samples in an hour.
        ahead: Horizons [H], how far a season may be off [H], and sustain.
        out: [N, F].
    """
    before = get_num_threads()
    if where[0].size < _ROWS_FOR_TWO or before < 2:
        _describe_some(lines, load, where, spans, ahead, out)
        return
    set_num_threads(2)
    try:
        _describe_halves(lines, load, where, spans, ahead, out)
    finally:
        set_num_threads(before)


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def _describe_halves(
    lines: tuple[Array, Array, tuple[Array, int]],
    load: tuple[Array, int],
    where: tuple[Index, Index, Array],
    spans: tuple[tuple[int, int, int, int, int], int, int, float],
    ahead: tuple[Index, Index, int],
    out: Array,
) -> None:
    # Threads are handed arrays and numbers, no tuples of them.
    x, held, (highest, begins) = lines
    work, gauges = load
    rows, at, limits = where
    (a, b, c, d, e), hour, day, per_hour = spans
    horizons, tolerances, sustain = ahead
    middle = rows.size // 2
    for half in prange(2):
        own = slice(half * middle, rows.size if half else middle)
        _describe_some(
            (x, held, (highest, begins)),
            (work, gauges),
            (rows[own], at[own], limits[own]),
            ((a, b, c, d, e), hour, day, per_hour),
            (horizons, tolerances, sustain),
            out[own],
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _describe_some(
    lines: tuple[Array, Array, tuple[Array, int]],
    load: tuple[Array, int],
    where: tuple[Index, Index, Array],
    spans: tuple[tuple[int, int, int, int, int], int, int, float],
    ahead: tuple[Index, Index, int],
    out: Array,
) -> None:
    days, hourly = np.empty((3, DAYS), np.float32), np.empty(1, np.float32)
    steps, many = lines[0].shape[1], lines[2][0].shape[1]
    blocks, kept = np.empty(many, np.float32), np.empty(steps, np.float32)
    of_load = np.empty(2 + ahead[0].size)
    _describe_each(lines, load, where, spans, ahead, (days, hourly, blocks, kept, of_load), out)


@njit(cache=True, nogil=True, error_model="numpy")
def _describe_each(
    lines: tuple[Array, Array, tuple[Array, int]],
    load: tuple[Array, int],
    where: tuple[Index, Index, Array],
    spans: tuple[tuple[int, int, int, int, int], int, int, float],
    ahead: tuple[Index, Index, int],
    work_in: tuple[Array, Array, Array, Array, NDArray[np.float64]],
    out: Array,
) -> None:
    """`_describe_some`, with room to work in; half of the time would go into counting slices."""
    x, held, out = uncounted(lines[0]), uncounted(lines[1]), uncounted(out)
    highest, begins = uncounted(lines[2][0]), lines[2][1]
    rows, at, limits = uncounted(where[0]), uncounted(where[1]), uncounted(where[2])
    work, gauges = uncounted(load[0]), load[1]
    windows, hour, day, per_hour = spans
    horizons, tolerances, sustain = uncounted(ahead[0]), uncounted(ahead[1]), ahead[2]
    days, hourly = uncounted(work_in[0]), uncounted(work_in[1])
    blocks, kept = uncounted(work_in[2]), uncounted(work_in[3])
    of_load, cell, moment = uncounted(work_in[4]), -1, -1
    usual, room = days[0], days[1:]
    for i in range(rows.size):
        r, t, limit = rows[i], at[i], limits[i]
        # What is not over yet tells of what comes after the sample.
        over = min(max((t + 1 - begins) // EVERY, 0), highest.shape[1])
        for k in range(over):
            blocks[k] = highest[r, k] if highest[r, k] == highest[r, k] else UNHEARD
        far = (blocks[:over], begins)
        if held.shape[1] == 0:
            hold_row(x[r], sustain, kept)
            own_held = kept
        else:
            own_held = held[r]
        describe_past((x[r], far), t, limit, spans, out[i])
        levels_before((x[r], far), t, (day, windows[2]), usual)
        levels_before((x[r], far), t, (day, hour), hourly)
        describe_hours((own_held, far), t, limit, (hour, windows[1], sustain), out[i])
        level = out[i, _MEAN_15M]
        out[i, _YESTERDAY] = level - usual[0] / limit
        out[i, _YESTERDAY + 1] = out[i, _MEAN_15M + 1] - hourly[0] / limit
        for h in range(horizons.size):
            own = out[i, _FIRST + h * _WIDTH : _FIRST + (h + 1) * _WIDTH]
            describe_season(
                (own_held, far),
                t,
                limit,
                (horizons[h], tolerances[h], day, sustain),
                (level, usual, room),
                own,
            )
            for k in range(2):
                rise = out[i, _SLOPE_15M + k] * horizons[h] / per_hour
                own[_CARRIED + k] = out[i, _MEAN_15M + k] + rise
        if work.shape[0] > 0:
            # The gauges of a cell stand together, and its load is the same to all of them.
            if r // gauges != cell or t != moment:
                cell, moment = r // gauges, t
                read_load(work[cell], t, (horizons, day, windows[2], hour), of_load)
            describe_work(x[r], t, (day, hour), of_load, out[i])
