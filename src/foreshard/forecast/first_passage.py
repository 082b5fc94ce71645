"""This module is when a drifting, diffusing gauge first meets its limit.

A gauge at distance d > 0 below its limit, with drift mu and process noise s per square root of a
second, meets the limit within h with probability (inverse Gaussian law; Cox & Miller 1965, 5.7)

    Phi((mu h - d) / (s sqrt h)) + exp(2 mu d / s^2) Phi((-mu h - d) / (s sqrt h)).

The drift is never known, it has a posterior N(m, v). The integral of both terms over it has a
closed form too: completing the square, with S^2 = s^2 h + v h^2 and
x = (m h + d + 2 v d h / s^2) / S,

    Phi((m h - d) / S) + exp(2 m d / s^2 + 2 v d^2 / s^4) Phi(-x),

and the exponent minus x^2 / 2 is exactly -(m h - d)^2 / (2 S^2): the second term is
`exp(-(m h - d)^2 / (2 S^2)) erfcx(x / sqrt 2) / 2` for x >= 0, in which nothing overflows and
nothing cancels. For x < 0 the exponent is negative and the term is safe as it stands. So there is
no quadrature, whose nodes would show as steps in the probability whenever s is small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foreshard.forecast.normal import erfcx, ndtr

__all__ = ["passage_probability", "passage_quantile_s"]

Array = NDArray[np.float64]

# Below this a distance or a noise is rounding, and its square underflows.
_TINY = 1e-12
_BISECTIONS = 40


def passage_probability(
    distance: ArrayLike,
    drift: ArrayLike,
    noise: ArrayLike,
    horizon_s: ArrayLike,
    drift_sd: ArrayLike = 0.0,
) -> Array:
    """P(the limit is met within the horizon), integrated over the posterior of the drift.

    Args:
        distance: Limit minus level, in limits; <= 0 means it is met already.
        drift: Posterior mean, in limits a second.
        noise: Process noise, in limits per square root of a second; >= 0.
        horizon_s: > 0.
        drift_sd: Posterior standard deviation of the drift; 0 = known.

    Returns:
        Probabilities in the shape the arguments broadcast to; NaN where an argument is NaN.
    """
    d = np.asarray(distance, dtype=np.float64)
    m = np.asarray(drift, dtype=np.float64)
    h = np.asarray(horizon_s, dtype=np.float64)
    s2 = np.maximum(np.asarray(noise, dtype=np.float64), _TINY) ** 2
    v = np.asarray(drift_sd, dtype=np.float64) ** 2
    positive = np.maximum(d, _TINY)
    spread = np.sqrt(s2 * h + v * h * h)
    gap = (m * h - positive) / spread
    tilt = 2.0 * positive / s2
    x = (m * h + positive + v * h * tilt) / spread
    reflected = 0.5 * np.exp(-0.5 * np.minimum(gap * gap, 1400.0)) * erfcx(x * np.sqrt(0.5))
    if np.any(x < 0.0):
        exponent = np.minimum(tilt * (m + 0.5 * v * tilt), 0.0)
        reflected = np.where(x < 0.0, np.exp(np.maximum(exponent, -745.0)) * ndtr(-x), reflected)
    p = np.clip(ndtr(gap) + reflected, 0.0, 1.0)
    met = np.broadcast_to(d <= 0.0, p.shape)
    return np.where(met & ~np.isnan(p), 1.0, p)


def passage_quantile_s(
    probability: float,
    distance: ArrayLike,
    drift: ArrayLike,
    noise: ArrayLike,
    drift_sd: ArrayLike,
    share: ArrayLike,
    *,
    beyond_s: float,
) -> Array:
    """Time by which the limit is met with a given probability, for a mixture of drifts.

    Args:
        probability: In (0, 1).
        distance: [M, N], one row for each of M components.
        drift: [M, N], posterior mean of each component.
        noise: [N] or [M, N].
        drift_sd: [M, N].
        share: [M, N], weights of the components, summing to 1.
        beyond_s: Nothing is said beyond this; > 0.

    Returns:
        [N] seconds; 0 where the limit is met already, inf where it is not met by `beyond_s`.
    """
    weight = np.asarray(share, dtype=np.float64)

    def within(horizon_s: Array | float) -> Array:
        p = passage_probability(distance, drift, noise, horizon_s, drift_sd)
        total: Array = (weight * p).sum(axis=0)
        return total

    reached = within(beyond_s) >= probability
    low = np.zeros(reached.shape)
    high = np.full(reached.shape, float(beyond_s))
    for _ in range(_BISECTIONS):
        middle = np.maximum(0.5 * (low + high), _TINY)
        early = within(middle) >= probability
        high = np.where(early, middle, high)
        low = np.where(early, low, middle)
    return np.where(reached, np.where(high < 1e-9 * beyond_s, 0.0, high), np.inf)
