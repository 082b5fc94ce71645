"""This module is the book of what requests cost: every reading goes in, changes come out.

When a class is found to have changed, what was learned before is kept as if it had always cost
what it costs now: the normal equations are linear in it, so nothing about the other classes is
lost.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foreshard.profile.regression import CostState, update_costs
from foreshard.profile.shift import Shift, judge_shifts, start_shift

__all__ = ["read_costs"]

Array = NDArray[np.float64]

# What was learned before a change counts for so much after it.
KEPT = 0.5
# A change is known from seconds alone: it may be off by this part of it.
UNSURE = 0.5


def read_costs(
    state: CostState, rates: Array, used: Array, *, dt_s: float
) -> tuple[CostState, tuple[Shift, ...]]:
    """Take in one reading of every cell; what changed is returned, and known from then on.

    Args:
        state: Before.
        rates: [C, K] requests a second, NaN = unknown.
        used: [C, R] use over the same stretch, NaN = unknown.
        dt_s: Since the last reading, > 0.
    """
    state = update_costs(state, rates, used, dt_s=dt_s)
    shift, found = judge_shifts(
        state.shift,
        state.costs,
        state.mean_rates,
        autocorrelation=state.autocorrelation,
        dt_s=dt_s,
    )
    state = replace(state, shift=shift)
    for each in found:
        state = _shifted(state, each)
    return state, found


def _shifted(state: CostState, shift: Shift) -> CostState:
    k, r, change = shift.k, shift.r, shift.change
    costs = state.costs.copy()
    costs[k, r] += change
    weight = state.report_weight.copy()
    weight[k, r] = 0.0
    cells, classes = state.mean_rates.shape
    return replace(
        _loosened(replace(state, costs=costs), shift),
        # Means of before and after are means of nothing: they begin again.
        mean_used=np.full_like(state.mean_used, np.nan),
        near_used=np.full_like(state.near_used, np.nan),
        readings=np.zeros_like(state.readings),
        last=np.full_like(state.last, np.nan),
        report_weight=weight,
        misfit_s=np.where(np.arange(costs.shape[1]) == r, 0.0, state.misfit_s),
        shift=start_shift(cells=cells, classes=classes, resources=costs.shape[1]),
    )


def _loosened(state: CostState, shift: Shift) -> CostState:
    """The normal equations with their solution at the costs of now, and one of these unsure.

    Adding variance v to one unknown takes a part of rank one off the precision (Sherman and
    Morrison 1950). The level of use, through which creeping shows, is one more unknown.
    """
    k, r = shift.k, shift.r
    gram, moment, creep = state.gram.copy(), state.moment.copy(), state.creep.copy()
    for sort in range(len(gram)):
        times = state.scale[sort, r]
        whole = np.block(
            [
                [gram[sort, r], creep[sort, r, :-2, None]],
                [creep[sort, r, None, :-2], creep[sort, r, -2:-1, None]],
            ]
        )
        variance = (UNSURE * times * shift.change) ** 2
        column = whole[:, k]
        looser = KEPT * (whole - np.outer(column, column) / (1.0 / variance + column[k]))
        costs = times * state.costs[:, r]
        left = creep[sort, r, -1] - creep[sort, r, :-2] @ costs
        solution = np.append(costs, left / max(float(creep[sort, r, -2]), 1e-300))
        pull = looser @ solution
        gram[sort, r], moment[sort, r] = looser[:-1, :-1], pull[:-1]
        creep[sort, r] = np.concatenate([looser[-1], pull[-1:]])
    return replace(state, gram=gram, moment=moment, creep=creep)
