"""This module is first passage, gauge by gauge, compiled; `first_passage` and `band` say why.

Mixtures have M components (rows), a gauge is a column. `plain` says the same in NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foreshard.forecast.normal import POLYNOMIAL

__all__ = [
    "Mixture",
    "drift_quantiles",
    "passage_bands",
    "passage_mixed",
    "passage_times",
    "passage_within",
]

Array = NDArray[np.float64]
# Share, level, its deviation, drift, its deviation, each [M, N]; process noise [N].
Mixture = tuple[Array, Array, Array, Array, Array, Array]

# Below this a distance or a noise is rounding, and its square underflows.
TINY = 1e-12
HALF_SQRT = float(np.sqrt(0.5))
PASSAGE_BISECTIONS = 40
DRIFT_BISECTIONS = 16
COEFFICIENTS = np.array(POLYNOMIAL)


@njit(cache=True, nogil=True, error_model="numpy")
def passage_mixed(of: Mixture, rows: NDArray[np.intp], horizon_s: float, load: float) -> Array:
    """[rows] P that the limit is met within a horizon, at a multiple of the present load.

    That the level is not known exactly counts as noise.
    """
    share, level, level_sd, drift, drift_sd, noise = of
    p = np.empty(rows.size)
    for i in range(rows.size):
        r, total = rows[i], 0.0
        for m in range(share.shape[0]):
            s = load * np.hypot(noise[r], level_sd[m, r] / np.sqrt(horizon_s))
            distance, speed = 1.0 - load * level[m, r], load * drift[m, r]
            total += share[m, r] * _passage(distance, speed, s, horizon_s, load * drift_sd[m, r])
        p[i] = total
    return p


@njit(cache=True, nogil=True, error_model="numpy")
def passage_times(of: Mixture, probabilities: Array, beyond_s: float) -> Array:
    """[Q, N] times by which the limit is met with each probability; inf = not by `beyond_s`.

    Args:
        of: The gauges; the deviation of the level does not count.
        probabilities: [Q], in (0, 1).
        beyond_s: Nothing is said beyond this.
    """
    n = of[5].size
    times = np.empty((probabilities.size, n))
    for r in range(n):
        for i in range(probabilities.size):
            q = probabilities[i]
            if not _within(of, r, beyond_s) >= q:
                times[i, r] = np.inf
                continue
            low, high = 0.0, beyond_s
            for _ in range(PASSAGE_BISECTIONS):
                middle = max(0.5 * (low + high), TINY)
                if _within(of, r, middle) >= q:
                    high = middle
                else:
                    low = middle
            times[i, r] = 0.0 if high < 1e-9 * beyond_s else high
    return times


@njit(cache=True, nogil=True, error_model="numpy")
def drift_quantiles(share: Array, drift: Array, drift_sd: Array, q: float) -> Array:
    """[N] the drift under which the true one lies with probability `q`; deviations > 0."""
    found = np.empty(share.shape[1])
    for r in range(found.size):
        found[r] = _drift_quantile(share[:, r], drift[:, r], drift_sd[:, r], q)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def passage_bands(of: Mixture, quantiles: Array, horizons_s: Array) -> Array:
    """[Q, H, N] P of meeting the limit, were the drift known to be at each quantile of it.

    Level and noise are those of the explanations that such a drift speaks for.
    """
    share, level, level_sd, drift, drift_sd, noise = of
    band = np.empty((quantiles.size, horizons_s.size, noise.size))
    weight = np.empty(share.shape[0])
    for r in range(noise.size):
        for i in range(quantiles.size):
            known = _drift_quantile(share[:, r], drift[:, r], drift_sd[:, r], quantiles[i])
            for m in range(weight.size):
                off = (known - drift[m, r]) / drift_sd[m, r]
                weight[m] = np.log(share[m, r]) - np.log(drift_sd[m, r]) - 0.5 * off * off
            weight = np.exp(weight - weight.max())
            weight /= weight.sum()
            for k in range(horizons_s.size):
                h, total = horizons_s[k], 0.0
                for m in range(weight.size):
                    s = np.hypot(noise[r], level_sd[m, r] / np.sqrt(h))
                    total += weight[m] * _passage(1.0 - level[m, r], known, s, h, 0.0)
                band[i, k, r] = total
    return band


@njit(cache=True, nogil=True, error_model="numpy")
def passage_within(of: Mixture, horizon_s: float) -> Array:
    """[N] P that the limit is met; the deviation of the level does not count."""
    p = np.empty(of[5].size)
    for r in range(p.size):
        p[r] = _within(of, r, horizon_s)
    return p


@njit(cache=True, nogil=True, error_model="numpy")
def _within(of: Mixture, r: int, horizon_s: float) -> float:
    share, level, _, drift, drift_sd, noise = of
    total = 0.0
    for m in range(share.shape[0]):
        p = _passage(1.0 - level[m, r], drift[m, r], noise[r], horizon_s, drift_sd[m, r])
        total += share[m, r] * p
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _drift_quantile(share: Array, drift: Array, drift_sd: Array, q: float) -> float:
    low, high = np.inf, -np.inf
    for m in range(share.size):
        if np.isnan(drift[m]) or np.isnan(drift_sd[m]):
            return np.nan
        low = min(low, drift[m] - 6.0 * drift_sd[m])
        high = max(high, drift[m] + 6.0 * drift_sd[m])
    for _ in range(DRIFT_BISECTIONS):
        middle, below = 0.5 * (low + high), 0.0
        for m in range(share.size):
            below += share[m] * _ndtr((middle - drift[m]) / drift_sd[m])
        if below < q:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, error_model="numpy")
def _passage(
    distance: float, drift: float, noise: float, horizon_s: float, drift_sd: float
) -> float:
    """`passage_probability` of one gauge."""
    if np.isnan(distance + drift + noise + drift_sd):
        return np.nan
    if distance <= 0.0:
        return 1.0
    s2, v, h = max(noise, TINY) ** 2, drift_sd**2, horizon_s
    d = max(distance, TINY)
    spread = np.sqrt(s2 * h + v * h * h)
    gap, tilt = (drift * h - d) / spread, 2.0 * d / s2
    x = (drift * h + d + v * h * tilt) / spread
    if x >= 0.0:
        reflected = 0.5 * np.exp(-0.5 * min(gap * gap, 1400.0)) * _erfcx(x * HALF_SQRT)
    else:
        exponent = min(tilt * (drift + 0.5 * v * tilt), 0.0)
        reflected = np.exp(max(exponent, -745.0)) * _ndtr(-x)
    return float(min(max(_ndtr(gap) + reflected, 0.0), 1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def _ndtr(x: float) -> float:
    z = abs(x) * HALF_SQRT
    tail = 0.5 * np.exp(-min(z * z, 745.0)) * _erfcx(z)
    return float(1.0 - tail if x > 0.0 else tail)


@njit(cache=True, nogil=True, error_model="numpy")
def _erfcx(z: float) -> float:
    t = 2.0 / (2.0 + max(z, 0.0))
    x = 2.0 * t - 1.0
    f = COEFFICIENTS[-1]
    for i in range(COEFFICIENTS.size - 2, -1, -1):
        f = f * x + COEFFICIENTS[i]
    return float(t * np.exp(f))
