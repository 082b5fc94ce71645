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

The loop over time and the weighing are compiled (`compiled.explaining`); `plain` says the same in
NumPy.

Known weakness: two changes within one window are explained by the better one alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.compiled.explaining import explain
from foreshard.forecast.noise import estimate_noise, reading_sd
from foreshard.forecast.regimes import LONGEST_STEP, clean
from foreshard.model.errors import ForecastError, InvalidValueError

__all__ = ["Basis", "DriftPosterior", "DriftPrior", "estimate_drift"]

Array = NDArray[np.float64]

# Ages of a possible change, in samples: every recent one (a step in between fits neither
# neighbour), then geometric.
_ONSETS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 21, 28, 37, 49, 64, 84, 111)
# A ramp needs one sample more than a step to be told from it.
_SHORTEST_RAMP = 5
_STEP_SD = 0.25
# How firmly the estimated scale of the noise is believed, in samples.
SCALE_SAMPLES = 20.0


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
    time_s: Array, value: Array, *, pools: int, prior: DriftPrior
) -> DriftPosterior:
    """Estimate level, drift and noise of N gauges at the last moment of the window.

    Args:
        time_s: [T], rising.
        value: [N, T], fractions of the limit, NaN = missing.
        pools: Row r is of pool r % pools, whose rows are the same gauge in different cells and
            share noise; divides N.
        prior: See `DriftPrior`.

    Raises:
        ForecastError: `time_s` does not rise, or shapes do not match.
    """
    if value.shape[1] != len(time_s) or len(time_s) == 0:
        raise ForecastError(
            f"drift: value has shape {value.shape}, must have {len(time_s)} moments, at least one"
        )
    if pools < 1 or len(value) % pools:
        raise ForecastError(f"drift: {len(value)} rows cannot be of {pools} pools of one size")
    if np.any(np.diff(time_s) <= 0.0):
        raise ForecastError("drift: time_s must rise strictly")
    steps = np.diff(time_s)
    dt_s = float(np.median(steps)) if len(steps) else 1.0
    cleaned = clean(value, sd=reading_sd(value, pools=pools))
    noise = estimate_noise(cleaned.value, pools=pools, dt_s=dt_s)
    basis = Basis.over(time_s, prior)
    n = len(value)
    share, level, level_var, drift, drift_var = (np.empty((2, n)) for _ in range(5))
    samples = np.empty(n)
    explain(
        (time_s, np.array(basis.active, dtype=np.int64)),
        cleaned.value,
        (noise.measurement_var, noise.measurement_var * cleaned.last_doubt, noise.process_var),
        basis.values,
        (
            np.array([j for j, _, _, _ in basis.explanations], dtype=np.int64),
            np.array([is_ramp for _, is_ramp, _, _ in basis.explanations]),
            np.array([sd**2 for _, _, sd, _ in basis.explanations]),
            np.exp([log_prior for _, _, _, log_prior in basis.explanations]),
        ),
        (basis.slow_sd**2, SCALE_SAMPLES),
        (share, level, level_var, drift, drift_var, samples),
    )
    return DriftPosterior(
        share=share,
        level=level,
        level_sd=np.sqrt(level_var),
        drift=drift,
        drift_sd=np.sqrt(drift_var),
        noise=np.where(samples == 0.0, np.nan, np.sqrt(noise.process_var)),
        samples=samples,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
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
    def over(cls, time_s: Array, prior: DriftPrior) -> Basis:
        """The regressors of a window [T] of which the prior knows."""
        last = time_s[-1]
        onsets = [k for k in _ONSETS if k < len(time_s)]
        # Onsets are equally likely at any time, so each stands for the stretch up to the next.
        stretch = dict(zip(_ONSETS, np.diff([0, *_ONSETS]), strict=True))
        ramps = [k for k in onsets if k >= _SHORTEST_RAMP]
        jumps = [k for k in onsets if k <= LONGEST_STEP]
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
