"""This module is how sure a probability is: what it would be if the drift were known.

P(failure) is a mean over everything the drift may be. Its spread is what a person must know
besides: a P of .5 is either "half way there, surely" or "a steep ramp or nothing at all". P rises
with the drift, so its quantiles are P at the quantiles of the drift's posterior. Level and noise
are those of the explanations that such a drift speaks for, weighed by Bayes' rule; that they are
uncertain too is in P itself (as noise), not in the spread.

What runs is `compiled.passage`; `plain` says the same in NumPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.compiled.passage import Mixture, drift_quantiles, passage_bands
from foreshard.forecast.drift import DriftPosterior

__all__ = ["EVERY", "LOW", "band_of", "drift_quantile", "mixture_of", "probability_band"]

Array = NDArray[np.float64]

# The band holds the middle 80 %.
LOW = 0.1
HIGH = 0.9
LEAST_SD = 1e-12
EVERY = slice(None)


def drift_quantile(posterior: DriftPosterior, q: float, rows: slice = EVERY) -> Array:
    """[N], the drift under which the true one lies with probability `q`, of some rows."""
    sd = np.maximum(posterior.drift_sd[:, rows], LEAST_SD)
    return drift_quantiles(posterior.share[:, rows], posterior.drift[:, rows], sd, q)


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
    band[:, :, rows] = band_of(mixture_of(posterior, np.flatnonzero(rows)), horizons_s)
    return band


def band_of(of: Mixture, horizons_s: tuple[float, ...]) -> Array:
    """[2, H, N] `probability_band` of all N gauges."""
    sure = (*of[:4], np.maximum(of[4], LEAST_SD), of[5])
    band = passage_bands(sure, np.array([LOW, HIGH]), np.array(horizons_s))
    band = np.maximum.accumulate(np.clip(np.nan_to_num(band), 0.0, 1.0), axis=1)
    # A drift in the gap between two explanations may speak for the nearer level of the slower.
    return np.sort(band, axis=0)


def mixture_of(posterior: DriftPosterior, rows: NDArray[np.intp] | slice) -> Mixture:
    """Some rows of a posterior, as `compiled.passage` takes them."""
    return (
        posterior.share[:, rows],
        posterior.level[:, rows],
        posterior.level_sd[:, rows],
        posterior.drift[:, rows],
        posterior.drift_sd[:, rows],
        posterior.noise[rows],
    )
