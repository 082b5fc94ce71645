"""This module is what a request really costs, learned from what cells use while they serve.

Model, per resource: `used[c] = factor[c] * sum_k need[k] rate[c, k] + base[c] + noise`. Needs
belong to the fleet, base and factor to each cell. Needs are written as `declared * (1 + delta)`
with a prior on delta around 0, so a direction in which the classes' rates never differ stays at
the declared *ratio* of costs and only what the data can tell moves (Bayesian ridge; West &
Harrison 1997, ch. 10 for the forgetting). The base is separated by quasi-demeaning (the random-
effects estimator): a resource whose base is large (memory) is learned from changes within a cell
alone, one whose base is small (cpu) from levels too.

A cell's factor is how much more it uses than the needs say. Two exponential means of the log
ratio, slow and fast: the slow one speaks while they agree, the fast one when they differ by more
than its own noise explains. So a quiet cell stays near 1 and a creep is followed within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.profile.factor import FactorState, start_factor, update_factor

__all__ = ["NeedsEstimate", "NeedsPrior", "NeedsState", "costs", "estimate", "start", "update"]

Array = NDArray[np.float64]

_MEMORY_READINGS = 300.0
_MEAN_READINGS = 60.0
_CLIP_SDS = 3.0
# Until a cell's base is known from so many readings, surprise is ignorance, not a change.
_WARM_READINGS = 10.0
_PRIOR_READINGS = 20.0
_SWEEPS = 60
# A class is told apart when the data narrowed its cost to half of what the prior allows.
_TOLD_APART = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsPrior:
    """What was declared, and how far it may be wrong.

    Attributes:
        declared: [K, R], cost of one request in the resource's unit; > 0 (give a class of unknown
            cost the mean of the others).
        base_sd: [R], how large a cell's idle use may be, in the resource's unit; >= 0.
        noise_sd: [R], scatter of one reading, the resource's unit; > 0. A start: it is learned.
        relative_sd: [K] or one for all, how far a declared cost may be wrong, as a part of it.
    """

    declared: Array
    base_sd: Array
    noise_sd: Array
    relative_sd: Array = field(default_factory=lambda: np.array(0.5))

    def __post_init__(self) -> None:
        k_r = self.declared.shape
        if len(k_r) != 2 or self.base_sd.shape != k_r[1:] or self.noise_sd.shape != k_r[1:]:
            raise InvalidValueError(
                f"needs prior: declared {k_r}, base_sd {self.base_sd.shape}, noise_sd "
                f"{self.noise_sd.shape}: must be [K, R], [R] and [R]"
            )
        if not (np.all(self.declared > 0.0) and np.all(self.noise_sd > 0.0)):
            raise InvalidValueError(
                f"needs prior: declared {self.declared.tolist()} and noise_sd "
                f"{self.noise_sd.tolist()} must be > 0"
            )
        if np.any(self.base_sd < 0.0) or not np.all(self.relative_sd > 0.0):
            raise InvalidValueError(
                f"needs prior: base_sd {self.base_sd.tolist()} must be >= 0 and relative_sd "
                f"{self.relative_sd.tolist()} > 0"
            )
        if self.relative_sd.shape not in {(), k_r[:1]}:
            raise InvalidValueError(
                f"needs prior: relative_sd has shape {self.relative_sd.shape}, must be one for "
                f"all or {k_r[:1]}"
            )

    @property
    def trust(self) -> Array:
        """[K] inverse variance of a declared cost, as a part of it."""
        return np.broadcast_to(1.0 / self.relative_sd**2, self.declared.shape[:1])


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsState:
    """What is known so far; never changed in place.

    Attributes:
        prior: See `NeedsPrior`.
        gram: [R, K, K], forgetting sum of products of (declared cost x rate).
        moment: [R, K], the same with what was used.
        noise_var: [R], scatter of one reading.
        mean_work: [C, K, R], running mean of declared cost x rate.
        mean_used: [C, R].
        readings: [C, R], how many are in the means.
        factor: Of every cell.
    """

    prior: NeedsPrior
    gram: Array
    moment: Array
    noise_var: Array
    mean_work: Array
    mean_used: Array
    readings: Array
    factor: FactorState


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsEstimate:
    """What requests cost and cells use.

    Attributes:
        needs: [K, R], cost of one request, the resource's unit.
        low: [K, R], 10 % bound.
        high: [K, R], 90 % bound.
        is_told_apart: bool [K, R]; where False the rates of the classes moved together, and the
            cost rests on the declared ratio.
        base: [C, R], idle use.
        capacity_factor: [C, R], times more than the fleet's needs say; a cell can serve
            declared capacity / factor.
    """

    needs: Array
    low: Array
    high: Array
    is_told_apart: NDArray[np.bool_]
    base: Array
    capacity_factor: Array


def start(prior: NeedsPrior, *, cells: int) -> NeedsState:
    """A state that rests on the prior alone."""
    k, r = prior.declared.shape
    return NeedsState(
        prior=prior,
        gram=np.zeros((r, k, k)),
        moment=np.zeros((r, k)),
        noise_var=prior.noise_sd**2,
        mean_work=np.zeros((cells, k, r)),
        mean_used=np.zeros((cells, r)),
        readings=np.zeros((cells, r)),
        factor=start_factor(cells, r),
    )


def update(state: NeedsState, rates: Array, used: Array, *, dt_s: float) -> NeedsState:
    """Take in one reading of every cell.

    Args:
        state: Before.
        rates: [C, K], requests a second, NaN = unknown.
        used: [C, R], use a second (cpu: cpu seconds a second), NaN = unknown.
        dt_s: Since the last update, > 0.

    Raises:
        ForecastError: Shapes do not match the state, or `dt_s` is not > 0.
    """
    c, k, r = state.mean_work.shape
    if rates.shape != (c, k) or used.shape != (c, r) or not dt_s > 0.0:
        raise ForecastError(
            f"needs: rates {rates.shape}, used {used.shape}, dt_s {dt_s}: must be {(c, k)}, "
            f"{(c, r)} and > 0"
        )
    heard = ~np.isnan(used) & ~np.any(np.isnan(rates), axis=1, keepdims=True)
    work = np.where(
        heard[:, None, :], np.nan_to_num(rates)[:, :, None] * state.prior.declared, 0.0
    )
    taken = np.where(heard, np.nan_to_num(used), 0.0)
    told = _solve(state)
    base = _base(state, told)
    served = np.einsum("ckr,kr->cr", work, told)
    # A creeping cell says something of itself, not of what requests cost: take its factor out.
    clear = (taken - base) / state.factor.factor + base
    residual = clear - base - served
    bound = _CLIP_SDS * np.sqrt(state.noise_var)
    warm = state.readings >= _WARM_READINGS
    blunt = np.where(warm, np.clip(residual, -bound, bound), residual)
    clear = np.where(heard, base + served + blunt, 0.0)

    readings = state.readings + heard
    # While a cell changes, its excess is neither idle use nor what requests cost.
    steady = np.where(heard, 1.0 - state.factor.trust, 0.0)
    gain = steady / np.clip(readings, 1.0, _MEAN_READINGS)
    mean_work = state.mean_work + gain[:, None, :] * (work - state.mean_work)
    mean_used = state.mean_used + gain * (clear - state.mean_used)

    held = np.minimum(readings, _MEAN_READINGS)
    theta = 1.0 - np.sqrt(state.noise_var / (state.noise_var + held * state.prior.base_sd**2))
    x = np.sqrt(steady)[:, None, :] * (work - theta[:, None, :] * mean_work)
    y = np.sqrt(steady) * (clear - theta * mean_used)
    seen = np.asarray(heard.sum(axis=0))
    keep = np.where(seen > 0, 1.0 - 1.0 / _MEMORY_READINGS, 1.0)
    squares = np.where(heard, np.clip(residual, -bound, bound) ** 2, 0.0).sum(axis=0)
    blend = np.where(seen > 0, 1.0 / _PRIOR_READINGS, 0.0)
    noise_var = state.noise_var + blend * (squares / np.maximum(seen, 1) - state.noise_var)
    return replace(
        state,
        gram=keep[:, None, None] * state.gram + np.einsum("ckr,clr->rkl", x, x),
        moment=keep[:, None] * state.moment + np.einsum("ckr,cr->rk", x, y),
        noise_var=np.maximum(noise_var, 1e-6 * state.prior.noise_sd**2),
        mean_work=mean_work,
        mean_used=mean_used,
        readings=readings,
        factor=update_factor(
            state.factor,
            np.where(heard & warm, taken - base, np.nan),
            served,
            noise_sd=np.sqrt(state.noise_var),
            dt_s=dt_s,
        ),
    )


def costs(state: NeedsState) -> Array:
    """[K, R], `NeedsEstimate.needs` alone."""
    return np.asarray(state.prior.declared * _solve(state))


def estimate(state: NeedsState) -> NeedsEstimate:
    """What the state says, with how sure it is."""
    prior = state.prior
    told = _solve(state)
    covariance = np.linalg.inv(_precision(state)) if len(prior.declared) else np.empty((0, 0, 0))
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)).T
    needs = prior.declared * told
    reach = 1.2816 * prior.declared * sd
    return NeedsEstimate(
        needs=needs,
        low=np.maximum(needs - reach, 0.0),
        high=needs + reach,
        is_told_apart=sd < _TOLD_APART / np.sqrt(prior.trust)[:, None],
        base=_base(state, told),
        capacity_factor=state.factor.factor,
    )


def _precision(state: NeedsState) -> Array:
    """[R, K, K], posterior precision of (1 + delta)."""
    eye = np.diag(state.prior.trust)
    return np.asarray(state.gram / state.noise_var[:, None, None] + eye)


def _solve(state: NeedsState) -> Array:
    """[K, R], 1 + delta >= 0, by projected coordinate descent (convex: it finds the minimum)."""
    precision = _precision(state)
    pull = state.moment / state.noise_var[:, None] + state.prior.trust
    told = np.maximum(np.linalg.solve(precision, pull[:, :, None])[:, :, 0], 0.0)
    if not np.any(told <= 0.0):
        return np.asarray(told.T)
    for _ in range(_SWEEPS):
        for i in range(told.shape[1]):
            rest = pull[:, i] - np.einsum("rk,rk->r", precision[:, i], told)
            told[:, i] = np.maximum(told[:, i] + rest / precision[:, i, i], 0.0)
    return np.asarray(told.T)


def _base(state: NeedsState, told: Array) -> Array:
    """[C, R], what is used beyond the work, shrunk to 0 as far as `base_sd` says."""
    left = state.mean_used - np.einsum("ckr,kr->cr", state.mean_work, told)
    held = np.minimum(state.readings, _MEAN_READINGS) * state.prior.base_sd**2
    return np.asarray(np.maximum(left * held / (held + state.noise_var), 0.0))
