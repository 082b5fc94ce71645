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

# After a change the past counts for so much, that what is off in the change is soon put right.
KEPT = 0.25


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
    gram, moment = state.gram.copy(), state.moment.copy()
    mean_used, costs = state.mean_used.copy(), state.costs.copy()
    moment[:, r] += change * state.scale[:, r, None] * gram[:, r, :, k]
    gram[:, r] *= KEPT
    moment[:, r] *= KEPT
    creep = KEPT * state.creep
    creep[:, r, -1] += change * state.scale[:, r] * creep[:, r, k]
    # The means have followed part of the way; what they still lack they get at once.
    lacking = state.shift.cell_left[0, :, r]
    mean_used[:, r] += lacking
    costs[k, r] += change
    cells, classes = state.mean_rates.shape
    weight = state.report_weight.copy()
    weight[k, r] = 0.0
    return replace(
        state,
        gram=gram,
        moment=moment,
        creep=creep,
        mean_used=mean_used,
        costs=costs,
        report_weight=weight,
        misfit_s=np.where(np.arange(costs.shape[1]) == r, 0.0, state.misfit_s),
        shift=start_shift(cells=cells, classes=classes, resources=costs.shape[1]),
    )
