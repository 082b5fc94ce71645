"""This module is one look at the fleet, in which "no data" is a value of its own.

A silent cell must never look like a perfect one, so whatever may be missing is either
`Fresh` (a value with its age) or `Missing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from foreshard.model.errors import InvalidValueError
from foreshard.model.events import SystemEvent
from foreshard.model.handover import Reply
from foreshard.model.workload import Flow

__all__ = [
    "CellMetrics",
    "CellReading",
    "ClassTraffic",
    "Fresh",
    "Gauge",
    "Health",
    "Missing",
    "Observation",
    "Outlet",
]


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing was heard; `because` says why, for people."""

    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One resource of one cell against its limit, in the same unit.

    Attributes:
        used: What is in use now.
        limit: Where the resource is exhausted; > 0.
        scales_with_load: True for what follows the request rate (cpu), False for what stands
            by itself (a leak, a disk).
    """

    used: float
    limit: float
    scales_with_load: bool = False

    def __post_init__(self) -> None:
        if not self.limit > 0.0:
            raise InvalidValueError(f"gauge: limit is {self.limit}, must be > 0")

    @property
    def utilisation(self) -> float:
        """Fraction of the limit in use; above 1 when over it."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class CellMetrics:
    """What a cell says of itself.

    Attributes:
        gauges: By resource name.
        capacity: Offered per second by resource, in the unit of `Needs` (cpu: cpu seconds a
            second); a resource that is not listed bounds no rate.
        version: Of the service that runs there.
        started_at_s: When its youngest process started, on the clock of the observation.
    """

    gauges: Mapping[str, Gauge]
    capacity: Mapping[str, float] = field(default_factory=dict)
    version: str = ""
    started_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Metrics with their age."""

    metrics: CellMetrics
    age_s: float


class Health(StrEnum):
    """What health checks say of a cell."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Outlet(StrEnum):
    """Whether tables reach the balancers.

    OPEN as far as is known; SHUT: they are refused, what was live stays live; UNKNOWN: nobody
    knows what is live.
    """

    OPEN = "open"
    SHUT = "shut"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTraffic:
    """Requests of one class at one cell, as the balancer saw them over one interval.

    Attributes:
        rate_rps: Requests finished a second.
        failed_ratio: Share that failed, in [0, 1].
        slow_ratio: Share that was slower than the class's objective, in [0, 1].
        latency_mean_s: Mean time to answer; NaN when nothing finished.
    """

    rate_rps: float
    failed_ratio: float = 0.0
    slow_ratio: float = 0.0
    latency_mean_s: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReading:
    """One cell at one moment.

    Attributes:
        health: From health checks.
        reading: What it says of itself, or that it says nothing.
        traffic: By request class, as the balancer saw it; None when the balancer was silent.
        in_flight: Requests the balancer has open there; NaN when unknown.
    """

    health: Health
    reading: Fresh | Missing
    traffic: Mapping[str, ClassTraffic] | None = None
    in_flight: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at the whole fleet.

    Attributes:
        now_s: When; seconds since the epoch (or on the virtual clock).
        interval_s: Stretch over which rates were counted; > 0.
        cells: Every cell of the fleet.
        demand_rps: Offered requests a second per flow, shed ones included; None when the
            balancer was silent, never zero in its place.
        events: All that are known and not over.
        shed_rps: Refused requests a second per flow, as far as they were counted.
        replies: What was answered to notices of hand-overs since the observation before.
        outlet: Whether tables reach the balancers.
        lost: Cells of regions of which nothing is heard, neither cells nor balancers: a silence
            that says nothing of the other regions.
    """

    now_s: float
    interval_s: float
    cells: Mapping[str, CellReading]
    demand_rps: Mapping[Flow, float] | None
    events: tuple[SystemEvent, ...] = ()
    shed_rps: Mapping[Flow, float] = field(default_factory=dict)
    replies: tuple[Reply, ...] = ()
    outlet: Outlet = Outlet.OPEN
    lost: frozenset[str] = frozenset()
