"""This module is how refused work is let in again: in steps, most important first, and with room.

Shedding begins at once, because queues do. Its end has time: work that is let in again too early
is refused again a second later, and clients that retry make of this an oscillation. So what is
shed falls by a step a second at most, only as far as it fits under a ceiling that lies a gap
below the one at which shedding begins, and no flow is let in while a more important one still
loses requests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreshard.planning.problem import Floats

__all__ = ["least_shed"]

# Part of a flow that may come back in a second, by priority.
STEPS = np.array([0.5, 0.25, 0.1])
# Under the utilisation at which sheddable work is refused; noise of a busy fleet is about .02.
GAP = 0.03
# What is less than this is the rounding of shares, and comes back with the next plan.
NEGLIGIBLE = 2e-3
# Below this a flow needs nothing.
NO_WORK = 1e-9


def least_shed(
    live: Floats,
    priority: NDArray[np.int64],
    work: Floats,
    capacity: Floats,
    *,
    ceiling: float,
    interval_s: float,
) -> Floats:
    """The least that must go on being shed, [F], at most what is shed now.

    Args:
        live: [F] shed now, in [0, 1].
        priority: [F] 0 = critical, let in first.
        work: [F, R] that all of each flow would need a second.
        capacity: [R] of all cells that take work.
        ceiling: Utilisation above which work is shed.
        interval_s: Since the last decision.
    """
    room = (ceiling - GAP) * capacity - (1.0 - live) @ work
    kept = live.copy()
    blocked_from = np.inf
    for f in np.lexsort((np.arange(live.size), priority)):
        if live[f] <= NEGLIGIBLE:
            kept[f] = 0.0
            continue
        if priority[f] > blocked_from:
            continue
        step = STEPS[min(int(priority[f]), STEPS.size - 1)] * interval_s
        needed = work[f] > NO_WORK
        fits = float((room[needed] / work[f][needed]).min()) if needed.any() else 1.0
        back = float(np.clip(fits, 0.0, min(step, live[f])))
        room = room - back * work[f]
        kept[f] = live[f] - back
        if kept[f] > NEGLIGIBLE:
            blocked_from = min(blocked_from, float(priority[f]))
        else:
            kept[f] = 0.0
    return kept
