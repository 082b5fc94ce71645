"""This module is every hole in the wall: what the core asks of the world, in its own words.

Each port has few methods; its docstring is the contract; its fake is in `testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from foreshard.model.cost import CostReport
from foreshard.model.events import SystemEvent
from foreshard.model.federation import Aggregate
from foreshard.model.handover import Notice, Reply
from foreshard.model.plan import Decision
from foreshard.model.routing import RoutingTable
from foreshard.model.sighting import Sightings
from foreshard.model.telemetry import ClassTraffic, Fresh, Health, Missing
from foreshard.model.topology import Cell
from foreshard.model.workload import Flow

if TYPE_CHECKING:
    # A relay loads the ports and no arrays.
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Applied",
    "Archive",
    "BalancerReading",
    "CellDriver",
    "CellSource",
    "Clock",
    "CostSource",
    "EventSource",
    "Executor",
    "Heard",
    "MetricLog",
    "PeerExchange",
    "Rejected",
    "RouteSink",
    "Samples",
    "SightingSource",
    "SlotMover",
    "StateStore",
    "StepTable",
    "TrafficSource",
    "Wanted",
]

T = TypeVar("T")


class Clock(Protocol):
    """Time; the lab's runs faster."""

    def now_s(self) -> float:
        """Seconds since the epoch (virtual in the lab)."""

    async def sleep(self, seconds: float) -> None:
        """Return after that much of this clock's time."""


class Executor(Protocol):
    """Somewhere to compute without holding up the loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` elsewhere and return what it returns, or raise what it raises."""


class CellSource(Protocol):
    """Where cells speak of themselves."""

    async def read(self, cells: tuple[Cell, ...]) -> Mapping[str, tuple[Health, Fresh | Missing]]:
        """The newest metrics of every cell asked for, and its health.

        Never raises for one cell: that cell is `Missing`, with the reason. A cell whose
        process refuses connections is DOWN; one that is merely silent is UNKNOWN.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerReading:
    """What the balancers saw since the last reading.

    Attributes:
        interval_s: The stretch it covers; > 0.
        traffic: By cell, then class. A cell without requests is present and empty.
        demand_rps: By flow: all requests that arrived, shed ones too.
        in_flight: Open requests by cell, where known.
        shed_rps: By flow: requests that the table refused.
        silent_origins: Regions of whose balancers none has been heard for a while; what they
            carry is in none of these figures. Whether they carry anything is not known here.
    """

    interval_s: float
    traffic: Mapping[str, Mapping[str, ClassTraffic]]
    demand_rps: Mapping[Flow, float]
    in_flight: Mapping[str, float]
    shed_rps: Mapping[Flow, float] = field(default_factory=dict)
    silent_origins: frozenset[str] = frozenset()


class TrafficSource(Protocol):
    """Where balancers say who got what."""

    async def read(self) -> BalancerReading | Missing:
        """Counts since the last call; `Missing` when a balancer did not answer.

        A balancer that restarted (its counters fell) makes one `Missing`, not a negative rate.
        """


class CostSource(Protocol):
    """Where requests say what they cost."""

    async def read(self) -> tuple[CostReport, ...]:
        """What was said since the last call; the first call only begins.

        Raises:
            SourceError: The source cannot be read; nothing is lost by asking again.
        """


class SightingSource(Protocol):
    """Where it is told which paths are asked for that match no class."""

    async def take_sightings(self) -> Sightings:
        """What was asked for since the last call; what is told is told once.

        Raises:
            AdapterError: The source cannot be read.
        """


class EventSource(Protocol):
    """Where facts from outside the metrics come from."""

    async def read(self) -> tuple[SystemEvent, ...]:
        """All events that are known and not over.

        Raises:
            SourceError: The source cannot be read; the caller keeps what it had.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Every connected balancer acknowledged the table.

    Attributes:
        version: Of the table.
        acks: How many balancers acknowledged.
        push_to_ack_s: Time of the slowest.
    """

    version: int
    acks: int
    push_to_ack_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The table is not live (everywhere); the last acknowledged one is live again.

    Attributes:
        version: Of the refused table.
        because: What the balancer said; "frozen" when the operator froze the plan.
    """

    version: int
    because: str


class RouteSink(Protocol):
    """A balancer, or the control plane in front of it."""

    async def apply(self, table: RoutingTable) -> Applied | Rejected:
        """Make the table live, or leave the live one untouched.

        Raises:
            SinkError: The sink cannot be reached; what is live stays live.
        """

    async def live(self) -> RoutingTable | None:
        """The table that is live now; None when none was ever committed.

        Raises:
            SinkError: The sink cannot be reached.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a peer region last said that was new, and when that was heard, on our clock."""

    aggregate: Aggregate
    at_s: float


class PeerExchange(Protocol):
    """Where the regions of a federation hear of each other."""

    def publish(self, own: Aggregate) -> None:
        """Tell the peers, from now on, until the next; never waits for them."""

    def heard(self) -> Mapping[str, Heard]:
        """By peer, its newest; one that was never heard of is missing, one that is gone ages."""


class CellDriver(Protocol):
    """Whoever can restart a cell."""

    async def recycle(self, cell: str) -> None:
        """Ask for a restart of a cell's nodes; returns once the request is accepted.

        Raises:
            DriverError: It is refused, or nobody answers.
        """


class SlotMover(Protocol):
    """Whoever moves the data of slots from cell to cell."""

    async def tell(self, notice: Notice) -> Reply:
        """Tell of one step of a hand-over, and bring back what is said to it.

        The same notice may be told any number of times, also after a restart; that is how a
        `PREPARE` is asked after. READY holds until the hand-over is told `MOVED` or `FAILED`.

        Raises:
            DriverError: Nobody answered; it will be told again.
        """


class StateStore(Protocol):
    """Memory that survives a restart."""

    def record(self, decision: Decision, inputs: Mapping[str, Any]) -> None:
        """Keep a decision with the inputs it saw (JSON values).

        Raises:
            StoreError: It cannot be written; the caller goes on and says so.
        """

    def latest(self, cell: str) -> Mapping[str, Any] | None:
        """The newest kept decision that has a reason about a cell, as JSON values."""

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a small JSON value under a name, in place of the one before.

        Raises:
            StoreError: It cannot be written.
        """

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The value last put under a name; None when there is none.

        Raises:
            StoreError: It cannot be read.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """What C cells did in one step of the metric history.

    Attributes:
        ends_s: End of the step, a multiple of `step_s`.
        step_s: Its length.
        cells: C names.
        gauges: float32 [C] by name, the highest in the step, fraction of the limit, NaN = unknown.
        scales_with_load: Names of gauges that do.
        load: float32 [C], the mean in the step, NaN = unknown.
        up_s: float32 [C], since the cell's last restart, NaN = unknown.
        censored: bool [C], we intervened in the step.
    """

    ends_s: float
    step_s: float
    cells: tuple[str, ...]
    gauges: Mapping[str, NDArray[np.float32]]
    scales_with_load: frozenset[str]
    load: NDArray[np.float32]
    up_s: NDArray[np.float32]
    censored: NDArray[np.bool]


class MetricLog(Protocol):
    """The metric history of the fleet, kept for training."""

    def publish(self, step: StepTable) -> None:
        """Keep one step; it may take a second, so not within a tick.

        Raises:
            StoreError: It cannot be kept; what was kept before still is.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of an archive.

    Attributes:
        columns: By the name they get: the column, or the query, that they come from.
        entity: Column or label that tells cells apart.
        time: Column of moments; "" where the archive has its own.
        unit_s: Seconds in one unit of that column; timestamps need none.
        group: Column or label that tells groups of siblings apart; "" = none.
    """

    columns: Mapping[str, str]
    entity: str
    time: str = ""
    unit_s: float = 1.0
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Telemetry of the past, in rows, by entity and then by time; no two rows are of one moment.

    Attributes:
        entities: E names, sorted.
        groups: E names of groups; "" = in none.
        entity: int32 [N], index of the entity.
        time_s: float64 [N], seconds since the epoch, or since whenever the archive counts.
        columns: Numbers [N], NaN = missing.
    """

    entities: tuple[str, ...]
    groups: tuple[str, ...]
    entity: NDArray[np.int32]
    time_s: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.floating]]


class Archive(Protocol):
    """Where telemetry of the past lies."""

    def read(self, wanted: Wanted) -> Samples:
        """Everything that was asked for.

        Raises:
            SourceError: It is not there or cannot be used, and why: no such column, a column of
                texts, two rows of one entity and moment, nothing in it, no answer.
        """
