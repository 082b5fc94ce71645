"""This module is the hand-over of slots that own data: which phase follows which trigger.

Traffic follows data. A stretch of slots is asked to be prepared at its next cell; the live owner
keeps it until the service says `ready`; only then may a table switch it, and only the balancers'
acknowledgement makes it moved. What is not in the table cannot happen; `docs` draw their diagram
from it. There is no way back: a stretch moves once, or not at all. Afterwards it is left alone for
a while: slots that moved, or were to, rest; a path on which the service failed cools down.

An owner that is dead cannot hand anything over: its slots switch at once, to declared replicas
only, and the service is told `moved` with the reason why it was not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from foreshard.model.errors import PlanningError
from foreshard.model.handover import Answer, Notice, Reply, Step

__all__ = [
    "COOL_S",
    "OPEN",
    "REST_S",
    "TELL_S",
    "TRANSITIONS",
    "Handover",
    "HandoverPhase",
    "HandoverTrigger",
    "advance",
    "aged",
    "answered",
    "diagram",
    "notice_of",
]

# A failed path is left alone so long: most reasons for a failure outlast a minute.
COOL_S = 60.0
# A moved slot stays so long, unless its new owner must be emptied: a plan follows the world, and
# the world shows what a move did within two minutes.
REST_S = 120.0
# A service that does not take the last word within this is told no more.
TELL_S = 60.0


class HandoverPhase(StrEnum):
    """Where a hand-over is."""

    PREPARING = "preparing"
    READY = "ready"
    MOVED = "moved"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    RESTING = "resting"
    COOLING = "cooling"
    OVER = "over"


class HandoverTrigger(StrEnum):
    """What moves it on."""

    SAID_READY = "said ready"
    SAID_FAILED = "said failed"
    TIMED_OUT = "timed out"
    WITHDRAWN = "no longer wanted"
    SWITCHED = "traffic switched"
    TOLD = "told"
    GAVE_UP = "gave up telling"
    RESTED = "time is over"


TRANSITIONS: Mapping[tuple[HandoverPhase, HandoverTrigger], HandoverPhase] = {
    (HandoverPhase.PREPARING, HandoverTrigger.SAID_READY): HandoverPhase.READY,
    (HandoverPhase.PREPARING, HandoverTrigger.SAID_FAILED): HandoverPhase.FAILED,
    (HandoverPhase.PREPARING, HandoverTrigger.TIMED_OUT): HandoverPhase.FAILED,
    (HandoverPhase.PREPARING, HandoverTrigger.WITHDRAWN): HandoverPhase.WITHDRAWN,
    # Only a dead owner's.
    (HandoverPhase.PREPARING, HandoverTrigger.SWITCHED): HandoverPhase.MOVED,
    (HandoverPhase.READY, HandoverTrigger.SWITCHED): HandoverPhase.MOVED,
    (HandoverPhase.READY, HandoverTrigger.TIMED_OUT): HandoverPhase.FAILED,
    (HandoverPhase.READY, HandoverTrigger.WITHDRAWN): HandoverPhase.WITHDRAWN,
    (HandoverPhase.MOVED, HandoverTrigger.TOLD): HandoverPhase.RESTING,
    (HandoverPhase.MOVED, HandoverTrigger.GAVE_UP): HandoverPhase.RESTING,
    (HandoverPhase.FAILED, HandoverTrigger.TOLD): HandoverPhase.COOLING,
    (HandoverPhase.FAILED, HandoverTrigger.GAVE_UP): HandoverPhase.COOLING,
    (HandoverPhase.WITHDRAWN, HandoverTrigger.TOLD): HandoverPhase.RESTING,
    (HandoverPhase.WITHDRAWN, HandoverTrigger.GAVE_UP): HandoverPhase.RESTING,
    (HandoverPhase.RESTING, HandoverTrigger.RESTED): HandoverPhase.OVER,
    (HandoverPhase.COOLING, HandoverTrigger.RESTED): HandoverPhase.OVER,
}

OPEN = frozenset({HandoverPhase.PREPARING, HandoverPhase.READY})

_STEP = {
    HandoverPhase.PREPARING: Step.PREPARE,
    HandoverPhase.MOVED: Step.MOVED,
    HandoverPhase.FAILED: Step.FAILED,
    HandoverPhase.WITHDRAWN: Step.FAILED,
}
_HEARD = {
    (HandoverPhase.PREPARING, Answer.READY): HandoverTrigger.SAID_READY,
    (HandoverPhase.PREPARING, Answer.FAILED): HandoverTrigger.SAID_FAILED,
    (HandoverPhase.MOVED, Answer.DONE): HandoverTrigger.TOLD,
    (HandoverPhase.FAILED, Answer.DONE): HandoverTrigger.TOLD,
    (HandoverPhase.WITHDRAWN, Answer.DONE): HandoverTrigger.TOLD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One stretch of slots on its way from one cell to another.

    Attributes:
        id: Unique for ever.
        request_class: Whose slots.
        first: The first slot.
        length: So many from there.
        slot_count: Of the class.
        source: The owner when it began.
        target: A declared replica of it.
        phase: Where it is.
        since_s: When that phase began.
        patience_s: How long it may be prepared, and then wait for the switch.
        because: Why it failed, or why it moved without being asked for.
    """

    id: str
    request_class: str
    first: int
    length: int
    slot_count: int
    source: str
    target: str
    phase: HandoverPhase = HandoverPhase.PREPARING
    since_s: float
    patience_s: float
    because: str = ""

    @property
    def is_open(self) -> bool:
        """Whether traffic has yet to follow."""
        return self.phase in OPEN

    @property
    def slots(self) -> slice:
        """Its stretch, for an array over slots."""
        return slice(self.first, self.first + self.length)


def advance(
    handover: Handover, trigger: HandoverTrigger, *, now_s: float, because: str = ""
) -> Handover:
    """The hand-over after a trigger.

    Raises:
        PlanningError: The table has no such transition.
    """
    try:
        phase = TRANSITIONS[handover.phase, trigger]
    except KeyError:
        raise PlanningError(
            f"hand-over {handover.id} is {handover.phase} and cannot be {trigger}; allow it in "
            "TRANSITIONS first"
        ) from None
    return replace(handover, phase=phase, since_s=now_s, because=because or handover.because)


def answered(handover: Handover, reply: Reply, *, now_s: float) -> Handover:
    """The hand-over after an answer; one that comes late, or makes no sense, changes nothing."""
    trigger = _HEARD.get((handover.phase, reply.answer))
    if trigger is None or reply.step is not _STEP[handover.phase]:
        return handover
    said = reply.because if trigger is HandoverTrigger.SAID_FAILED else ""
    return advance(handover, trigger, now_s=now_s, because=said and f"the service says: {said}")


def aged(handover: Handover, *, now_s: float) -> Handover:
    """The hand-over after the time that has passed."""
    age_s = now_s - handover.since_s
    match handover.phase:
        case HandoverPhase.PREPARING if age_s >= handover.patience_s:
            said = f"not ready within {handover.patience_s:g} s"
            return advance(handover, HandoverTrigger.TIMED_OUT, now_s=now_s, because=said)
        case HandoverPhase.READY if age_s >= handover.patience_s:
            said = f"ready, but traffic could not follow within {handover.patience_s:g} s"
            return advance(handover, HandoverTrigger.TIMED_OUT, now_s=now_s, because=said)
        case HandoverPhase.MOVED | HandoverPhase.FAILED | HandoverPhase.WITHDRAWN if (
            age_s >= TELL_S
        ):
            return advance(handover, HandoverTrigger.GAVE_UP, now_s=now_s)
        case HandoverPhase.RESTING if age_s >= REST_S:
            return advance(handover, HandoverTrigger.RESTED, now_s=now_s)
        case HandoverPhase.COOLING if age_s >= COOL_S:
            return advance(handover, HandoverTrigger.RESTED, now_s=now_s)
        case _:
            return handover


def notice_of(handover: Handover) -> Notice | None:
    """What is to be told (again) in its phase; None = nothing."""
    step = _STEP.get(handover.phase)
    if step is None:
        return None
    return Notice(
        handover=handover.id,
        step=step,
        request_class=handover.request_class,
        first=handover.first,
        length=handover.length,
        slot_count=handover.slot_count,
        source=handover.source,
        target=handover.target,
        deadline_s=handover.since_s + handover.patience_s,
        because=handover.because,
    )


def diagram() -> str:
    """The table as a Mermaid state diagram: what the page on hand-overs shows."""
    lines = [
        f"    {before} --> {after}: {trigger}" for (before, trigger), after in TRANSITIONS.items()
    ]
    return "\n".join(("stateDiagram-v2", "    [*] --> preparing", *lines, "    over --> [*]"))
