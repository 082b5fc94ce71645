"""This module is the demand of each flow in the next seconds: level, trend, and their doubt.

Holt's linear smoothing, made robust. A reading is believed up to three deviations from what was
expected, so that one odd second does not move the plan; readings that keep missing on the same
side widen the deviation and speed up the level, so a true surge is followed within a few seconds;
one that no chance explains is followed at once, and a lone spike is left as fast as it was taken.
The trend is damped: a slope of seconds does not last for minutes. No reading is no news: level
and trend hold and the spread widens with the time since, and nothing ever becomes zero by silence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError

__all__ = ["DemandState", "quantile_rps", "start", "update"]

Array = NDArray[np.float64]

_LEVEL_S = 5.0
_TREND_S = 20.0
_SPREAD_S = 20.0
# A trend is carried on for about this long.
_DAMPING_S = 30.0
_CLIP_SPREADS = 3.0
# Consecutive misses on one side after which the level follows at once.
_SURGE_READINGS = 3.0
# A rise of so many deviations is not waited for: the queue it makes costs more than a false alarm.
_LEAP_SPREADS = 6.0
_WIDENING_PER_S = 0.02
_FEWEST_SPREAD_RPS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandState:
    """What is known of F flows.

    Attributes:
        level_rps: [F], NaN = never heard of.
        trend_rps2: [F], change of the level a second.
        spread_rps: [F], standard deviation of one reading around what was expected.
        misses: [F], readings in a row beyond the clip, signed by side.
        silent_s: [F], since the last reading.
    """

    level_rps: Array
    trend_rps2: Array
    spread_rps: Array
    misses: Array
    silent_s: Array


def start(flows: int) -> DemandState:
    """A state that knows nothing of so many flows."""
    zero = np.zeros(flows)
    return DemandState(
        level_rps=np.full(flows, np.nan),
        trend_rps2=zero,
        spread_rps=zero,
        misses=zero,
        silent_s=zero,
    )


def update(state: DemandState, demand_rps: Array, *, dt_s: float) -> DemandState:
    """Take in one reading of every flow.

    Args:
        state: Before.
        demand_rps: [F], >= 0, NaN = not heard.
        dt_s: Since the last update, > 0.

    Raises:
        ForecastError: Shapes do not match, a demand is negative, or `dt_s` is not > 0.
    """
    if demand_rps.shape != state.level_rps.shape:
        raise ForecastError(
            f"demand: reading has shape {demand_rps.shape}, must be {state.level_rps.shape}"
        )
    if not dt_s > 0.0 or np.any(demand_rps < 0.0):
        raise ForecastError(f"demand: dt_s is {dt_s}, demand {demand_rps}: must be > 0 and >= 0")
    heard = ~np.isnan(demand_rps)
    first = heard & np.isnan(state.level_rps)
    level = np.where(first, demand_rps, state.level_rps)
    # Counts scatter by the square root of what was counted, whatever else they do.
    least = np.sqrt(np.maximum(level, 0.0) / dt_s) + _FEWEST_SPREAD_RPS
    spread = np.maximum(np.where(first, 0.0, state.spread_rps), least)
    gap_s = state.silent_s + dt_s
    expected = np.maximum(level + state.trend_rps2 * _carried_s(gap_s), 0.0)
    miss = np.where(heard, demand_rps - expected, 0.0)
    bound = _CLIP_SPREADS * spread
    beyond = np.where(np.abs(miss) > bound, np.sign(miss), 0.0)
    run = np.where(beyond == 0.0, 0.0, np.where(state.misses * beyond > 0.0, state.misses, 0.0))
    run = run + beyond
    leaps = miss > _LEAP_SPREADS * spread
    leaves = (beyond < 0.0) & (state.misses == 1.0)
    surge = (np.abs(run) >= _SURGE_READINGS) | leaps | leaves
    believed = np.where(surge, miss, np.clip(miss, -bound, bound))
    gain = np.where(surge, 1.0, -np.expm1(-gap_s / _LEVEL_S))
    follow = -np.expm1(-dt_s / _TREND_S)
    trend = state.trend_rps2 * np.exp(-gap_s / _DAMPING_S) + np.where(
        surge, 0.0, gain * believed * follow / gap_s
    )
    wider = np.sqrt(
        spread**2 + -np.expm1(-dt_s / _SPREAD_S) * (np.clip(miss, -bound, bound) ** 2 - spread**2)
    )

    def taken(new: Array, old: Array) -> Array:
        return np.where(first, old, np.where(heard, new, old))

    return DemandState(
        level_rps=np.where(
            first, demand_rps, np.where(heard, np.maximum(expected + gain * believed, 0.0), level)
        ),
        trend_rps2=taken(trend, state.trend_rps2),
        spread_rps=np.where(first, least, np.where(heard, wider, state.spread_rps)),
        misses=np.where(heard & ~first, run, state.misses),
        silent_s=np.where(heard, 0.0, gap_s),
    )


def quantile_rps(state: DemandState, *, ahead_s: float, deviations: float = 1.2816) -> Array:
    """Demand that is not exceeded, [F], on average over the next `ahead_s` seconds.

    Args:
        state: Now.
        ahead_s: > 0; the mean over this stretch is meant, in which counting noise averages out.
        deviations: Normal deviations above the middle: 1.2816 = 90 %, 0 = the middle.

    Returns:
        Requests a second; NaN for a flow that was never heard of.
    """
    to_s = state.silent_s + ahead_s
    middle = np.maximum(state.level_rps + state.trend_rps2 * _carried_s(to_s), 0.0)
    # The level itself is known to about half the spread, and ever less while it is silent.
    averaged = state.spread_rps * np.sqrt(0.25 + 1.0 / np.maximum(ahead_s, 1.0))
    wandering = _WIDENING_PER_S * middle * np.sqrt(to_s)
    return np.asarray(middle + deviations * np.hypot(averaged, wandering))


def _carried_s(seconds: Array) -> Array:
    """For how long a damped trend counts, of so many seconds."""
    return np.asarray(-_DAMPING_S * np.expm1(-seconds / _DAMPING_S))
