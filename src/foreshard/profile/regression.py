"""This module is what classes cost, told from what cells use while they serve them.

Model, per resource: `used[c] = base[c] + scale[h(c)] * sum_k cost[k] rate[c, k] + noise`. Costs
belong to the fleet, a scale to each sort of hardware, a base to each cell. Both sides are taken
as differences from the same running means of the cell, so the base drops out whatever it is, and
a large cell with a large base is never taken for an expensive class (the within estimator of
panel data; Wooldridge 2010, section 10.5). What is left is pooled over all cells in one set of
normal equations per sort of hardware: an update is a product of [C, K] with itself.

A reading far off counts less (Huber 1964), unless most cells are as far off at the same moment:
then it is the model that is wrong. Old readings are forgotten exponentially. Readings that
follow each other are not independent, so the ranges are widened by their autocorrelation.

Balancers and cells are seldom read at the same moment, and what a request uses may be counted a
second later: second by second the two sides do not match, and costs would come out far too low
(as with any noise in what explains). So both are smoothed alike over some seconds first, which
costs some precision where they do match.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.profile.nonnegative import solve_nonnegative
from foreshard.profile.shift import ShiftState, start_shift, update_shift
from foreshard.profile.typical import typical_cost

__all__ = [
    "NEAR_S",
    "CostState",
    "base",
    "precision",
    "start_costs",
    "take_reports",
    "update_costs",
]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Longer is smoother, and further behind costs that drift.
MEMORY_S = 180.0
# Means follow slower than costs are noticed to change, and quicker than a base creeps.
MEAN_S = 60.0
# Longer than what is counted may be late.
NEAR_S = 5.0
# A reading further off counts as one that is so far off (a job, a restart); one of which it is
# asked whether a cost has changed, as one that is further.
HUBER_SDS, CLIP_SDS = 2.5, 4.0
# Times that smoothing makes ranges too wide, in variance: 1 where rates change slowly, 2 where
# they change from second to second.
SMOOTHED = 1.5
NOISE_S = 60.0
# Until so many readings the scatter is mostly a guess, this part of what is used.
PRIOR_READINGS, PRIOR_NOISE = 10.0, 0.1
LEAST_NOISE = 1e-4
# Median of the absolute value of a standard normal, inverted.
MAD = 1.4826
FEW_CELLS = 5
MISFIT, FAR, PATIENCE_S = 2.0, 5.0, 120.0
# What a class costs before anything tells: the mean request, and how many times that it may be
# off. It is only for what is expected of the next reading; reports do not invent costs.
PRIOR_TIMES = 30.0
# Sorts of hardware differ by so much.
SCALE_SD, SCALE_BOUNDS = 0.5, (0.1, 10.0)
# What requests report leaves out the work that nobody accounts to them: it is no better than so.
REPORT_ERROR = 0.05
MOST_AUTOCORRELATION = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostState:
    """What is known so far of C cells, K classes, R resources, H sorts of hardware.

    Attributes:
        hardware: int [C], 0 <= h < H.
        gram: [H, R, K, K] forgetting sum of weighted products of rates.
        moment: [H, R, K] the same with what was used.
        creep: [H, R, K + 2] the same of what cells use on average with the rates, with itself and
            with what was used: means lag behind what creeps, in proportion to it.
        mean_rates: [C, K] running means.
        mean_used: [C, R] NaN = never heard.
        near_rates: [C, K] the same over some seconds.
        near_used: [C, R]
        readings: [C, R] how many were heard.
        noise_var: [C, R] scatter of one reading.
        last: [C, R] the newest residual, NaN = none.
        together: [R, 2] forgetting sums of residual x the one before, and of its square.
        costs: [K, R] what explains best.
        scale: [H, R] times as much that this hardware uses for the same request.
        reported: [K, R] mean of what requests said, NaN = nothing.
        report_weight: [K, R] inverse variance of that.
        misfit_s: [R] for how long most cells have been far off.
        shift: What of late speaks for a changed cost.
    """

    hardware: Index
    gram: Array
    moment: Array
    creep: Array
    mean_rates: Array
    mean_used: Array
    near_rates: Array
    near_used: Array
    readings: Array
    noise_var: Array
    last: Array
    together: Array
    costs: Array
    scale: Array
    reported: Array
    report_weight: Array
    misfit_s: Array
    shift: ShiftState

    @property
    def autocorrelation(self) -> Array:
        """[R] of residuals one reading apart, in [0, 0.95]."""
        rho = self.together[:, 0] / np.maximum(self.together[:, 1], 1e-300)
        return np.asarray(np.clip(rho, 0.0, MOST_AUTOCORRELATION))


def start_costs(
    *, cells: int, classes: int, resources: int, hardware: Index | None = None
) -> CostState:
    """Nothing was seen yet.

    Args:
        cells: C.
        classes: K.
        resources: R.
        hardware: int [C], which sort each cell runs on; None = all the same.

    Raises:
        InvalidValueError: `hardware` does not name a sort for each cell.
    """
    sort = np.zeros(cells, dtype=np.int64) if hardware is None else hardware
    if sort.shape != (cells,) or (cells and int(sort.min()) < 0):
        raise InvalidValueError(
            f"costs: hardware has shape {sort.shape}, must be ({cells},), each 0 or more"
        )
    sorts = int(sort.max(initial=0)) + 1
    return CostState(
        hardware=sort,
        gram=np.zeros((sorts, resources, classes, classes)),
        moment=np.zeros((sorts, resources, classes)),
        creep=np.zeros((sorts, resources, classes + 2)),
        mean_rates=np.zeros((cells, classes)),
        mean_used=np.full((cells, resources), np.nan),
        near_rates=np.zeros((cells, classes)),
        near_used=np.full((cells, resources), np.nan),
        readings=np.zeros((cells, resources)),
        noise_var=np.zeros((cells, resources)),
        last=np.full((cells, resources), np.nan),
        together=np.zeros((resources, 2)),
        costs=np.zeros((classes, resources)),
        scale=np.ones((sorts, resources)),
        reported=np.full((classes, resources), np.nan),
        report_weight=np.zeros((classes, resources)),
        misfit_s=np.zeros(resources),
        shift=start_shift(cells=cells, classes=classes, resources=resources),
    )


def update_costs(state: CostState, rates: Array, used: Array, *, dt_s: float) -> CostState:
    """Take in one reading of every cell.

    Args:
        state: Before.
        rates: [C, K] requests a second, NaN = unknown.
        used: [C, R] use, counted over the same stretch; NaN = unknown.
        dt_s: Since the last reading, > 0.

    Raises:
        ForecastError: Shapes do not match the state, or `dt_s` is not > 0.
    """
    cells, resources = state.mean_used.shape
    if rates.shape != state.mean_rates.shape or used.shape != (cells, resources) or not dt_s > 0.0:
        raise ForecastError(
            f"costs: rates {rates.shape}, used {used.shape}, dt_s {dt_s}: must be "
            f"{state.mean_rates.shape}, {(cells, resources)} and > 0"
        )
    counted: NDArray[np.bool_] = np.asarray(~np.isnan(rates).any(axis=1))
    rates = rates if counted.all() else np.where(counted[:, None], rates, state.mean_rates)
    heard = counted[:, None] & ~np.isnan(used)
    is_first = heard & np.isnan(state.mean_used)
    fresh = (state.readings == 0.0).all(axis=1) & counted
    mean_rates = state.mean_rates
    if fresh.any():
        mean_rates = np.where(fresh[:, None], rates, mean_rates)
    apart = rates - mean_rates
    work = (apart @ state.costs) * state.scale[state.hardware]
    mean_used = np.where(is_first, used - work, state.mean_used)
    residual = np.where(heard & ~is_first, used - mean_used - work, 0.0)
    # A cell that uses nothing, or stands still, is not surer than the fleet it is of: its gauge
    # tells no finer, and a weight without bound would be all that costs are learned from.
    level = np.maximum(np.abs(mean_used), _usual(mean_used))
    guess = (PRIOR_NOISE * np.maximum(np.abs(used), level)) ** 2
    noise_var = np.where(is_first & (state.noise_var == 0.0), guess, state.noise_var)
    typical = typical_cost(mean_rates, mean_used)
    noise_var = np.maximum(noise_var, (LEAST_NOISE * level) ** 2)
    sd = np.where(np.isnan(noise_var), 1.0, np.sqrt(noise_var))
    telling = heard & ~is_first
    open_ = _spread(residual / sd, telling)
    # While most cells are off it is not known what changed, and nothing is learned from them; for
    # so long and no longer.
    misfit_s = np.where(open_ > MISFIT, state.misfit_s + dt_s, 0.0)
    doubt = np.where(misfit_s < PATIENCE_S, open_, 1.0)
    sure = telling / sd**2
    blunt = np.clip(residual, -HUBER_SDS * open_ * sd, HUBER_SDS * open_ * sd)
    # One second of wrong readings everywhere is no changed cost: that is believed at the second.
    wide = np.where(state.misfit_s > 0.0, open_, np.minimum(open_, FAR))
    clipped = np.clip(residual, -CLIP_SDS * wide * sd, CLIP_SDS * wide * sd)
    # What is believed of the reading; where nothing was heard, what was expected.
    believed = work + telling * blunt / np.where(open_ > FAR, doubt, 1.0)

    readings = state.readings + heard
    slow, quick = (
        _gain(counted, readings, dt_s=dt_s, span_s=span_s) for span_s in (MEAN_S, NEAR_S)
    )
    near_rates = np.where(fresh[:, None], rates, state.near_rates)
    near_rates += quick * (rates - near_rates)
    expected = mean_used + ((near_rates - mean_rates) @ state.costs) * state.scale[state.hardware]
    near_used = np.where(is_first | np.isnan(state.near_used), expected, state.near_used)
    near_used += np.where(is_first, 0.0, quick * (mean_used + believed - near_used))
    keep = float(np.exp(-dt_s / MEMORY_S))
    together, last = _together(state, residual / sd, telling & (open_ <= MISFIT), keep)
    noise_gain = np.where(
        telling, np.maximum(1.0 / (PRIOR_READINGS + readings), _part(dt_s, NOISE_S)), 0.0
    )
    # Clipped squares are too small by what a normal law has beyond; that is little.
    after = replace(
        _pooled(
            state,
            near_rates - mean_rates,
            np.nan_to_num(near_used - mean_used),
            sure / doubt**2,
            level=np.nan_to_num(mean_used),
            keep=keep,
        ),
        mean_rates=mean_rates + slow * apart,
        mean_used=mean_used + slow * (work + telling * blunt / doubt),
        near_rates=near_rates,
        near_used=near_used,
        readings=readings,
        noise_var=noise_var + noise_gain * ((clipped / wide) ** 2 - noise_var),
        last=last,
        together=together,
        misfit_s=misfit_s,
        shift=update_shift(state.shift, rates, clipped, sure, dt_s=dt_s),
    )
    return _solved(after, typical)


def _usual(used: Array) -> Array:
    """[R] mean use of the cells that were heard; next to nothing before there is one."""
    heard = ~np.isnan(used)
    total = np.where(heard, np.abs(used), 0.0).sum(axis=0)
    return np.asarray(np.maximum(total / np.maximum(heard.sum(axis=0), 1), 1e-12))


def _pooled(
    state: CostState, apart: Array, used: Array, weight: Array, *, level: Array, keep: float
) -> CostState:
    """Forget some of what was pooled, and add one reading of all cells.

    Args:
        state: Before.
        apart: [C, K] rates, beyond their means.
        used: [C, R] beyond its mean.
        weight: [C, R] inverse variance.
        level: [C, R] mean of what is used.
        keep: Part of the old that stays.
    """
    gram, moment, creep = keep * state.gram, keep * state.moment, keep * state.creep
    target = weight * used
    for sort in range(gram.shape[0]):
        rows = slice(None) if gram.shape[0] == 1 else state.hardware == sort
        x = apart[rows]
        moment[sort] += target[rows].T @ x
        creep[sort, :, :-2] += (weight[rows] * level[rows]).T @ x
        creep[sort, :, -2] += (weight[rows] * level[rows] ** 2).sum(axis=0)
        creep[sort, :, -1] += (target[rows] * level[rows]).sum(axis=0)
        for r in range(gram.shape[1]):
            gram[sort, r] += x.T @ (weight[rows, r, None] * x)
    return replace(state, gram=gram, moment=moment, creep=creep)


def take_reports(state: CostState, mean: Array, requests: Array, scatter: Array) -> CostState:
    """Take in what requests said themselves that they used.

    Args:
        state: Before.
        mean: [K, R] of a request, NaN = nobody said.
        requests: [K, R] how many said so.
        scatter: [K, R] standard deviation of one request, >= 0; NaN = unknown, taken as `mean`.
    """
    said = np.isfinite(mean) & (requests > 0.0)
    spread = np.where(np.isnan(scatter), mean, scatter)
    error = (spread**2) / np.where(said, requests, 1.0)
    floor = (REPORT_ERROR * mean) ** 2
    news = np.where(said, 1.0 / np.maximum(np.maximum(error, floor), 1e-300), 0.0)
    weight = np.where(said, state.report_weight, 0.0) + news
    before = np.where(np.isnan(state.reported), mean, state.reported)
    blend = news / np.maximum(weight, 1e-300)
    reported = np.where(said, before + blend * (mean - before), state.reported)
    # However many said so, they may all leave out the same.
    most = 1.0 / np.maximum((REPORT_ERROR * np.where(said, reported, 1.0)) ** 2, 1e-300)
    after = replace(
        state,
        reported=reported,
        report_weight=np.where(said, np.minimum(weight, most), state.report_weight),
    )
    return _solved(after, typical_cost(state.mean_rates, state.mean_used))


def precision(state: CostState) -> tuple[Array, Array]:
    """Normal equations per resource: [R, K, K] inverse covariance of costs, [R, K] its pull."""
    squared = np.einsum("hr,hrkl->rkl", state.scale**2, state.gram)
    pull = np.einsum("hr,hrk->rk", state.scale, state.moment)
    with_rates = np.einsum("hr,hrk->rk", state.scale, state.creep[:, :, :-2])
    itself = np.maximum(state.creep[:, :, -2].sum(axis=0), 1e-300)[:, None]
    squared -= with_rates[:, :, None] * with_rates[:, None, :] / itself[:, :, None]
    pull -= with_rates * state.creep[:, :, -1].sum(axis=0)[:, None] / itself
    rho = state.autocorrelation
    lost = ((1.0 + rho) / (1.0 - rho))[:, None]
    # A forgetting sum of so many readings is as sure as one of up to twice as many that all count
    # alike; smoothed noise is counted once too often, in part.
    lost /= SMOOTHED * 2.0 / (1.0 + np.exp(-state.shift.seen_s / MEMORY_S))
    said = state.report_weight.T
    inverse = squared / lost[:, :, None] + np.eye(said.shape[1]) * said[:, None, :]
    return np.asarray(inverse), np.asarray(pull / lost + said * np.nan_to_num(state.reported.T))


def base(state: CostState) -> Array:
    """[C, R] what cells use without any request; NaN = never heard."""
    work = (state.mean_rates @ state.costs) * state.scale[state.hardware]
    return np.asarray(np.maximum(state.mean_used - work, 0.0))


def _solved(state: CostState, typical: Array) -> CostState:
    inverse, pull = precision(state)
    trust = 1.0 / (PRIOR_TIMES * typical) ** 2
    size = pull.shape[1]
    costs = np.array(
        [
            solve_nonnegative(
                inverse[r] + trust[r] * np.eye(size), pull[r] + trust[r] * typical[r]
            )
            for r in range(len(typical))
        ]
    ).reshape(-1, size)
    state = replace(state, costs=costs.T)
    if state.gram.shape[0] == 1:
        return state
    known = np.einsum("rk,hrkl,rl->hr", costs, state.gram, costs)
    told = np.einsum("rk,hrk->hr", costs, state.moment)
    scale = np.clip((told + SCALE_SD**-2) / (known + SCALE_SD**-2), *SCALE_BOUNDS)
    mean = np.exp((known * np.log(scale)).sum(axis=0) / np.maximum(known.sum(axis=0), 1e-300))
    return replace(state, scale=scale / mean)


def _spread(size: Array, telling: NDArray[np.bool_]) -> Array:
    """[R] how many times wider than usual cells are off now; 1 where they are too few to ask."""
    times = np.ones(size.shape[1])
    for r in range(times.size):
        seen = np.abs(size[telling[:, r], r])
        if seen.size >= FEW_CELLS:
            times[r] = max(1.0, MAD * float(np.median(seen)))
    return times


def _together(
    state: CostState, size: Array, telling: NDArray[np.bool_], keep: float
) -> tuple[Array, Array]:
    blunt = np.where(telling, np.clip(size, -CLIP_SDS, CLIP_SDS), np.nan)
    pair = np.isfinite(blunt) & np.isfinite(state.last)
    now, before = np.where(pair, blunt, 0.0), np.where(pair, state.last, 0.0)
    sums = np.stack([(now * before).sum(axis=0), (now * now).sum(axis=0)], axis=1)
    return keep * state.together + sums, blunt


def _gain(counted: NDArray[np.bool_], readings: Array, *, dt_s: float, span_s: float) -> Array:
    """[C, 1] of a mean over a span; the plain mean until so many readings were seen."""
    first = 1.0 / (readings.max(axis=1, initial=0.0) + 1.0)
    return np.asarray(np.where(counted, np.maximum(_part(dt_s, span_s), first), 0.0)[:, None])


def _part(dt_s: float, span_s: float) -> float:
    return float(-np.expm1(-dt_s / span_s))
