"""This module is what is known from outside the metrics: maintenance, bugs, dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from foreshard.model.errors import InvalidValueError

__all__ = ["DependencyLevel", "EventKind", "SystemEvent"]


class EventKind(StrEnum):
    """What sort of fact a system event states."""

    MAINTENANCE = "maintenance"
    KNOWN_BUG = "known_bug"
    DEPENDENCY = "dependency"
    DEPLOY = "deploy"
    FREEZE = "freeze"


class DependencyLevel(StrEnum):
    """How a dependency fares, in the words of status pages (Statuspage's component statuses)."""

    OPERATIONAL = "operational"
    DEGRADED_PERFORMANCE = "degraded_performance"
    PARTIAL_OUTAGE = "partial_outage"
    MAJOR_OUTAGE = "major_outage"
    UNDER_MAINTENANCE = "under_maintenance"


_VERSIONED = frozenset({EventKind.KNOWN_BUG, EventKind.DEPLOY})


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
        version: Of a known bug, the version that has it ("" = all); of a deploy, what is deployed.
        dependency: What it is that a dependency event speaks of, as request classes name it.
        level: How that dependency fares within the window.
    """

    id: str
    kind: EventKind
    cells: frozenset[str]
    known_at_s: float
    starts_at_s: float
    ends_at_s: float
    note: str = ""
    version: str = ""
    dependency: str = ""
    level: DependencyLevel | None = None

    def __post_init__(self) -> None:
        if not self.ends_at_s > self.starts_at_s:
            raise InvalidValueError(
                f"event {self.id}: ends_at_s is {self.ends_at_s}, must be after starts_at_s "
                f"({self.starts_at_s})"
            )
        if self.version and self.kind not in _VERSIONED:
            raise InvalidValueError(
                f"event {self.id}: version is {self.version!r}, which only a known_bug or a "
                f"deploy has; this is a {self.kind.value}"
            )
        if self.kind is not EventKind.DEPENDENCY and (self.dependency or self.level is not None):
            raise InvalidValueError(
                f"event {self.id}: dependency is {self.dependency!r}, level {self.level}, which "
                f"only a dependency event has; this is a {self.kind.value}"
            )
        if bool(self.dependency) != (self.level is not None):
            raise InvalidValueError(
                f"event {self.id}: dependency is {self.dependency!r}, level {self.level}: give "
                f"both, the level one of {', '.join(DependencyLevel)}"
            )

    def among(self, versions: Mapping[str, str]) -> SystemEvent | None:
        """The event with its cells by name, when it is told of a version; else as it is.

        Args:
            versions: By cell, what runs there; cells whose version is unknown are absent.

        Returns:
            None when it is a bug of a version that runs in none of its cells.
        """
        if self.kind is not EventKind.KNOWN_BUG or not self.version:
            return self
        cells = frozenset(
            cell for cell, runs in versions.items() if runs == self.version and self.concerns(cell)
        )
        # No cells at all would mean every cell.
        return replace(self, cells=cells) if cells else None

    def concerns(self, cell: str) -> bool:
        """Whether the event is about that cell."""
        return not self.cells or cell in self.cells

    def is_within(self, now_s: float, *, ahead_s: float = 0.0) -> bool:
        """Whether its window is open, or opens within `ahead_s` seconds."""
        return self.known_at_s <= now_s and self.starts_at_s - ahead_s <= now_s < self.ends_at_s
