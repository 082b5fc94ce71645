"""This module is the differences and clipped squares of `noise`, compiled; see `plain`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["block_differences", "clipped_squares"]

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def block_differences(x: Array, block: int) -> Array:
    """[N, T - 3 block + 1] sizes of second differences of means over `block` samples.

    A gap spoils the blocks that touch it. With `block` 1 these are differences of the samples.
    """
    n, steps = x.shape
    many = max(steps - 3 * block + 1, 0)
    differences = np.empty((n, many))
    means = np.empty(steps)
    for r in range(n):
        row = x[r]
        if block > 1:
            _means(row, block, means)
            row = means
        first, middle, last = row[block - 1 :], row[2 * block - 1 :], row[3 * block - 1 :]
        for i in range(many):
            differences[r, i] = abs(last[i] - 2.0 * middle[i] + first[i])
    return differences


@njit(cache=True, nogil=True, error_model="numpy")
def _means(x: Array, block: int, means: Array) -> None:
    """[T] means over `block` samples ending at each; a gap spoils the blocks that touch it."""
    total = np.empty(x.size + 1)
    gaps = np.empty(x.size + 1, np.int32)
    total[0], gaps[0] = 0.0, 0
    for i in range(x.size):
        is_gap = np.isnan(x[i])
        total[i + 1] = total[i] + (0.0 if is_gap else x[i])
        gaps[i + 1] = gaps[i] + is_gap
    means[: block - 1] = np.nan
    for i in range(x.size - block + 1):
        within = (total[i + block] - total[i]) / block
        means[i + block - 1] = within if gaps[i + block] == gaps[i] else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def clipped_squares(ordered: Array, clip: float, floor: float) -> tuple[Array, Array]:
    """Mean square of each row after clipping, NaN without values, and how many there were.

    Args:
        ordered: [N, M], sizes, rising along M, NaN last.
        clip: Where a value is clipped, in medians of its row.
        floor: The least at which it is.
    """
    n, most = ordered.shape
    variance, count = np.empty(n), np.empty(n)
    for r in range(n):
        k = most
        while k > 0 and np.isnan(ordered[r, k - 1]):
            k -= 1
        count[r] = k
        if k == 0:
            variance[r] = np.nan
            continue
        median = 0.5 * (ordered[r, (k - 1) // 2] + ordered[r, k // 2])
        bound, total = max(clip * median, floor), 0.0
        for i in range(k):
            clipped = min(ordered[r, i], bound)
            total += clipped * clipped
        variance[r] = total / k
    return variance, count
