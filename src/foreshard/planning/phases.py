"""This module is the life of a cell: which phase follows which trigger, as one table.

What is not in the table cannot happen. `docs` draw their diagram from it.

A cell is emptied in two strides (half before whole), because a false drain near the N-1 limit
does more harm than most faults; it comes back in several, because a cell that returns cold and
at full share fails again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from foreshard.model.errors import PlanningError

__all__ = ["TRANSITIONS", "CellState", "Phase", "Trigger", "Why", "advance", "allows"]


class Phase(StrEnum):
    """Where a cell is in its life."""

    ACTIVE = "active"
    DRAINING = "draining"
    DRAINED = "drained"
    RECYCLING = "recycling"
    WARMING = "warming"
    QUARANTINED = "quarantined"


class Trigger(StrEnum):
    """What moves a cell from phase to phase."""

    DOUBTED = "doubted"
    CONFIRMED = "confirmed"
    RELENTED = "relented"
    DIED = "died"
    RESTART_ASKED = "restart asked"
    ANNOUNCED = "maintenance announced"
    PROVED = "proved healthy"
    WARMED = "warmed"
    GAVE_UP = "gave up"


class Why(StrEnum):
    """What took work off a cell."""

    NOTHING = ""
    FORECAST = "forecast"
    DOWN = "down"
    MAINTENANCE = "maintenance"


TRANSITIONS: Mapping[tuple[Phase, Trigger], Phase] = {
    (Phase.ACTIVE, Trigger.DOUBTED): Phase.DRAINING,
    (Phase.ACTIVE, Trigger.DIED): Phase.RECYCLING,
    (Phase.ACTIVE, Trigger.ANNOUNCED): Phase.DRAINING,
    (Phase.DRAINING, Trigger.CONFIRMED): Phase.DRAINED,
    (Phase.DRAINING, Trigger.RELENTED): Phase.WARMING,
    (Phase.DRAINING, Trigger.DIED): Phase.RECYCLING,
    # By a forecast so far: what the rest could not carry goes now as well.
    (Phase.DRAINED, Trigger.ANNOUNCED): Phase.DRAINED,
    (Phase.DRAINED, Trigger.RELENTED): Phase.WARMING,
    (Phase.DRAINED, Trigger.RESTART_ASKED): Phase.RECYCLING,
    (Phase.DRAINED, Trigger.DIED): Phase.RECYCLING,
    (Phase.RECYCLING, Trigger.PROVED): Phase.WARMING,
    (Phase.RECYCLING, Trigger.RESTART_ASKED): Phase.RECYCLING,
    (Phase.RECYCLING, Trigger.GAVE_UP): Phase.QUARANTINED,
    (Phase.WARMING, Trigger.WARMED): Phase.ACTIVE,
    (Phase.WARMING, Trigger.DOUBTED): Phase.DRAINING,
    (Phase.WARMING, Trigger.DIED): Phase.RECYCLING,
    (Phase.WARMING, Trigger.ANNOUNCED): Phase.DRAINING,
    (Phase.QUARANTINED, Trigger.PROVED): Phase.WARMING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellState:
    """What the engine remembers of one cell.

    Attributes:
        phase: Where it is in its life.
        since_s: When that phase began.
        why: What took work off it; NOTHING while none was taken.
        doubted_since_s: Since when the evidence against it has held; NaN = none.
        cleared_since_s: Since when there has been no evidence; NaN = there is some.
        proved_since_s: Since when it has looked healthy without a break; NaN = it does not.
        failing_since_s: Since when it has been silent while its requests fail; NaN = it is not.
        renewed_at_s: When a forecast last held something against it; NaN = none did.
        restarts: Restarts asked for, and returns that failed, since it was last active.
        evidence: Plain words of what was held against it, kept while it is out.
    """

    phase: Phase = Phase.ACTIVE
    since_s: float = 0.0
    why: Why = Why.NOTHING
    doubted_since_s: float = float("nan")
    cleared_since_s: float = float("nan")
    proved_since_s: float = float("nan")
    failing_since_s: float = float("nan")
    renewed_at_s: float = float("nan")
    restarts: int = 0
    evidence: str = ""


def allows(phase: Phase, trigger: Trigger) -> bool:
    """Whether the table has a way out of `phase` by `trigger`."""
    return (phase, trigger) in TRANSITIONS


def advance(
    state: CellState, trigger: Trigger, *, now_s: float, why: Why | None = None
) -> CellState:
    """The state after a trigger.

    Raises:
        PlanningError: The table has no such transition.
    """
    try:
        phase = TRANSITIONS[state.phase, trigger]
    except KeyError:
        raise PlanningError(
            f"a cell that is {state.phase} cannot be {trigger}; allow it in TRANSITIONS first"
        ) from None
    kept = state.why if why is None else why
    after = replace(state, phase=phase, since_s=now_s, why=kept)
    if phase is Phase.ACTIVE:
        return replace(after, why=Why.NOTHING, restarts=0, evidence="")
    if trigger is Trigger.RESTART_ASKED or (state.phase, trigger) == (Phase.WARMING, Trigger.DIED):
        # A cell that dies while it returns has failed to return: that counts like a restart.
        return replace(after, restarts=state.restarts + 1, proved_since_s=float("nan"))
    if state.phase is Phase.QUARANTINED:
        return replace(after, restarts=0)
    return after
