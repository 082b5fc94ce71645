"""This module is what is asked of the service: request classes, priorities and their needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from foreshard.model.errors import InvalidValueError

__all__ = ["Flow", "Match", "Needs", "Priority", "RequestClass"]


class Priority(IntEnum):
    """Which request is given up first; lower value = more important."""

    CRITICAL = 0
    NORMAL = 1
    SHEDDABLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests belong to a class; an empty field matches all."""

    method: str = ""
    path_prefix: str = ""

    def __post_init__(self) -> None:
        if self.path_prefix and not self.path_prefix.startswith("/"):
            raise InvalidValueError(
                f"match: path_prefix is {self.path_prefix!r}, must start with '/'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one request costs, per resource, in that resource's own unit.

    The unit is the one in which cells declare capacity: cpu in cpu seconds (a cell of three
    cpus offers 3 cpu seconds a second), memory in byte seconds held, and so on.
    """

    per_request: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for resource, cost in self.per_request.items():
            if not cost >= 0.0:
                raise InvalidValueError(f"need of {resource} is {cost}, must be 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClass:
    """Requests with the same needs and the same priority.

    Attributes:
        name: Lower-case identifier; also the value of the class header at the edge.
        priority: Which class is shed first.
        weight: How much one bad request of this class counts; > 0.
        objective_s: A request slower than this is bad; > 0.
        timeout_s: After this the balancer gives up on the request; >= objective_s.
        match: Which requests belong to it.
        retriable: Whether a second cell may be asked after the first failed.
        key_header: Request header whose value binds a request to a cell; "" = free to go
            anywhere.
        regions: Regions that may serve it (data residency); empty = all.
        dependencies: What it needs besides the cell itself.
        declared: Needs as a person declared them; the profiler's prior.
    """

    name: str
    priority: Priority
    weight: float
    objective_s: float
    timeout_s: float
    match: Match = field(default_factory=Match)
    retriable: bool = False
    key_header: str = ""
    regions: frozenset[str] = frozenset()
    dependencies: frozenset[str] = frozenset()
    declared: Needs = field(default_factory=Needs)

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise InvalidValueError(
                f"request class {self.name!r}: use letters, digits, '-' and '_'"
            )
        for what in ("weight", "objective_s"):
            if not getattr(self, what) > 0.0:
                raise InvalidValueError(
                    f"request class {self.name}: {what} is {getattr(self, what)}, must be > 0"
                )
        if self.timeout_s < self.objective_s:
            raise InvalidValueError(
                f"request class {self.name}: timeout_s is {self.timeout_s}, must be at least "
                f"objective_s ({self.objective_s})"
            )

    @property
    def is_keyed(self) -> bool:
        """Whether a key binds its requests to a cell."""
        return bool(self.key_header)

    def allows_region(self, region: str) -> bool:
        """Whether data residency lets a region serve it."""
        return not self.regions or region in self.regions


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """The unit the planner splits over cells: requests of one class from one origin region."""

    origin: str
    request_class: str
