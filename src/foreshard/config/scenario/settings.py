"""This module is what may be said in a scenario file, and what holds where nothing is said."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from foreshard.config.field import (
    Count,
    Label,
    Name,
    NotNegative,
    Positive,
    Ratio,
    ScenarioName,
    Strict,
)
from foreshard.config.scenario.consistency import scenario_contradictions
from foreshard.config.scenario.fault import FaultSettings
from foreshard.config.scenario.topology import MOST_CELLS, Placed, placed
from foreshard.lab import service
from foreshard.lab.scenario.scenario import (
    SHOP,
    CellMake,
    Discipline,
    Family,
    Load,
    Offer,
    Scenario,
    Telemetry,
)
from foreshard.lab.service import Work
from foreshard.model.workload import Match, Needs, Priority, RequestClass

__all__ = ["ScenarioSettings"]

PRIORITIES = [p.name.lower() for p in Priority]
PriorityName = Annotated[Priority, WithJsonSchema({"type": "string", "enum": PRIORITIES})]
LONGEST_S = 7.0 * 86_400.0


class RegionSettings(Strict):
    """The cells of one region."""

    cells: Count = Field(le=MOST_CELLS, description="How many; they are called eu-001 and so on.")
    zones: Annotated[Count, Field(le=26)] = Field(
        default=3, description="Failure domains, dealt to the cells in turn: eua, eub and so on."
    )
    size: Positive = Field(default=1.0, description="Cpus of its cells, relative to `cell.cpus`.")
    versions: list[str] = Field(
        default=["1.0"], min_length=1, description="Of the service, dealt to the cells in turn."
    )


class CellMakeSettings(Strict):
    """What one cell is made of."""

    cpus: Count = Field(default=CellMake().cpus, description="Servers.")
    discipline: Discipline = Field(
        default=Discipline.FIFO, description="fifo = one line before the cpus; ps = they share."
    )
    connections: Count = Field(
        default=CellMake().connections, description="Requests inside at once; others wait in line."
    )
    pool_wait_s: Positive = Field(
        default=CellMake().pool_wait_s, description="Seconds that a request waits in that line."
    )
    backlog: Count = Field(
        default=CellMake().backlog,
        description="Requests inside and in line at once; more are refused on arrival.",
    )
    descriptors: Count = Field(default=CellMake().descriptors, description="File descriptors.")
    threads: Count = Field(default=CellMake().threads, description="Threads.")
    restart_s: Positive = Field(
        default=CellMake().restart_s, description="Seconds from a death to the first answer."
    )
    cold_s: NotNegative = Field(
        default=CellMake().cold_s,
        description="Seconds after a start in which requests cost up to twice their cpu.",
    )
    service_cv: Annotated[Positive, Field(le=2.0)] = Field(
        default=CellMake().service_cv, description="Coefficient of variation of cpu times."
    )


class OfferSettings(Strict):
    """One request class: who it is, what it really costs, how much of the demand it is."""

    name: Label = Field(description="Unique among the classes.")
    share: Positive = Field(description="Of all requests, relative to the other classes.")
    priority: PriorityName = Field(
        description="Who is given up last: critical, normal or sheddable."
    )
    weight: Positive = Field(default=1.0, description="How much one bad request counts.")
    objective_s: Positive = Field(description="Seconds; a slower answer is bad.")
    timeout_s: Positive = Field(
        description="Seconds after which balancers give up; at least objective_s."
    )
    cpu_s: Positive = Field(description="Mean cpu seconds of one request.")
    keyed: bool = Field(default=False, description="Whether a key binds a request to a cell.")
    retriable: bool = Field(
        default=False, description="Whether a second cell may be asked after the first failed."
    )
    regions: list[Name] = Field(
        default=[], description="Regions that may serve it (residency); none = all."
    )
    dependency: str = Field(default="", description='Whom it waits for; "" = nobody.')
    dependency_s: NotNegative = Field(default=0.0, description="Mean seconds of that wait.")
    cold_s: NotNegative = Field(
        default=0.0, description="Seconds that the first request of an unseen key waits longer."
    )
    writes: bool = Field(default=False, description="Whether it needs room on the disk.")
    move_cost_s: NotNegative | None = Field(
        default=None,
        description="Seconds for which requests of a moved key count as bad; null = by kind.",
    )

    @field_validator("priority", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        names = {p.name.lower(): p for p in Priority}
        if isinstance(value, str):
            if value not in names:
                raise ValueError(f"must be one of {', '.join(names)}")
            return names[value]
        return value

    def noun(self) -> Offer:
        """The offer in the lab's words."""
        told = self.model_dump(
            include={*("name", "priority", "weight", "objective_s", "timeout_s", "retriable")}
        )
        return Offer(
            request_class=RequestClass(
                **told,
                match=Match(path_prefix=f"/{self.name}"),
                key_header=service.KEY_HEADER if self.keyed else "",
                regions=frozenset(self.regions),
                dependencies=frozenset({self.dependency} - {""}),
                declared=Needs(per_request={"cpu": self.cpu_s}),
                move_cost_s=self.move_cost_s,
            ),
            work=Work(
                cpu_s=self.cpu_s,
                cold_s=self.cold_s,
                dependency=self.dependency,
                dependency_s=self.dependency_s,
                writes=self.writes,
            ),
            share=self.share,
        )


class LoadSettings(Strict):
    """What is asked."""

    utilisation: Annotated[Positive, Field(le=10.0)] = Field(
        default=Load().utilisation, description="Mean share of all cpus that the demand needs."
    )
    swing_ratio: Annotated[NotNegative, Field(lt=1.0)] = Field(
        default=Load().swing_ratio, description="Amplitude of the sinus of a day."
    )
    period_s: Positive = Field(default=Load().period_s, description="Seconds of that day.")
    origins: dict[Name, Positive] = Field(
        default={},
        description="Where requests come from, relative to each other; none = all from the "
        "first region.",
    )
    keys: Count = Field(default=Load().keys, description="Partition keys of a keyed class.")
    client_retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=Load().client_retries,
        description="How often a client asks again after a failure: what feeds an overload.",
    )

    def noun(self) -> Load:
        """The load in the lab's words."""
        whole = sum(self.origins.values())
        shares = {origin: part / whole for origin, part in self.origins.items()}
        return Load(**self.model_dump(exclude={"origins"}), origins=shares)


class TelemetrySettings(Strict):
    """How true and how fresh what is measured is."""

    lag_s: NotNegative = Field(
        default=Telemetry().lag_s, description="Mean seconds until a reading can be read."
    )
    noise_ratio: Ratio = Field(
        default=Telemetry().noise_ratio,
        description="Standard deviation of a gauge reading, relative.",
    )
    gap_ratio: Annotated[Ratio, Field(lt=1.0)] = Field(
        default=Telemetry().gap_ratio, description="Share of readings that never arrive."
    )


class ScenarioSettings(Strict):
    """A fleet, what is asked of it and what befalls it; times are seconds from the start."""

    name: ScenarioName = Field(description="Of the scenario; the file is called like it.")
    family: Family = Field(
        description="predictable = there is something to see before it hurts; unpredictable = "
        "there is not; trap = nothing needs to be done."
    )
    about: str = Field(
        min_length=1, description="Two sentences: what happens, what a good engine does."
    )
    duration_s: Annotated[Positive, Field(le=LONGEST_S)] = Field(description="Seconds of traffic.")
    warm_up_s: NotNegative = Field(
        default=60.0, description="Seconds at the start in which nothing is scored."
    )
    pace: Annotated[Positive, Field(le=1_000.0)] = Field(
        default=1.0,
        description="How many times faster than in production everything goes: whoever steers "
        "has its patience and its horizons divided by this.",
    )
    regions: dict[Name, RegionSettings] = Field(
        default={}, description="The fleet, region by region; none = the six cells of the demo."
    )
    sizes: dict[Name, Positive] = Field(
        default={}, description="Cpus of single cells, relative to `cell.cpus`."
    )
    cell: CellMakeSettings = Field(
        default=CellMakeSettings(), description="What one cell is made of."
    )
    classes: list[OfferSettings] = Field(
        default=[], description="The request classes; none = checkout, search, report of the demo."
    )
    default_class: str = Field(
        default="", description='Of requests that match no class; "" = search, or the first.'
    )
    load: LoadSettings = Field(default=LoadSettings(), description="What is asked.")
    faults: list[FaultSettings] = Field(description="What befalls the fleet; [] = nothing.")
    telemetry: TelemetrySettings = Field(
        default=TelemetrySettings(), description="How true and fresh what is measured is."
    )
    latency_ms: dict[Name, dict[Name, NotNegative]] = Field(
        default={}, description="Round trip in milliseconds, from origin to region of a cell."
    )
    proxies: Count = Field(
        default=1, description="Balancers of each origin; each sees only its own requests."
    )
    control_delay_s: NotNegative = Field(
        default=0.05, description="Seconds from a decision until the last balancer follows it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> ScenarioSettings:
        found = scenario_contradictions(self.model_dump(mode="json"))
        if found:
            raise ValueError("; ".join(f"{one.key} {one.says}" for one in found))
        self.noun()
        return self

    def placed(self) -> tuple[Placed, ...]:
        """The cells, in index order."""
        return placed({name: each.model_dump() for name, each in self.regions.items()})

    def noun(self) -> Scenario:
        """The scenario in the lab's words."""
        cells = self.placed()
        offers = tuple(each.noun() for each in self.classes) or SHOP
        names = [offer.request_class.name for offer in offers]
        sizes = {each.site.name: each.size for each in cells if each.size != 1.0}
        return Scenario(
            name=self.name,
            family=self.family,
            about=" ".join(self.about.split()),
            duration_s=self.duration_s,
            warm_up_s=self.warm_up_s,
            pace=self.pace,
            sites=tuple(each.site for each in cells),
            sizes=sizes | self.sizes,
            versions={each.site.name: each.version for each in cells if each.version != "1.0"},
            make=CellMake(**self.cell.model_dump()),
            offers=offers,
            load=self.load.noun(),
            faults=tuple(each.noun(cells) for each in self.faults),
            telemetry=Telemetry(**self.telemetry.model_dump()),
            latency_ms={(o, r): ms for o, to in self.latency_ms.items() for r, ms in to.items()},
            proxies=self.proxies,
            control_delay_s=self.control_delay_s,
            default_class=self.default_class or ("search" if "search" in names else names[0]),
        )
