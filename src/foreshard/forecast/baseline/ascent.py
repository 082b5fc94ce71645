"""This module is a logistic curve that rises: two numbers from scores and what became of them.

Platt's smoothed targets (1999) keep it finite where all or none came true, and a weak pull of the
slope towards `_PRIOR_SLOPE` keeps it rising; Newton's method finds the optimum of what is convex.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_ascent"]

_PRIOR_SLOPE = 1.0
_PULL = 1.0
# The slope never falls below this, or a score that misled once would not rank any more.
_LEAST_SLOPE = 1e-2
_ROUNDS = 50
_ENOUGH = 1e-9


def fit_ascent(
    score: NDArray[np.float64],
    came_true: NDArray[np.bool_],
    weight: NDArray[np.float32] | None = None,
) -> tuple[float, float]:
    """Fit P = 1 / (1 + exp(-(offset + slope * score))).

    Args:
        score: [N], finite.
        came_true: [N].
        weight: [N], how many each stands for; None = one each.

    Returns:
        Offset and slope, slope > 0.
    """
    each = np.ones(len(score)) if weight is None else weight.astype(np.float64)
    hits = float(each @ came_true)
    misses = float(each.sum()) - hits
    high, low = (hits + 1.0) / (hits + 2.0), 1.0 / (misses + 2.0)
    target = np.where(came_true, high, low)
    theta = np.array([np.log((hits + 1.0) / (misses + 1.0)), _PRIOR_SLOPE])
    design = np.stack([np.ones(len(score)), score])
    for _ in range(_ROUNDS):
        p = 1.0 / (1.0 + np.exp(-np.clip(theta @ design, -500.0, 500.0)))
        slack = each * p * (1.0 - p)
        gradient = design @ (each * (p - target)) + [0.0, _PULL * (theta[1] - _PRIOR_SLOPE)]
        bend = (design * slack) @ design.T + np.diag([1e-9, _PULL])
        step = np.linalg.solve(bend, gradient)
        # A full step may overshoot where the curve is flat.
        theta = theta - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < _ENOUGH:
            break
    return float(theta[0]), max(float(theta[1]), _LEAST_SLOPE)
