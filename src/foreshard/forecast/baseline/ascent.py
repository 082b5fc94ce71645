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
_HALVINGS = 40
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
    # Few in many are hits: from the share of hits on, and scores about their middle, it is near.
    middle = float(score.mean()) if len(score) else 0.0
    design = np.stack([np.ones(len(score)), score - middle])
    start = np.array([np.log((hits + 1.0) / (misses + 1.0)), _PRIOR_SLOPE])
    level, slope = _climb(design, target, each, start, free=2)
    if slope < _LEAST_SLOPE:
        # Held up, the slope takes another level with it.
        level, slope = _climb(design, target, each, np.array([start[0], _LEAST_SLOPE]), free=1)
    return level - slope * middle, slope


def _climb(
    design: NDArray[np.float64],
    target: NDArray[np.float64],
    each: NDArray[np.float64],
    start: NDArray[np.float64],
    *,
    free: int,
) -> tuple[float, float]:
    """The optimum of the first `free` numbers, by Newton's method with halved steps."""
    theta = start.copy()
    cost = _cost(theta, design, target, each)
    for _ in range(_ROUNDS):
        p = 1.0 / (1.0 + np.exp(-np.clip(theta @ design, -500.0, 500.0)))
        gradient = design @ (each * (p - target)) + [0.0, _PULL * (theta[1] - _PRIOR_SLOPE)]
        bend = (design * (each * p * (1.0 - p))) @ design.T + np.diag([1e-9, _PULL])
        step = np.zeros(2)
        step[:free] = np.linalg.solve(bend[:free, :free], gradient[:free])
        # A whole step overshoots where the curve is flat, and may then swing for ever.
        for _ in range(_HALVINGS):
            tried = _cost(theta - step, design, target, each)
            if tried <= cost:
                break
            step *= 0.5
        else:
            break
        theta, cost = theta - step, tried
        if float(np.abs(step).max()) < _ENOUGH:
            break
    return float(theta[0]), float(theta[1])


def _cost(
    theta: NDArray[np.float64],
    design: NDArray[np.float64],
    target: NDArray[np.float64],
    each: NDArray[np.float64],
) -> float:
    odds = theta @ design
    fit = float(each @ (np.logaddexp(0.0, odds) - target * odds))
    return fit + 0.5 * _PULL * float(theta[1] - _PRIOR_SLOPE) ** 2
