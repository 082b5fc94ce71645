"""This module is what is known from outside the metrics: maintenance, bugs, dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from foreshard.model.errors import InvalidValueError

__all__ = ["EventKind", "SystemEvent"]


class EventKind(StrEnum):
    """What sort of fact a system event states."""

    MAINTENANCE = "maintenance"
    KNOWN_BUG = "known_bug"
    DEPENDENCY = "dependency"
    DEPLOY = "deploy"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemEvent:
    """A planned or observed fact from outside the metrics.

    Attributes:
        id: Unique; the same id again replaces the event.
        kind: What sort of fact.
        cells: Cells it is about; empty = all.
        known_at_s: When it became known (training must not see it earlier).
        starts_at_s: Start of its window.
        ends_at_s: End of its window, after `starts_at_s`.
        note: For people.
    """

    id: str
    kind: EventKind
    cells: frozenset[str]
    known_at_s: float
    starts_at_s: float
    ends_at_s: float
    note: str = ""

    def __post_init__(self) -> None:
        if not self.ends_at_s > self.starts_at_s:
            raise InvalidValueError(
                f"event {self.id}: ends_at_s is {self.ends_at_s}, must be after starts_at_s "
                f"({self.starts_at_s})"
            )

    def concerns(self, cell: str) -> bool:
        """Whether the event is about that cell."""
        return not self.cells or cell in self.cells

    def is_within(self, now_s: float, *, ahead_s: float = 0.0) -> bool:
        """Whether its window is open, or opens within `ahead_s` seconds."""
        return self.known_at_s <= now_s and self.starts_at_s - ahead_s <= now_s < self.ends_at_s
