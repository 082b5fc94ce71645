"""This module is least squares with coefficients that cannot be negative, on normal equations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["RIDGE", "solve_nonnegative"]

Array = NDArray[np.float64]

# Whole blocks are exchanged while that helps; after so many times in vain, one by one (the
# backup rule without which the method may cycle).
PATIENCE = 3
# Added to each diagonal, as a part of it: what is singular up to rounding is solved like the rest.
RIDGE = 1e-12


def solve_nonnegative(precision: Array, pull: Array) -> Array:
    """Minimise `x' P x / 2 - q' x` over x >= 0 by block principal pivoting.

    Method: Kim and Park, Fast nonnegative matrix factorization (SIAM J. Sci. Comput. 33, 2011).

    Args:
        precision: [K, K] P, symmetric, positive semidefinite, its diagonal above 0.
        pull: [K] q.

    Returns:
        [K] the minimum; exact up to rounding.
    """
    size = pull.size
    scale = np.sqrt(np.diagonal(precision))
    scaled, target = precision / np.outer(scale, scale), pull / scale
    scaled = scaled + RIDGE * np.eye(size)
    least = 1e-12 * float(np.abs(target).max(initial=0.0))
    inside = np.ones(size, dtype=np.bool_)
    best, patience = size + 1, PATIENCE
    x = np.zeros(size)
    for _ in range(10 * size + 10):
        x = np.zeros(size)
        x[inside] = np.linalg.solve(scaled[np.ix_(inside, inside)], target[inside])
        slope = scaled @ x - target
        wrong = np.where(inside, x < 0.0, slope < -least)
        count = int(wrong.sum())
        if count == 0:
            break
        if count < best:
            best, patience = count, PATIENCE
        elif patience > 0:
            patience -= 1
        else:
            wrong[: np.flatnonzero(wrong)[-1]] = False
        inside ^= wrong
    return np.asarray(np.maximum(x, 0.0) / scale)
