"""This module is whether a gauge is really going somewhere, and how fast.

Model of one gauge: level that wanders + slow slope that lasts the whole window + at most one of: a
step k samples ago, or the onset of a *ramp* k samples ago. Which of them, and how large, is
decided by Bayes' rule with priors that say that most gauges go nowhere. That is what keeps noise
from becoming a trend: a plug-in slope over a few samples is always large in one direction or the
other.

Method: the augmented Kalman filter (de Jong 1991). One scalar local-level filter runs over the
readings and over each regressor alike (slope, steps, ramps); regressing the innovations of
the readings on those of the regressors is generalised least squares under wandering level plus
measurement noise, gaps included, at the price of one loop over time. Each explanation's marginal
likelihood, with the scale of the noise itself uncertain (Student's t), then weighs it.

Known weakness: two changes within one window are explained by the better one alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.noise import estimate_noise, reading_sd
from foreshard.forecast.regimes import clean
from foreshard.model.errors import ForecastError, InvalidValueError

__all__ = ["DriftPosterior", "DriftPrior", "estimate_drift"]

Array = NDArray[np.float64]

# Ages of a possible change, in samples: every recent one (a step in between fits neither
# neighbour), then geometric.
_ONSETS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 21, 28, 37, 49, 64, 84, 111)
# A ramp needs one sample more than a step to be told from it.
_SHORTEST_RAMP = 5
_LONGEST_STEP = 16
_STEP_SD = 0.25
# How firmly the estimated scale of the noise is believed, in samples.
_SCALE_SAMPLES = 20.0
# Rows at a time: the working set stays within a core's cache.
_CHUNK = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPrior:
    """What is believed of a gauge before it is seen.

    Attributes:
        ramp_probability: That a ramp began within the window.
        step_probability: That a step happened within the last samples.
        ramp_scales_per_s: Standard deviations that a ramp's slope may have, limits a second;
            a gauge that runs away covers its limit in about one horizon.
        slow_sd_per_s: Standard deviation of the slow slope (tides, slow growth).
    """

    ramp_probability: float = 0.02
    step_probability: float = 0.05
    ramp_scales_per_s: tuple[float, ...]
    slow_sd_per_s: float

    def __post_init__(self) -> None:
        both = self.ramp_probability + self.step_probability
        if not (self.ramp_probability > 0.0 < self.step_probability and both < 1.0):
            raise InvalidValueError(
                f"drift prior: ramp_probability {self.ramp_probability} and step_probability "
                f"{self.step_probability} must be > 0 and sum to less than 1"
            )
        if not self.ramp_scales_per_s or min(*self.ramp_scales_per_s, self.slow_sd_per_s) <= 0.0:
            raise InvalidValueError(
                f"drift prior: scales {self.ramp_scales_per_s} and slow_sd_per_s "
                f"{self.slow_sd_per_s} must be > 0"
            )

    @classmethod
    def for_horizons(cls, horizons_s: tuple[float, ...]) -> DriftPrior:
        """The prior that fits a set of horizons, seconds."""
        return cls(
            ramp_scales_per_s=tuple(1.0 / h for h in horizons_s),
            slow_sd_per_s=0.1 / max(horizons_s),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPosterior:
    """What is believed of N gauges now; row 0 = no ramp, row 1 = a ramp is on.

    Attributes:
        share: [2, N], probability of either; columns sum to 1.
        level: [2, N], where the gauge stands, fraction of its limit.
        level_sd: [2, N].
        drift: [2, N], limits a second.
        drift_sd: [2, N].
        noise: [N], process noise, limits per square root of a second.
        samples: [N], readings since the last reset; where it is 0 the rest is NaN.
    """

    share: Array
    level: Array
    level_sd: Array
    drift: Array
    drift_sd: Array
    noise: Array
    samples: Array


def estimate_drift(
    time_s: Array, value: Array, *, pool: NDArray[np.intp], prior: DriftPrior
) -> DriftPosterior:
    """Estimate level, drift and noise of N gauges at the last moment of the window.

    Args:
        time_s: [T], rising.
        value: [N, T], fractions of the limit, NaN = missing.
        pool: [N], rows of one pool are the same gauge in different cells and share noise.
        prior: See `DriftPrior`.

    Raises:
        ForecastError: `time_s` does not rise, or shapes do not match.
    """
    if value.shape != (len(pool), len(time_s)) or len(time_s) == 0:
        raise ForecastError(
            f"drift: value has shape {value.shape}, must be {(len(pool), len(time_s))} with at "
            "least one moment"
        )
    if np.any(np.diff(time_s) <= 0.0):
        raise ForecastError("drift: time_s must rise strictly")
    steps = np.diff(time_s)
    dt_s = float(np.median(steps)) if len(steps) else 1.0
    cleaned = clean(value, sd=reading_sd(value, pool=pool))
    noise = estimate_noise(cleaned.value, pool=pool, dt_s=dt_s)
    basis = _Basis.over(time_s, prior)
    parts = [
        _posterior(
            time_s,
            cleaned.value[i : i + _CHUNK],
            noise.measurement_var[i : i + _CHUNK, None] * cleaned.doubt[i : i + _CHUNK],
            noise.process_var[i : i + _CHUNK],
            basis,
        )
        for i in range(0, len(value), _CHUNK)
    ]
    if not parts:
        empty = np.empty((2, 0))
        nothing = np.empty(0)
        return DriftPosterior(
            share=empty,
            level=empty,
            level_sd=empty,
            drift=empty,
            drift_sd=empty,
            noise=nothing,
            samples=nothing,
        )
    return DriftPosterior(
        share=np.concatenate([p.share for p in parts], axis=1),
        level=np.concatenate([p.level for p in parts], axis=1),
        level_sd=np.concatenate([p.level_sd for p in parts], axis=1),
        drift=np.concatenate([p.drift for p in parts], axis=1),
        drift_sd=np.concatenate([p.drift_sd for p in parts], axis=1),
        noise=np.concatenate([p.noise for p in parts]),
        samples=np.concatenate([p.samples for p in parts]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """Regressors over the window, slow slope first, then changes from the oldest to the newest.

    Attributes:
        values: [P, T], zero at the last moment for the slope.
        active: [T], how many of the first regressors are not yet zero at each moment.
        explanations: (regressor, is a ramp, prior standard deviation, prior log odds); regressor
            0 = neither step nor ramp.
        slow_sd: Of the slow slope.
    """

    values: Array
    active: tuple[int, ...]
    explanations: tuple[tuple[int, bool, float, float], ...]
    slow_sd: float

    @classmethod
    def over(cls, time_s: Array, prior: DriftPrior) -> _Basis:
        last = time_s[-1]
        onsets = [k for k in _ONSETS if k < len(time_s)]
        # Onsets are equally likely at any time, so each stands for the stretch up to the next.
        stretch = dict(zip(_ONSETS, np.diff([0, *_ONSETS]), strict=True))
        ramps = [k for k in onsets if k >= _SHORTEST_RAMP]
        jumps = [k for k in onsets if k <= _LONGEST_STEP]
        rows, starts = [time_s - last], [0]
        quiet = np.log(1.0 - prior.ramp_probability - prior.step_probability)
        explanations = [(0, False, 0.0, float(quiet))]
        scales = prior.ramp_scales_per_s
        for k in reversed(onsets):
            start = len(time_s) - k
            if k in ramps:
                odds = prior.ramp_probability / len(scales)
                odds *= stretch[k] / sum(stretch[j] for j in ramps)
                explanations += [(len(rows), True, sd, float(np.log(odds))) for sd in scales]
                rows.append(np.maximum(time_s - time_s[start - 1], 0.0))
                starts.append(start)
            if k in jumps:
                odds = prior.step_probability * stretch[k] / sum(stretch[j] for j in jumps)
                explanations.append((len(rows), False, _STEP_SD, float(np.log(odds))))
                rows.append(np.where(np.arange(len(time_s)) >= start, 1.0, 0.0))
                starts.append(start)
        active = tuple(sum(s <= i for s in starts) for i in range(len(time_s)))
        return cls(
            values=np.asarray(rows, dtype=np.float64),
            active=active,
            explanations=tuple(explanations),
            slow_sd=prior.slow_sd_per_s,
        )


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


def _filter(
    time_s: Array, value: Array, var: Array, process_var: Array, basis: _Basis
) -> _Moments:
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


def _posterior(
    time_s: Array, value: Array, var: Array, process_var: Array, basis: _Basis
) -> DriftPosterior:
    m = _filter(time_s, value, var, process_var, basis)
    n = len(value)
    informative = np.maximum(m.count - 1.0, 0.0)
    dof = _SCALE_SAMPLES + informative
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
        scale = np.maximum((_SCALE_SAMPLES + left) / dof, 0.5)
        log_weight[i] = log_prior - 0.5 * log_det - 0.5 * dof * np.log1p(left / _SCALE_SAMPLES)
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
