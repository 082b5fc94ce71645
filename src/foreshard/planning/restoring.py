"""This module is how refused work is let in again: in steps, most important first, and with room.

Shedding begins at once, because queues do. Its end has time: work that is let in again too early
is refused again a second later, and clients that retry make of this an oscillation. So what is
shed falls by a step a second at most, and only as far as it fits under a ceiling that lies a gap
below the one at which shedding begins. Room that a more important flow could use is kept for it,
from the first step to the last. A flow that is refused for another reason than room (its cells
are full and others may not have it, no cell can serve more of it now) uses none, and keeps nobody
waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.planning.problem import Flags, Floats

__all__ = ["Room", "cell_sets", "least_shed"]

# Part of a flow that may come back in a second, by priority.
STEPS = np.array([0.5, 0.25, 0.1])
# A gap in what is seen is no time in which anything proved to fit: it counts as two usual ticks.
MOST_STEP_S = 2.0
# Under the utilisation at which work of a priority is refused; noise of a busy fleet is about .02.
GAP = 0.03
# What is less than this is the rounding of shares, and comes back with the next plan.
NEGLIGIBLE = 2e-3
# Below this a flow needs nothing.
NO_WORK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Room:
    """Where flows may go.

    Attributes:
        able: [F, C] cells that may take a flow and take work.
        capacity: [C, R] of each, 0 = takes nothing.
        servable: [F] part of a flow that all its cells together can serve, whatever the room.
    """

    able: Flags
    capacity: Floats
    servable: Floats


def cell_sets(able: Flags, takes: Flags) -> Sequence[Flags]:
    """Sets of cells that some flow is confined to, and all that take work; each [C].

    Work fits if what is confined to each set fits into it (Hall's condition, for the sets that
    flows name; what only their unions would show is left to the planner).
    """
    rows = {row.tobytes(): row for row in (*able, takes)}
    return [row for _, row in sorted(rows.items()) if row.any()]


def least_shed(
    live: Floats,
    priority: NDArray[np.int64],
    work: Floats,
    room: Room,
    *,
    ceiling: Floats | float,
    interval_s: float,
) -> Floats:
    """The least that must go on being shed, [F], at most what is shed now.

    Args:
        live: [F] shed now, in [0, 1].
        priority: [F] 0 = critical, let in first.
        work: [F, R] that all of each flow would need a second.
        room: Where they may go.
        ceiling: [F] utilisation above which work of each flow is shed, or of all.
        interval_s: Since the last decision.
    """
    if not live.any():
        return np.zeros_like(live)
    takes = np.asarray((room.capacity > 0.0).any(axis=1))
    if not takes.any():
        return live.copy()
    sets = cell_sets(room.able, takes)
    confined = np.array([~(room.able & ~cells).any(axis=1) for cells in sets])
    offered = np.array([room.capacity[cells].sum(axis=0) for cells in sets])
    used = confined.astype(np.float64) @ ((1.0 - live)[:, None] * work)
    most = np.broadcast_to(ceiling, live.shape) - GAP
    kept = live.copy()
    span_s = min(interval_s, MOST_STEP_S)
    for f in np.lexsort((np.arange(live.size), priority)):
        if live[f] <= NEGLIGIBLE:
            kept[f] = 0.0
            continue
        needed = work[f] > NO_WORK
        free = most[f] * offered - used
        tight = free[confined[:, f]][:, needed]
        fits = float((tight / work[f][needed]).min()) if tight.size else 1.0
        # What it could come back by, if only time were short.
        could = float(np.clip(min(fits, room.servable[f] - (1.0 - live[f])), 0.0, live[f]))
        back = min(could, STEPS[min(int(priority[f]), STEPS.size - 1)] * span_s)
        used[confined[:, f]] += could * work[f]
        kept[f] = live[f] - back
        if kept[f] <= NEGLIGIBLE:
            kept[f] = 0.0
    return kept
