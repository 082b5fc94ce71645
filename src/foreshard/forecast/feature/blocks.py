"""This module is stretches of a row: what was held, and the highest of each block and stretch.

Blocks begin at whole multiples of their length since time began, not since the history does, so
that a history that began later has the same ones. They are those of the memory in flight
(`past.coarsened`), in which what is further back is kept in no other way. Their length is a
constant, as dividing by one that is not takes longer than all else.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foreshard.forecast.past import EVERY

__all__ = [
    "UNHEARD",
    "highest_between",
    "highest_of",
    "hold",
    "hold_row",
    "mean_before",
    "summarise",
    "total_of",
]

Array = NDArray[np.float32]

# Below every level: the highest of nothing, without the price of NaN.
UNHEARD = cast("float", np.float32(-np.inf))


@njit(cache=True, nogil=True, error_model="numpy")
def hold(x: Array, sustain: int) -> Array:
    """[R, T], the level held from a sample on for `sustain` samples; `UNHEARD` = not heard.

    Of a sample it is known only `sustain - 1` samples later.
    """
    held = np.empty(x.shape, np.float32)
    for r in range(x.shape[0]):
        hold_row(x[r], sustain, held[r])
    return held


@njit(cache=True, nogil=True, error_model="numpy")
def hold_row(x: Array, sustain: int, held: Array) -> None:
    """What is held of one row x [T], into another; see `hold`."""
    many = max(x.size - sustain + 1, 0)
    row = held[:many]
    row[:] = x[:many]
    held[many:] = UNHEARD
    # Sample by sample innermost, without a branch: several are worked on at a time.
    for k in range(1, sustain):
        for t in range(many):
            later = x[t + k]
            # A NaN anywhere stays.
            row[t] = later if later < row[t] or later != later else row[t]  # noqa: PLR0124
    for t in range(many):
        row[t] = row[t] if row[t] == row[t] else UNHEARD


@njit(cache=True, nogil=True, error_model="numpy")
def summarise(x: Array, first: int) -> Array:
    """Highest reading of each whole block, [R, K]; `UNHEARD` = there is none.

    Args:
        x: [R, T].
        first: Sample at which block 0 begins, in [0, EVERY).
    """
    rows, steps = x.shape
    many = max((steps - first) // EVERY, 0)
    highest = np.full((rows, many), UNHEARD, np.float32)
    for r in range(rows):
        for t in range(first, first + many * EVERY):
            k = (t - first) // EVERY
            # Never true of a NaN.
            highest[r, k] = max(highest[r, k], x[r, t])
    return highest


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz", "reassoc"})
def highest_of(x: Array, first: int, last: int) -> float:
    """Highest of x [T] from first to last, both within it; x knows no NaN."""
    best = UNHEARD
    for k in range(first, last + 1):
        best = max(best, x[k])
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def highest_between(held: Array, far: tuple[Array, int], first: int, last: int) -> float:
    """Highest of held [T] from first to last; `UNHEARD` = nothing was heard.

    What began before the samples do is read from blocks that reach further back, if there are any:
    a little too high, as a block knows no edge and no holding.

    Args:
        held: [T].
        far: Highest of each block [K], and at which sample the first begins.
        first: May be below 0.
        last: At most T - 1.
    """
    highest, begins = far
    if first >= 0 or begins > first:
        return highest_of(held, max(first, 0), last)
    last_block = min((last - begins) // EVERY, highest.size - 1)
    return highest_of(highest, (first - begins) // EVERY, last_block)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"nsz", "reassoc"})
def total_of(x: Array) -> tuple[float, float]:
    """Sum of what was heard of x [N], and how many that were.

    In double the sum of levels is exact in any order, unless one is a million times another.
    """
    total, count = 0.0, 0.0
    for i in range(x.size):
        is_heard = x[i] == x[i]
        total += np.float64(x[i]) if is_heard else 0.0
        count += 1.0 if is_heard else 0.0
    return total, count


@njit(cache=True, nogil=True, error_model="numpy")
def mean_before(x: Array, far: tuple[Array, int], t: int, window: int) -> float:
    """Mean of the last `window` samples of x [T] up to t; NaN = none was heard.

    Where they began before the samples do, that of the blocks; see `highest_between`.
    """
    highest, begins = far
    first, total, count = t - window + 1, 0.0, 0.0
    if first >= 0 or begins > first:
        total, count = total_of(x[max(first, 0) : t + 1])
    else:
        for k in range((first - begins) // EVERY, min((t - begins) // EVERY + 1, highest.size)):
            if highest[k] > UNHEARD:
                total += highest[k]
                count += 1.0
    return total / count if count > 0.0 else np.nan
