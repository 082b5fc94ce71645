"""This module is how much more a cell uses than its work explains: smooth in calm, else quick.

Two exponential means of the log ratio of used to expected. While they agree within the fast one's
noise, the slow one speaks; the further they part, the more the fast one does.

How far apart is far depends on how many are looked at: among a thousand quiet cells some cell is
three deviations off at any moment. So the limits are those at which a fleet as a whole is as
seldom deceived as one of `_FEW` cells is (Bonferroni's correction).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["FactorState", "start_factor", "update_factor"]

Array = NDArray[np.float64]

_FAST_S = 3.0
_SLOW_S = 30.0
_NOISE_S = 60.0
# Fully trusted beyond the second, not at all below the first; in deviations of the fast mean, for
# so many cells or fewer.
_DOUBT, _TRUST, _FEW = 2.0, 3.5, 20
# Work that stands out less than this from the noise tells nothing of what work costs.
_LEAST_SIGNAL = 3.0
_CLIP = 3.0
_START_SD = 0.1
_LEAST_SD = 0.01
_BOUNDS = (0.2, 20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorState:
    """Log ratios of C cells and R resources.

    Attributes:
        fast: [C, R], quick mean.
        slow: [C, R], smooth mean.
        noise_var: [C, R], scatter of one reading around the fast mean.
        last: [C, R], the reading before, against which a lone spike is told.
        factor: [C, R], what is believed; 1 = as the fleet.
        trust: [C, R], in [0, 1], how far the quick mean speaks: above 0 the cell is changing.
    """

    fast: Array
    slow: Array
    noise_var: Array
    last: Array
    factor: Array
    trust: Array


def start_factor(cells: int, resources: int) -> FactorState:
    """Every cell as the fleet."""
    zero = np.zeros((cells, resources))
    return FactorState(
        fast=zero,
        slow=zero,
        noise_var=zero + _START_SD**2,
        last=zero,
        factor=zero + 1.0,
        trust=zero,
    )


def update_factor(
    state: FactorState, used: Array, served: Array, *, noise_sd: Array, dt_s: float
) -> FactorState:
    """Take in one reading.

    Args:
        state: Before.
        used: [C, R], beyond the base; NaN = unknown: the factor holds.
        served: [C, R], what the work should have used.
        noise_sd: [R], scatter of one reading in the resource's unit.
        dt_s: Since the last reading, > 0.
    """
    telling = ~np.isnan(used) & (served > _LEAST_SIGNAL * noise_sd)
    ratio = np.where(telling, np.nan_to_num(used), 1.0) / np.where(telling, served, 1.0)
    reading = np.log(np.clip(ratio, *_BOUNDS))
    sd = np.sqrt(state.noise_var)
    # The middle of this reading, the one before and the mean: a lone spike never gets through,
    # a lasting change loses one reading.
    a, b, m = reading, state.last, state.fast
    middle = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), m))
    blunt = np.clip(reading, middle - _CLIP * sd, middle + _CLIP * sd)
    quick, smooth = -np.expm1(-dt_s / _FAST_S), -np.expm1(-dt_s / _SLOW_S)
    fast = state.fast + quick * (blunt - state.fast)
    # Differences of neighbours: blind to a creep, which is no noise.
    change = np.clip(reading - state.last, -_CLIP * 1.5 * sd, _CLIP * 1.5 * sd)
    noise_var = state.noise_var - np.expm1(-dt_s / _NOISE_S) * (0.5 * change**2 - state.noise_var)
    noise_var = np.maximum(noise_var, _LEAST_SD**2)
    # Variance of an exponential mean of white readings.
    fast_sd = np.sqrt(noise_var * quick / (2.0 - quick))
    apart = np.abs(fast - state.slow) / fast_sd
    doubt, trust_at = _limits(len(fast))
    trust = np.clip((apart - doubt) / (trust_at - doubt), 0.0, 1.0)
    slow = state.slow + smooth * (fast - state.slow)
    believed = np.exp(slow + trust * (fast - slow))

    def taken(new: Array, old: Array) -> Array:
        return np.where(telling, new, old)

    return FactorState(
        fast=taken(fast, state.fast),
        slow=taken(slow, state.slow),
        noise_var=taken(noise_var, state.noise_var),
        last=taken(reading, state.last),
        factor=taken(believed, state.factor),
        trust=taken(trust, state.trust),
    )


@cache
def _limits(cells: int) -> tuple[float, float]:
    """Deviations below which nothing, and beyond which all, of a difference is believed."""
    law, ratio = NormalDist(), min(_FEW / max(cells, 1), 1.0)
    doubt, trust = (-law.inv_cdf(law.cdf(-limit) * ratio) for limit in (_DOUBT, _TRUST))
    return doubt, trust
