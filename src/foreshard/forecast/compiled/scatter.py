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
    differences = np.empty((n, max(steps - 3 * block + 1, 0)))
    means = np.empty(steps)
    for r in range(n):
        if block == 1:
            means[:] = x[r]
        else:
            _means(x[r], block, means)
        for i in range(differences.shape[1]):
            at = i + block - 1
            middle = means[at + block]
            differences[r, i] = abs(means[at + 2 * block] - 2.0 * middle + means[at])
    return differences


@njit(cache=True, nogil=True, error_model="numpy")
def _means(x: Array, block: int, means: Array) -> None:
    """[T] means over `block` samples ending at each; a gap spoils the blocks that touch it."""
    total, gaps = np.empty(x.size), np.empty(x.size, np.int64)
    running, missing = 0.0, 0
    for i in range(x.size):
        if np.isnan(x[i]):
            missing += 1
        else:
            running += x[i]
        total[i], gaps[i] = running, missing
        within = running - total[i - block] if i >= block else running
        lost = missing - gaps[i - block] if i >= block else missing
        means[i] = within / block if lost == 0 else np.nan


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
