"""This module is what may be configured, and what would be right where it is wrong."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from foreshard.model.plan import Mode
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import Match, Needs, Priority, RequestClass
from foreshard.planning.budget import Budget
from foreshard.planning.judgement import Thresholds

__all__ = [
    "BalancerSettings",
    "BudgetSettings",
    "CellSettings",
    "ClassSettings",
    "DriverSettings",
    "EnvoyListenSettings",
    "ForecastSettings",
    "GaugeSettings",
    "MatchSettings",
    "MetricSettings",
    "ScrapeSettings",
    "Settings",
    "ThresholdSettings",
]

Address = Annotated[str, Field(pattern=r"^[^:\s]+:\d{1,5}$", examples=["127.0.0.1:9901"])]
Positive = Annotated[float, Field(gt=0.0)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MatchSettings(_Strict):
    """Which requests belong to a class; an empty field matches all."""

    method: str = ""
    path_prefix: str = ""


class ClassSettings(_Strict):
    """One request class."""

    name: str
    priority: Priority
    weight: Positive = Field(description="How much one bad request counts.")
    objective_s: Positive = Field(description="A slower answer is bad.")
    timeout_s: Positive
    match: MatchSettings = MatchSettings()
    retriable: bool = False
    key_header: str = Field(default="", description='Header that binds to a cell; "" = free.')
    regions: frozenset[str] = frozenset()
    dependencies: frozenset[str] = frozenset()
    needs: dict[str, float] = Field(
        default_factory=dict, description="Cost of one request by resource, as far as known."
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

    @model_validator(mode="after")
    def _meaningful(self) -> ClassSettings:
        self.noun()
        return self

    def noun(self) -> RequestClass:
        """The class in the core's words."""
        fields = self.model_dump(exclude={"match", "needs"})
        return RequestClass(
            **fields,
            match=Match(**self.match.model_dump()),
            declared=Needs(per_request=self.needs),
        )


class CellSettings(_Strict):
    """One cell."""

    name: str
    region: str
    zone: str = ""
    nodes: list[Address] = Field(min_length=1, description="host:port of each node.")

    @model_validator(mode="after")
    def _meaningful(self) -> CellSettings:
        self.noun()
        return self

    def noun(self) -> Cell:
        """The cell in the core's words."""
        nodes = []
        for address in self.nodes:
            host, _, port = address.rpartition(":")
            try:
                ip_address(host)
            except ValueError:
                raise ValueError(
                    f"cell {self.name}: node {address} must be an IP address and a port"
                ) from None
            nodes.append(Node(host=host, port=int(port)))
        return Cell(
            name=self.name, region=self.region, zone=self.zone or self.region, nodes=tuple(nodes)
        )


class MetricSettings(_Strict):
    """One metric of a cell's Prometheus page."""

    metric: str
    labels: dict[str, str] = {}


class GaugeSettings(_Strict):
    """One resource of a cell against its limit."""

    resource: str
    used: MetricSettings
    limit: MetricSettings | Positive
    counter: bool = Field(default=False, description="`used` is a counter: take its rate.")
    scales_with_load: bool = False
    capacity: bool = Field(
        default=False, description="The limit is what the cell offers each second (cpu)."
    )


class ScrapeSettings(_Strict):
    """Where cells speak of themselves."""

    path: str = "/metrics"
    health_path: str = "/health"
    timeout_s: Positive = 0.8
    gauges: list[GaugeSettings] = Field(min_length=1)


class BalancerSettings(_Strict):
    """One Envoy whose statistics are read."""

    admin: Address
    origin: str = Field(description="Region in which this Envoy stands.")


class EnvoyListenSettings(_Strict):
    """What is served to Envoy."""

    discovery: Address = "127.0.0.1:18000"
    listen: Address = Field(default="127.0.0.1:10000", description="Where Envoy takes requests.")
    served_by_header: str = Field(
        default="", description='Answer header that tells the serving node; "" = none.'
    )


class DriverSettings(_Strict):
    """Who restarts cells: a URL that takes CloudEvents."""

    webhook: str = Field(pattern=r"^https?://")


class ForecastSettings(_Strict):
    """How the future is read."""

    model: str = Field(default="trend", description="A forecaster by name, or none.")
    every_s: Positive = 5.0
    window_s: Positive = 600.0
    horizons_s: list[Positive] = Field(default=[300.0, 3600.0], min_length=2)

    @field_validator("horizons_s")
    @classmethod
    def _rising(cls, value: list[float]) -> list[float]:
        if value != sorted(set(value)):
            raise ValueError("must rise")
        return value


class ThresholdSettings(_Strict):
    """When a prediction is believed; see `planning.judgement.Thresholds`."""

    doubt_p: Ratio = 0.5
    urgent_p: Ratio = 0.8
    relent_p: Ratio = 0.2
    doubt_s: float = Field(default=15.0, ge=0.0)
    confirm_s: float = Field(default=60.0, ge=0.0)
    relent_s: float = Field(default=120.0, ge=0.0)
    class_first_s: float = Field(default=60.0, ge=0.0)
    drain_ahead_s: Positive = Field(default=300.0, description="Before a maintenance window.")
    stride_s: Positive = Field(default=30.0, description="Between two halves of a planned drain.")
    warm_s: Positive = Field(default=120.0, description="From first traffic to full share.")
    prove_s: Positive = Field(default=10.0, description="Healthy this long before traffic.")
    shun_s: Positive = Field(default=120.0, description="A class stays off a cell at least.")
    quarantine_s: Positive = Field(
        default=1_800.0, description="Healthy this long, a quarantined cell may try again."
    )
    restart_patience_s: Positive = Field(default=120.0, description="Then a restart is asked for.")

    @model_validator(mode="after")
    def _meaningful(self) -> ThresholdSettings:
        judged = {f.name for f in fields(Thresholds)}
        Thresholds(**self.model_dump(include=judged))
        return self


class BudgetSettings(_Strict):
    """Bounds on acting; see `planning.budget.Budget`."""

    max_moved_per_tick: Ratio = 0.25
    max_moved_per_minute: Ratio = 0.6
    min_cells: int = Field(default=2, ge=1)
    ceiling: Ratio = Field(default=0.97, description="No cell is led above this utilisation.")
    rest_ceiling: Ratio = 0.85
    confirm_s: float = Field(default=10.0, ge=0.0, description="First to second half.")
    believable_failures: Ratio = Field(default=0.34, description="Share of cells; then panic.")
    stale_s: Positive = Field(default=10.0, description="Older telemetry is not acted upon.")

    @model_validator(mode="after")
    def _meaningful(self) -> BudgetSettings:
        Budget(**self.model_dump())
        return self


class Settings(_Strict):
    """The whole configuration."""

    service: str
    data_dir: Path = Path("var/foreshard")
    mode: Mode = Mode.ACT
    tick_s: Positive = 1.0
    classes: list[ClassSettings] = Field(min_length=1)
    default_class: str
    cells: list[CellSettings] = Field(min_length=1)
    latency_ms: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Round trip from origin region to cell region."
    )
    scrape: ScrapeSettings
    balancers: list[BalancerSettings] = Field(min_length=1)
    envoy: EnvoyListenSettings = EnvoyListenSettings()
    events_file: Path | None = None
    driver: DriverSettings | None = None
    forecast: ForecastSettings = ForecastSettings()
    thresholds: ThresholdSettings = ThresholdSettings()
    budget: BudgetSettings = BudgetSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        names = [c.name for c in self.classes]
        if self.default_class not in names:
            raise ValueError(
                f"default_class is {self.default_class!r}, must be one of {', '.join(names)}"
            )
        if len(set(names)) != len(names):
            raise ValueError(f"classes: names {names} must be unique")
        if self.mode is Mode.ADVISE:
            raise ValueError("mode is 'advise', must be act or observe: nobody can approve yet")
        self._offers_what_is_needed()
        fleet = self.fleet()
        self._has_no_doubles()
        for each in self.request_classes():
            if not any(each.allows_region(cell.region) for cell in fleet.cells):
                raise ValueError(
                    f"class {each.name}: no cell stands in regions {sorted(each.regions)}, must "
                    f"have one of {', '.join(fleet.regions)}"
                )
        return self

    def _offers_what_is_needed(self) -> None:
        """Refuse a configuration that could never plan: what requests need, cells must offer."""
        needs = [frozenset(c.needs) for c in self.classes]
        common = frozenset.intersection(*needs) or frozenset({"cpu"})
        offered = frozenset(g.resource for g in self.scrape.gauges if g.capacity)
        if not common & offered:
            raise ValueError(
                f"scrape.gauges: none of {', '.join(sorted(common))} has `capacity: true`, must "
                "have one: a plan is made from what all classes need and cells offer"
            )

    def _has_no_doubles(self) -> None:
        """Refuse what names one thing twice, or a place that does not exist."""
        owners: dict[str, str] = {}
        for cell in self.cells:
            for node in cell.nodes:
                if node in owners:
                    raise ValueError(
                        f"cells {owners[node]} and {cell.name} both have node {node}, must differ"
                    )
                owners[node] = cell.name
        if self.envoy.discovery == self.envoy.listen:
            raise ValueError(
                f"envoy: discovery and listen are both {self.envoy.listen}, must differ"
            )
        regions = {cell.region for cell in self.cells}
        for origin, distances in self.latency_ms.items():
            for region, ms in distances.items():
                if region not in regions or ms < 0.0:
                    raise ValueError(
                        f"latency_ms.{origin}.{region} is {ms:g}, must be 0 or more, to one of "
                        f"{', '.join(sorted(regions))}"
                    )

    def fleet(self) -> Fleet:
        """The cells in the core's words."""
        latency = {(o, r): ms for o, to in self.latency_ms.items() for r, ms in to.items()}
        return Fleet(cells=tuple(c.noun() for c in self.cells), latency_ms=latency)

    def request_classes(self) -> tuple[RequestClass, ...]:
        """The classes in the core's words, in order of match."""
        return tuple(c.noun() for c in self.classes)

    def origins(self) -> tuple[str, ...]:
        """Regions in which a balancer stands, sorted."""
        return tuple(sorted({b.origin for b in self.balancers}))
