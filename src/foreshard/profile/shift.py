"""This module is whether a class began to cost something else, by what is left unexplained.

Over the last seconds, what cells use beyond what is expected is held against the rate of each
class in turn, beside a part that is common to all cells. The class that explains most is
suspected (a generalised likelihood ratio over forgetting windows; Basseville and Nikiforov 1993,
section 2.4): a short window for what is plain, a long one for what is small. It is named when for
some seconds it explains far more than chance would, clearly more than any other class does, and
in most of the cells that serve it: a single ailing cell is no change of cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shift", "ShiftState", "judge_shifts", "start_shift", "update_shift"]

Array = NDArray[np.float64]

WINDOWS_S = (8.0, 40.0)
# Twice the log likelihood ratio: beyond chance (6 deviations: the error of a base is common to
# all readings of a cell, so counts of readings overstate what is known), and beyond the next.
LEAST_GAIN, LEAST_LEAD = 36.0, 12.0
# A window is mostly filled with what came after a change when it has been clear for so much of it.
CLEAR_PART = 0.75
# Smaller changes are followed without a word.
LEAST_CHANGE = 0.3
AGREEING = 0.6
# A cell that gets less than this part of the mean of a class has no vote.
VOTING = 0.2
# So many seconds must have been seen before anything is known to have changed.
WARM_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShiftState:
    """Forgetting sums over readings, weighted by how sure they are; W windows.

    Attributes:
        count: [W, R] of weights.
        rate: [W, R, K] of rates.
        square: [W, R, K] of squares of rates.
        left: [W, R] of what is unexplained.
        product: [W, R, K] of that x rates.
        cell_left: [W, C, R] mean of what is unexplained.
        suspect: int [W, R] the class that explains most, -1 = none does.
        clear_s: [W, R] for how long.
        seen_s: How long anything was seen.
    """

    count: Array
    rate: Array
    square: Array
    left: Array
    product: Array
    cell_left: Array
    suspect: NDArray[np.int64]
    clear_s: Array
    seen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Shift:
    """That a request of class `k` uses `change` more of resource `r`."""

    k: int
    r: int
    change: float
    deviations: float


def start_shift(*, cells: int, classes: int, resources: int) -> ShiftState:
    """Nothing was seen yet."""
    w, r, k = len(WINDOWS_S), resources, classes
    return ShiftState(
        count=np.zeros((w, r)),
        rate=np.zeros((w, r, k)),
        square=np.zeros((w, r, k)),
        left=np.zeros((w, r)),
        product=np.zeros((w, r, k)),
        cell_left=np.zeros((w, cells, r)),
        suspect=np.full((w, r), -1),
        clear_s=np.zeros((w, r)),
    )


def update_shift(
    state: ShiftState, rates: Array, left: Array, weight: Array, *, dt_s: float
) -> ShiftState:
    """Take in one reading.

    Args:
        state: Before.
        rates: [C, K] requests a second.
        left: [C, R] used beyond what was expected.
        weight: [C, R] inverse variance, 0 = not heard.
        dt_s: Since the last reading, > 0.
    """
    keep = np.exp(-dt_s / np.array(WINDOWS_S))[:, None]
    weighted = weight * left
    followed = keep[:, :, None] * state.cell_left + (1.0 - keep[:, :, None]) * left
    return replace(
        state,
        count=keep * state.count + weight.sum(axis=0),
        rate=keep[:, :, None] * state.rate + weight.T @ rates,
        square=keep[:, :, None] * state.square + weight.T @ (rates * rates),
        left=keep * state.left + weighted.sum(axis=0),
        product=keep[:, :, None] * state.product + weighted.T @ rates,
        cell_left=np.where(weight > 0.0, followed, state.cell_left),
        seen_s=state.seen_s + dt_s,
    )


def judge_shifts(
    state: ShiftState, costs: Array, mean_rates: Array, *, autocorrelation: Array, dt_s: float
) -> tuple[ShiftState, tuple[Shift, ...]]:
    """At most one changed class a resource; none while it is not clear which.

    Args:
        state: With the newest reading.
        costs: [K, R] as known so far.
        mean_rates: [C, K].
        autocorrelation: [R] of readings.
        dt_s: Since it was judged last.
    """
    if state.seen_s < WARM_S or costs.size == 0:
        return state, ()
    count = np.maximum(state.count, 1e-300)[:, :, None]
    about = state.square - state.rate**2 / count
    cross = state.product - state.rate * state.left[:, :, None] / count
    usable = about > 1e-9 * np.maximum(state.square, 1e-300)
    change = np.where(usable, cross / np.where(usable, about, 1.0), 0.0)
    lost = ((1.0 + autocorrelation) / (1.0 - autocorrelation))[:, None]
    gain = np.where(usable, change * cross, 0.0) / lost
    best = gain.argmax(axis=2)
    second = np.sort(gain, axis=2)[:, :, -2] if len(costs) > 1 else np.zeros(best.shape)
    most = np.take_along_axis(gain, best[:, :, None], axis=2)[:, :, 0]
    is_clear = (most > LEAST_GAIN) & (most - second > LEAST_LEAD)
    clear_s = np.where(is_clear & (best == state.suspect), state.clear_s + dt_s, 0.0)
    state = replace(state, suspect=np.where(is_clear, best, -1), clear_s=clear_s)
    found: dict[int, Shift] = {}
    for w, r in np.argwhere(clear_s >= CLEAR_PART * np.array(WINDOWS_S)[:, None]).tolist():
        k = int(best[w, r])
        known = float(costs[k, r])
        new = max(known + float(change[w, r, k]), 0.0)
        is_large = abs(new - known) > LEAST_CHANGE * known
        if (
            r not in found
            and is_large
            and _agree(state, mean_rates, w, Shift(k, r, new - known, 0))
        ):
            found[r] = Shift(k, r, new - known, float(np.sqrt(most[w, r])))
    return state, tuple(found.values())


def _agree(state: ShiftState, mean_rates: Array, window: int, shift: Shift) -> bool:
    """Whether most cells that serve the class are better explained by the change."""
    served = mean_rates[:, shift.k]
    voting = served > VOTING * served.mean()
    left = state.cell_left[window, voting, shift.r]
    better = np.abs(left - shift.change * served[voting]) < np.abs(left)
    return bool(voting.any()) and float(better.mean()) >= AGREEING
