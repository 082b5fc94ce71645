"""This module is long stretches in short: highest, sum and number of the readings of each block.

Blocks begin at whole multiples of their length since time began, not since the history does, so
that a history that began later has the same ones.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["hold", "summarise"]

Array = NDArray[np.float32]


@njit(cache=True, nogil=True)
def hold(x: Array, sustain: int) -> Array:
    """[R, T], the level that was held from a sample on for `sustain` samples; NaN = not heard.

    Of a sample it is known only `sustain - 1` samples later.
    """
    rows, steps = x.shape
    held = np.full((rows, steps), np.nan, np.float32)
    for r in range(rows):
        for t in range(steps - sustain + 1):
            least = x[r, t]
            for k in range(t + 1, t + sustain):
                # A NaN anywhere stays.
                if np.isnan(x[r, k]) or x[r, k] < least:
                    least = x[r, k]
            held[r, t] = least
    return held


@njit(cache=True, nogil=True)
def summarise(x: Array, length: int, first: int) -> tuple[Array, Array, Array]:
    """Highest, sum and number of readings of each block, [R, K]; NaN = the highest of none.

    Args:
        x: [R, T].
        length: Of a block.
        first: Sample at which block 0 begins, in (-length, 0].
    """
    rows, steps = x.shape
    many = (steps - first) // length
    highest = np.full((rows, many), np.nan, np.float32)
    total = np.zeros((rows, many), np.float32)
    number = np.zeros((rows, many), np.float32)
    for r in range(rows):
        for k in range(many):
            begin = first + k * length
            for t in range(max(begin, 0), begin + length):
                v = x[r, t]
                if not np.isnan(v):
                    total[r, k] += v
                    number[r, k] += 1.0
                    if not highest[r, k] >= v:
                        highest[r, k] = v
    return highest, total, number
