"""This module is how sure a probability is: what it would be if the drift were known.

P(failure) is a mean over everything the drift may be. Its spread is what a person must know
besides: a P of .5 is either "half way there, surely" or "a steep ramp or nothing at all". P rises
with the drift, so its quantiles are P at the quantiles of the drift's posterior. Level and noise
are those of the explanations that such a drift speaks for, weighed by Bayes' rule; that they are
uncertain too is in P itself (as noise), not in the spread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.drift import DriftPosterior
from foreshard.forecast.first_passage import passage_probability
from foreshard.forecast.normal import ndtr

__all__ = ["LOW", "drift_quantile", "probability_band"]

Array = NDArray[np.float64]

# The band holds the middle 80 %.
LOW = 0.1
HIGH = 0.9
_BISECTIONS = 16
_LEAST_SD = 1e-12


def drift_quantile(posterior: DriftPosterior, q: float) -> Array:
    """[N], the drift under which the true one lies with probability `q`."""
    mean, sd = posterior.drift, np.maximum(posterior.drift_sd, _LEAST_SD)
    low = (mean - 6.0 * sd).min(axis=0)
    high = (mean + 6.0 * sd).max(axis=0)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = (posterior.share * ndtr((middle - mean) / sd)).sum(axis=0) < q
        low = np.where(below, middle, low)
        high = np.where(below, high, middle)
    return np.asarray(low)


def probability_band(
    posterior: DriftPosterior, horizons_s: tuple[float, ...], rows: NDArray[np.bool_]
) -> Array:
    """[2, H, N], where P at the present load would lie: 10 % are below, 10 % above.

    Args:
        posterior: Of N gauges.
        horizons_s: H, rising, > 0.
        rows: [N], whose band is wanted; the others are 0.
    """
    band = np.zeros((2, len(horizons_s), len(rows)))
    own = DriftPosterior(
        share=posterior.share[:, rows],
        level=posterior.level[:, rows],
        level_sd=posterior.level_sd[:, rows],
        drift=posterior.drift[:, rows],
        drift_sd=posterior.drift_sd[:, rows],
        noise=posterior.noise[rows],
        samples=posterior.samples[rows],
    )
    for end, q in enumerate((LOW, HIGH)):
        drift = drift_quantile(own, q)
        weight = _explanations(own, drift)
        for i, h in enumerate(horizons_s):
            noise = np.hypot(own.noise, own.level_sd / np.sqrt(h))
            p = passage_probability(1.0 - own.level, drift, noise, h)
            band[end, i, rows] = (weight * p).sum(axis=0)
    band = np.maximum.accumulate(np.clip(np.nan_to_num(band), 0.0, 1.0), axis=1)
    # A drift in the gap between two explanations may speak for the nearer level of the slower.
    return np.sort(band, axis=0)


def _explanations(posterior: DriftPosterior, drift: Array) -> Array:
    """[2, N], how probable each explanation is, were this the drift."""
    sd = np.maximum(posterior.drift_sd, _LEAST_SD)
    with np.errstate(divide="ignore"):
        log = np.log(posterior.share) - np.log(sd) - 0.5 * ((drift - posterior.drift) / sd) ** 2
    log -= log.max(axis=0)
    weight: Array = np.exp(log)
    weight /= weight.sum(axis=0)
    return weight
