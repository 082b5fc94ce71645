"""This module is what runs compiled in the forecast, as one reads it: the reference in NumPy.

Tests hold `compiled` to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.band import HIGH, LEAST_SD, LOW
from foreshard.forecast.compiled.passage import DRIFT_BISECTIONS
from foreshard.forecast.drift import SCALE_SAMPLES, Basis, DriftPosterior
from foreshard.forecast.first_passage import passage_probability
from foreshard.forecast.noise import CLIP_SDS, FLOOR_SD, MAD_TO_SD
from foreshard.forecast.normal import ndtr
from foreshard.forecast.regimes import (
    FALL_LIMITS,
    FALL_SDS,
    LONGEST_STEP,
    SPIKE_SDS,
    Cleaned,
    doubt_of,
)

__all__ = [
    "clean",
    "clipped_variance",
    "drift_quantile",
    "posterior",
    "probability_band",
    "row_medians",
]

Array = NDArray[np.float64]


@dataclass(slots=True)
class _Moments:
    """Innovations of readings (y), slow slope (0) and regressors (j), weighted and summed."""

    yy: Array
    jy: Array
    jj: Array
    j0: Array
    count: Array
    level: Array
    carried: Array
    level_var: Array


def _filter(time_s: Array, value: Array, var: Array, process_var: Array, basis: Basis) -> _Moments:
    n, p = len(value), len(basis.values)
    y = np.ascontiguousarray(value.T)
    r = np.ascontiguousarray(var.T)
    level, level_var = np.zeros(n), np.zeros(n)
    carried = np.zeros((p, n))
    m = _Moments(
        yy=np.zeros(n),
        jy=np.zeros((p, n)),
        jj=np.zeros((p, n)),
        j0=np.zeros((p, n)),
        count=np.zeros(n),
        level=level,
        carried=carried,
        level_var=level_var,
    )
    begun = np.zeros(n, dtype=bool)
    for i in range(len(time_s)):
        if i:
            level_var += process_var * (time_s[i] - time_s[i - 1])
        seen = ~np.isnan(y[i])
        if not seen.any():
            continue
        first = seen & ~begun
        begun |= seen
        weight = np.where(seen & ~first, 1.0 / (level_var + r[i]), 0.0)
        gain = np.where(first, 1.0, level_var * weight)
        v = np.where(seen, y[i], level) - level
        a = basis.active[i]
        b = basis.values[:a, i, None] - carried[:a]
        carried[:a] += gain * b
        level += gain * v
        level_var *= 1.0 - gain
        level_var += np.where(first, r[i], 0.0)
        m.yy += weight * v * v
        weighted = weight * b
        m.jy[:a] += weighted * v
        m.jj[:a] += weighted * b
        m.j0[:a] += weighted * b[0]
        m.count += seen
    return m


def posterior(
    time_s: Array, value: Array, var: Array, process_var: Array, basis: Basis
) -> DriftPosterior:
    """What is believed of N rows.

    Args:
        time_s: [T].
        value: [N, T], cleaned.
        var: [N, T], measurement noise.
        process_var: [N], wandering.
        basis: Regressors and what they may explain.
    """
    m = _filter(time_s, value, var, process_var, basis)
    n = len(value)
    informative = np.maximum(m.count - 1.0, 0.0)
    dof = SCALE_SAMPLES + informative
    slow = 1.0 / basis.slow_sd**2
    s00 = m.jj[0] + slow
    e = len(basis.explanations)
    log_weight, drift, drift_var = np.empty((e, n)), np.empty((e, n)), np.empty((e, n))
    level, level_var = np.empty((e, n)), np.empty((e, n))
    back0 = -m.carried[0]
    for i, (j, is_ramp, sd, log_prior) in enumerate(basis.explanations):
        if j == 0:
            b0, bj = m.jy[0] / s00, np.zeros(n)
            v00, v0j, vjj = 1.0 / s00, np.zeros(n), np.zeros(n)
            reach = np.zeros(n)
            log_det = np.log(s00 / slow)
        else:
            sjj, s0j = m.jj[j] + 1.0 / sd**2, m.j0[j]
            det = s00 * sjj - s0j * s0j
            v00, v0j, vjj = sjj / det, -s0j / det, s00 / det
            b0 = v00 * m.jy[0] + v0j * m.jy[j]
            bj = v0j * m.jy[0] + vjj * m.jy[j]
            reach = basis.values[j, -1] - m.carried[j]
            log_det = np.log(det * sd**2 / slow)
        left = np.maximum(m.yy - b0 * m.jy[0] - bj * m.jy[j], 0.0)
        scale = np.maximum((SCALE_SAMPLES + left) / dof, 0.5)
        log_weight[i] = log_prior - 0.5 * log_det - 0.5 * dof * np.log1p(left / SCALE_SAMPLES)
        drift[i] = b0 + bj if is_ramp else b0
        drift_var[i] = scale * (v00 + 2.0 * v0j + vjj if is_ramp else v00)
        level[i] = m.level + b0 * back0 + bj * reach
        spread = back0 * back0 * v00 + 2.0 * back0 * reach * v0j + reach * reach * vjj
        level_var[i] = scale * (m.level_var + spread)
    weight = np.exp(log_weight - log_weight.max(axis=0))
    weight /= weight.sum(axis=0)
    ramp = np.array([is_ramp for _, is_ramp, _, _ in basis.explanations])
    unseen = m.count == 0.0
    groups = [_merge(weight[g], drift[g], drift_var[g]) for g in (~ramp, ramp)]
    levels = [_merge(weight[g], level[g], level_var[g]) for g in (~ramp, ramp)]
    share = np.stack([weight[~ramp].sum(axis=0), weight[ramp].sum(axis=0)])

    def told(x: Array) -> Array:
        return np.where(unseen, np.nan, x)

    return DriftPosterior(
        share=told(share),
        level=told(np.stack([mean for mean, _ in levels])),
        level_sd=told(np.sqrt(np.stack([v for _, v in levels]))),
        drift=told(np.stack([mean for mean, _ in groups])),
        drift_sd=told(np.sqrt(np.stack([v for _, v in groups]))),
        noise=told(np.sqrt(process_var)),
        samples=m.count,
    )


def _merge(weight: Array, mean: Array, var: Array) -> tuple[Array, Array]:
    """Mean and variance of a mixture [E, N]; of nothing (a window too short for ramps), zeros."""
    if len(weight) == 0:
        return np.zeros(weight.shape[1]), np.zeros(weight.shape[1])
    w = weight / np.maximum(weight.sum(axis=0), 1e-300)
    centre = (w * mean).sum(axis=0)
    return centre, (w * (var + (mean - centre) ** 2)).sum(axis=0)


def clean(value: Array, *, sd: Array) -> Cleaned:
    """`regimes.clean`."""
    kept = np.array(value, dtype=np.float64)
    if kept.shape[1] < 3:
        return Cleaned(value=kept, last_doubt=np.ones(len(kept)))
    kept[_before_last_break(kept, sd)] = np.nan
    before, here, after = kept[:, :-2], kept[:, 1:-1], kept[:, 2:]
    with np.errstate(invalid="ignore"):
        middle = np.maximum(np.minimum(before, after), np.minimum(np.maximum(before, after), here))
        bound = SPIKE_SDS * sd[:, None]
        blunt = np.clip(here, middle - bound, middle + bound)
    kept[:, 1:-1] = np.where(np.isnan(blunt), here, blunt)
    surprise_sds = np.abs(kept[:, -1] - kept[:, -2]) / sd
    return Cleaned(value=kept, last_doubt=doubt_of(surprise_sds))


def _before_last_break(value: Array, sd: Array) -> NDArray[np.bool_]:
    """[N, T]: readings before the last fall, or old leap, that lasted at least two readings."""
    gap = np.isnan(value)
    index = np.where(gap, 0, np.arange(value.shape[1]))
    index = np.maximum.accumulate(index, axis=1)
    # A gap (the process was away) does not hide a fall: compare with the last reading before it.
    held = np.take_along_axis(value, index, axis=1)
    least = np.maximum(FALL_SDS * sd, FALL_LIMITS)[:, None]
    fell, leapt = _lasting_falls(held, least), _lasting_falls(-held, least)
    leapt[:, max(value.shape[1] - 1 - LONGEST_STEP, 0) :] = False
    later = np.zeros(value.shape, dtype=bool)
    later[:, :-1] = np.maximum.accumulate((fell | leapt)[:, ::-1], axis=1)[:, ::-1]
    return later


def _lasting_falls(held: Array, least: Array) -> NDArray[np.bool_]:
    """[N, T - 1]: a fall from this reading to the next that lasts."""
    with np.errstate(invalid="ignore"):
        fell = held[:, :-1] - held[:, 1:] > least
        stays = held[:, :-2] - held[:, 2:] > 0.5 * least
    # The end of a lone spike is no fall: the height must have lasted too.
    fell[:, :-1] &= stays
    fell[:, 1:] &= stays
    # A fall at the newest reading alone may be a spike.
    fell[:, -1] = False
    return np.asarray(fell)


def clipped_variance(value: Array, block: int) -> tuple[Array, Array]:
    """Mean square of differences of block means, clipped, and how many there were; each [N]."""
    means = value if block == 1 else _block_means(value, block)
    return _mean_squares(_second_differences(means, block))


def row_medians(x: Array) -> tuple[Array, Array]:
    """Median of every row without its NaNs (NaN where nothing is left), and how many there were.

    `numpy.nanmedian` goes row by row in Python; this sorts once, NaNs last.
    """
    count = x.shape[1] - np.isnan(x).sum(axis=1)
    if x.shape[1] == 0:
        return np.full(x.shape[0], np.nan), count.astype(np.float64)
    ordered = np.sort(x, axis=1)
    last = np.maximum(count - 1, 0)
    rows = np.arange(x.shape[0])
    middle = 0.5 * (ordered[rows, last // 2] + ordered[rows, (last + 1) // 2])
    return np.where(count > 0, middle, np.nan).astype(np.float64), count.astype(np.float64)


def _second_differences(x: Array, lag: int) -> Array:
    if x.shape[1] <= 2 * lag:
        return np.empty((x.shape[0], 0))
    return np.asarray(x[:, 2 * lag :] - 2.0 * x[:, lag:-lag] + x[:, : -2 * lag])


def _block_means(x: Array, block: int) -> Array:
    """Means over `block` samples ending at each; a gap spoils the blocks that touch it."""
    if x.shape[1] < block:
        return np.empty((x.shape[0], 0))
    gap = np.isnan(x)
    total = np.cumsum(np.where(gap, 0.0, x), axis=1)
    gaps = np.cumsum(gap, axis=1)
    total[:, block:] -= total[:, :-block].copy()
    gaps[:, block:] -= gaps[:, :-block].copy()
    means = np.where(gaps == 0, total / block, np.nan)
    return np.asarray(means[:, block - 1 :])


def _mean_squares(x: Array) -> tuple[Array, Array]:
    """Mean square of each row after clipping at a few robust deviations: NaN without values."""
    scale, count = row_medians(np.abs(x))
    # A row that is mostly constant has no median deviation, but may have a true one.
    bound = np.maximum(CLIP_SDS * MAD_TO_SD * np.nan_to_num(scale), CLIP_SDS * FLOOR_SD)
    clipped = np.minimum(np.abs(x), bound[:, None])
    square = np.where(np.isnan(clipped), 0.0, clipped * clipped).sum(axis=1)
    return np.where(count > 0, square / np.maximum(count, 1.0), np.nan), count


def drift_quantile(posterior: DriftPosterior, q: float) -> Array:
    """[N], the drift under which the true one lies with probability `q`."""
    mean, sd = posterior.drift, np.maximum(posterior.drift_sd, LEAST_SD)
    low = (mean - 6.0 * sd).min(axis=0)
    high = (mean + 6.0 * sd).max(axis=0)
    for _ in range(DRIFT_BISECTIONS):
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
    sd = np.maximum(posterior.drift_sd, LEAST_SD)
    with np.errstate(divide="ignore"):
        log = np.log(posterior.share) - np.log(sd) - 0.5 * ((drift - posterior.drift) / sd) ** 2
    log -= log.max(axis=0)
    weight: Array = np.exp(log)
    weight /= weight.sum(axis=0)
    return weight
