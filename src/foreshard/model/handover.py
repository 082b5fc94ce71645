"""This module is what is said between Foreshard and a service that owns data, slot by slot.

`PREPARE` asks the service to make a stretch of slots servable elsewhere, `MOVED` says that
traffic has followed, `FAILED` that it has not and will not. Every notice may be told any number
of times; `handover` and `step` together are its identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from foreshard.model.errors import InvalidValueError

__all__ = ["Answer", "Notice", "Reply", "Step"]


class Step(StrEnum):
    """What a notice says."""

    PREPARE = "prepare"
    MOVED = "moved"
    FAILED = "failed"


class Answer(StrEnum):
    """What the service says to it.

    To `PREPARE`: PENDING until it is READY or FAILED. To the others: DONE. A service that could
    not be reached said nothing, which is PENDING.
    """

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell a service about slots that move, or were to move.

    Attributes:
        handover: Identity of the hand-over, the same in all its notices.
        step: What is said.
        request_class: Whose slots.
        first: The first slot.
        length: So many from there; > 0.
        slot_count: Of the class: a key's slot is `xxh64(key, seed 0) % slot_count`.
        source: The cell that owns them.
        target: The cell that is to own them, or does.
        deadline_s: PREPARE: without an answer by then it has failed.
        because: FAILED: why; MOVED: empty, or why nobody was asked first.
    """

    handover: str
    step: Step
    request_class: str
    first: int
    length: int
    slot_count: int
    source: str
    target: str
    deadline_s: float
    because: str = ""

    def __post_init__(self) -> None:
        if not (self.first >= 0 and self.length > 0 and self.end <= self.slot_count):
            raise InvalidValueError(
                f"hand-over {self.handover}: slots {self.first} to {self.end} do not lie in "
                f"0 to {self.slot_count}"
            )

    @property
    def end(self) -> int:
        """The slot after the last."""
        return self.first + self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back for a notice.

    Attributes:
        handover: Of the notice.
        step: Of the notice.
        answer: What the service says.
        because: Its words, if it gave any.
    """

    handover: str
    step: Step
    answer: Answer
    because: str = ""
