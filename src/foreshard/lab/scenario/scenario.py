"""This module is one scenario: a fleet, what is asked of it and what befalls it, as values.

Everything that a run depends on stands here or in its seed; where a scenario says nothing, the
demo's shop does (`lab.service`), so that the simulated and the real cell are one and the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from foreshard.lab import service
from foreshard.lab.scenario.fault import FaultLine
from foreshard.lab.service import Site, Work
from foreshard.model.errors import InvalidValueError
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import RequestClass

__all__ = ["SHOP", "CellMake", "Discipline", "Family", "Load", "Offer", "Scenario", "Telemetry"]


class Family(StrEnum):
    """What a scenario is there to find out."""

    PREDICTABLE = "predictable"
    UNPREDICTABLE = "unpredictable"
    TRAP = "trap"


class Discipline(StrEnum):
    """How a cell shares its cpus among the requests inside."""

    FIFO = "fifo"
    PROCESSOR_SHARING = "ps"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellMake:
    """What one cell is made of; all cells of a scenario are alike but for `Scenario.sizes`.

    Attributes:
        cpus: Servers; >= 1, whole.
        discipline: FIFO as the demo's cells, or processor sharing.
        connections: Requests inside at once; others wait in line.
        pool_wait_s: Longest wait in that line.
        backlog: Requests inside and in line at once; more are refused on arrival.
        descriptors, threads: Limits of these gauges.
        restart_s: From a death to the first answer.
        cold_s: After a start, requests cost up to twice their cpu for so long (caches, code).
        service_cv: Coefficient of variation of cpu times, in (0, 2].
    """

    cpus: int = int(service.CELL_CPUS)
    discipline: Discipline = Discipline.FIFO
    connections: int = service.CONNECTIONS
    pool_wait_s: float = service.POOL_WAIT_S
    backlog: int = service.BACKLOG
    descriptors: int = 1_024
    threads: int = 256
    restart_s: float = 7.0
    cold_s: float = 0.0
    service_cv: float = service.SERVICE_CV


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One request class, what it costs and how much of the demand it is.

    Attributes:
        request_class: As every policy knows it.
        work: What it really costs, which no policy knows.
        share: Of all requests; > 0.
    """

    request_class: RequestClass
    work: Work
    share: float


# The demo's classes.
SHOP = tuple(
    Offer(request_class=each, work=service.WORK[each.name], share=service.MIX[each.name])
    for each in service.CLASSES
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked.

    Attributes:
        utilisation: Mean share of all cpus that the demand needs; > 0.
        swing_ratio: Amplitude of the sinus of a "day", in [0, 1).
        period_s: Its length.
        origins: Share of each origin region; sums to 1.
        keys: Partition keys of a keyed class.
        client_retries: How often a client asks again after a failure (0 = never): what can
            make an overload metastable.
    """

    utilisation: float = service.DEFAULT_LOAD
    swing_ratio: float = service.SWING_RATIO
    period_s: float = 1_200.0
    origins: Mapping[str, float] = field(default_factory=dict)
    keys: int = service.KEYS
    client_retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """How true and how fresh what is measured is.

    Attributes:
        lag_s: From a moment to its being readable, per cell drawn once around this mean.
        noise_ratio: Standard deviation of a gauge reading, relative.
        gap_ratio: Share of single readings that never arrive.
    """

    lag_s: float = 0.2
    noise_ratio: float = 0.01
    gap_ratio: float = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a run depends on but its seed.

    Attributes:
        name: Lower-case, with dashes.
        family: What it is there to find out.
        about: Two sentences: what happens, what a good engine does.
        duration_s: Of the traffic.
        warm_up_s: Before this nothing is scored.
        pace: How many times faster than in production everything in it goes: whoever steers
            has its patience and horizons divided by this, the same for all. 1 = real time.
        sites: The cells, in index order.
        sizes: Cpus relative to `make.cpus`, by cell; 1 where nothing is said.
        versions: Of what runs in a cell; "1.0" where nothing is said.
        make: What a cell is.
        offers: The classes, in index order.
        load: What is asked.
        faults: What befalls them.
        telemetry: How it is seen.
        latency_ms: Round trip between an origin and a cell's region, both ways the same.
        proxies: Balancers an origin region has; each sees only its own requests.
        control_delay_s: From a decision to the last balancer's following it.
        default_class: Of a request that no class matches.
    """

    name: str
    family: Family
    about: str
    duration_s: float
    warm_up_s: float = 60.0
    pace: float = 1.0
    sites: tuple[Site, ...] = service.SITES
    sizes: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    make: CellMake = field(default_factory=CellMake)
    offers: tuple[Offer, ...] = SHOP
    load: Load = field(default_factory=Load)
    faults: tuple[FaultLine, ...] = ()
    telemetry: Telemetry = field(default_factory=Telemetry)
    latency_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    proxies: int = 1
    control_delay_s: float = 0.05
    default_class: str = "search"

    def __post_init__(self) -> None:
        if not 0.0 <= self.warm_up_s < self.duration_s:
            raise InvalidValueError(
                f"scenario {self.name}: warm_up_s is {self.warm_up_s}, must be 0 or more and "
                f"less than duration_s ({self.duration_s})"
            )
        names = {site.name for site in self.sites}
        classes = {offer.request_class.name for offer in self.offers}
        if self.default_class not in classes:
            raise InvalidValueError(
                f"scenario {self.name}: default_class is {self.default_class!r}, must be one of "
                f"{', '.join(sorted(classes))}"
            )
        for fault in self.faults:
            strangers = sorted(set(fault.cells) - names)
            if strangers:
                raise InvalidValueError(
                    f"scenario {self.name}: fault {fault.kind} is of cells {strangers}, which "
                    f"are not among its {len(names)} cells"
                )
            for what, named, known in (
                ("request_class", fault.request_class, classes),
                ("origin", fault.origin, set(self.origins)),
            ):
                if named and named not in known:
                    raise InvalidValueError(
                        f"scenario {self.name}: fault {fault.kind}: {what} is {named!r}, must "
                        f"be one of {', '.join(sorted(known))}"
                    )

    @property
    def classes(self) -> tuple[RequestClass, ...]:
        """As every policy knows them."""
        return tuple(offer.request_class for offer in self.offers)

    @property
    def origins(self) -> tuple[str, ...]:
        """Where requests come from, sorted; the first region of the fleet if nothing is said."""
        return tuple(sorted(self.load.origins)) or (self.sites[0].region,)

    def fleet(self) -> Fleet:
        """The topology, with addresses that nobody listens on."""
        return Fleet(
            cells=tuple(
                Cell(
                    name=site.name,
                    region=site.region,
                    zone=site.zone,
                    nodes=(Node(host=service.HOST, port=1 + index),),
                )
                for index, site in enumerate(self.sites)
            ),
            latency_ms=self.latency_ms,
        )

    def cpus(self) -> tuple[float, ...]:
        """Of each cell, in index order."""
        return tuple(self.make.cpus * self.sizes.get(site.name, 1.0) for site in self.sites)

    def rate_rps(self) -> float:
        """Mean requests a second, without surges."""
        cost_s = sum(offer.share * offer.work.cpu_s for offer in self.offers)
        whole = sum(offer.share for offer in self.offers)
        return self.load.utilisation * sum(self.cpus()) * whole / cost_s
