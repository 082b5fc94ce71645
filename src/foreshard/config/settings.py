"""This module is what may be configured, and what would be right where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import (
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from foreshard.config.consistency import contradictions
from foreshard.config.federation import FederationSettings
from foreshard.config.field import (
    Address,
    HeaderName,
    MaybeUrlPath,
    MetricName,
    Name,
    NodeAddress,
    NotNegative,
    Positive,
    Strict,
    Url,
    UrlPath,
    Wait,
)
from foreshard.config.learning import HistorySettings, TrainingSettings
from foreshard.config.patience import BudgetSettings, ForecastSettings, ThresholdSettings
from foreshard.config.workload import ClassSettings, ServiceMap
from foreshard.model.plan import Mode
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import RequestClass

__all__ = [
    "ApiSettings",
    "BalancerSettings",
    "CellSettings",
    "DriverSettings",
    "EnvoyListenSettings",
    "GaugeSettings",
    "MetricSettings",
    "MetricsSettings",
    "ScrapeSettings",
    "Settings",
]


def _kind_of_limit(value: object) -> str:
    return "as a metric" if isinstance(value, dict | MetricSettings) else "as a number"


class CellSettings(Strict):
    """One cell: a complete, independent copy of the service."""

    name: Name = Field(description="Unique among the cells.")
    region: Name = Field(description="Region it stands in.")
    zone: Annotated[str, Field(max_length=63)] = Field(
        default="", description='Failure domain inside the region; "" = the region is one.'
    )
    hardware: Annotated[str, Field(max_length=63)] = Field(
        default="",
        description="Sort of machine, in any words: how much faster or slower each sort is, is "
        'learned; "" = the same as all others without one.',
        examples=["arm-2024"],
    )
    nodes: list[NodeAddress] = Field(
        min_length=1,
        description="ip:port of each node: requests, health checks and metrics go there.",
    )

    @model_validator(mode="after")
    def _meaningful(self) -> CellSettings:
        self.noun()
        return self

    def noun(self) -> Cell:
        """The cell in the core's words."""
        parts = [address.rpartition(":") for address in self.nodes]
        nodes = tuple(Node(host=host, port=int(port)) for host, _, port in parts)
        return Cell(name=self.name, region=self.region, zone=self.zone or self.region, nodes=nodes)


class MetricSettings(Strict):
    """One metric of a cell's Prometheus page."""

    metric: MetricName = Field(
        description="Its name as on the page, with `_total` where the page has it."
    )
    labels: dict[str, str] = Field(
        default={}, description="Labels that a sample must carry; samples that match are summed."
    )


class GaugeSettings(Strict):
    """One resource of a cell against its limit."""

    resource: str = Field(
        min_length=1,
        description="Its name; cpu, memory, disk and the like.",
        examples=["memory"],
    )
    used: MetricSettings = Field(description="What is in use.")
    limit: Annotated[
        Annotated[MetricSettings, Tag("as a metric")] | Annotated[Positive, Tag("as a number")],
        Discriminator(_kind_of_limit),
    ] = Field(
        description="Where it is exhausted, for one node: a metric, or a number in the unit of "
        "`used` (of its rate a second, when `used` is a counter)."
    )
    counter: bool = Field(default=False, description="`used` is a counter: take its rate.")
    scales_with_load: bool = Field(
        default=False,
        description="It follows the request rate (cpu), so less load cures it; a leak does not.",
    )
    capacity: bool = Field(
        default=False,
        description="The limit is what the cell offers each second (cpu): what a plan may fill.",
    )


class ScrapeSettings(Strict):
    """Where cells speak of themselves."""

    path: UrlPath = Field(default="/metrics", description="Of the Prometheus page of a node.")
    health_path: MaybeUrlPath = Field(
        default="/health",
        description='A 2xx answer means healthy; also what Envoy checks. "" = the page alone.',
    )
    timeout_s: Wait = Field(
        default=0.8, description="Seconds a cell may take to answer; less than a tick."
    )
    gauges: list[GaugeSettings] = Field(
        min_length=1,
        description="What is watched. A fault that moves none of them is not foreseen; at least "
        "one must have `capacity: true`.",
    )


class BalancerSettings(Strict):
    """One Envoy whose statistics are read."""

    admin: Address = Field(description="host:port of its admin page.")
    origin: Name = Field(description="Region in which this Envoy stands.")


class EnvoyListenSettings(Strict):
    """What is served to Envoy."""

    discovery: Address = Field(
        default="127.0.0.1:18000", description="Where Foreshard serves xDS to Envoy."
    )
    listen: Address = Field(default="127.0.0.1:10000", description="Where Envoy takes requests.")
    relay: Address | None = Field(
        default=None, description="Where `foreshard relay` listens beside an Envoy; null = none."
    )
    path_sample_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        default=0.1,
        description="Part of the requests that match no class whose path Envoys tell, so that "
        "new endpoints are found; 0 = none.",
    )
    relay_key_file: Path | None = Field(
        default=None, description="Secret that signs what relays keep; null = only a checksum."
    )
    served_by_header: HeaderName = Field(
        default="", description='Answer header that tells the serving node; "" = none.'
    )


class DriverSettings(Strict):
    """Who restarts cells: a URL that takes CloudEvents."""

    webhook: Url = Field(description="Gets a CloudEvent when an emptied cell should be restarted.")


class MetricsSettings(Strict):
    """Where each process tells Prometheus and probes how it fares; nothing = nowhere."""

    serve: Address | None = Field(
        default=None,
        description="Address of the page of the discovery service; null = none.",
        examples=["127.0.0.1:18001"],
    )
    engine: Address | None = Field(
        default=None,
        description="Address of the page of the engine; null = none.",
        examples=["127.0.0.1:18002"],
    )
    relay: Address | None = Field(
        default=None,
        description="Address of the page of a relay, on its own host; null = none.",
        examples=["127.0.0.1:18003"],
    )


class ApiSettings(Strict):
    """Where classes can be read and changed over HTTP; nothing = nowhere."""

    listen: Address | None = Field(
        default=None,
        description="Address of the API; null = there is none. One that is not of this machine "
        "needs a certificate.",
        examples=["127.0.0.1:18080"],
    )
    certificate_file: Path | None = Field(
        default=None, description="Certificate chain, PEM; with it the API speaks TLS alone."
    )
    private_key_file: Path | None = Field(
        default=None, description="Key of the certificate, PEM; null = it stands in that file."
    )


class Settings(Strict):
    """The whole configuration."""

    service: str = Field(min_length=1, description="Name of the service, for people.")
    data_dir: Path = Field(
        default=Path("var/foreshard"),
        description="Where state, decisions and logs are kept; relative to this file.",
    )
    mode: Annotated[
        Mode, WithJsonSchema({"type": "string", "enum": [Mode.OBSERVE.value, Mode.ACT.value]})
    ] = Field(
        default=Mode.ACT,
        description="observe = serve an even plan, decide and record, change nothing; "
        "act = steer.",
    )
    tick_s: Positive = Field(
        default=1.0,
        le=10.0,
        description="Seconds between looks at the fleet; failover needs about one. Slower than "
        "10, and watchdogs would take the engine for hung.",
    )
    classes: list[ClassSettings] = Field(min_length=1, description="In order of match.")
    default_class: str = Field(description="The class of requests that match none.")
    service_map: ServiceMap = Field(
        default_factory=dict,
        description="What a dependency needs itself, by its name; a class depends on all of it.",
    )
    cells: list[CellSettings] = Field(min_length=1, description="The fleet.")
    latency_ms: dict[str, dict[str, NotNegative]] = Field(
        default_factory=dict,
        description="Round trip in milliseconds, from origin region to cell region.",
    )
    egress_per_gb: dict[str, dict[str, NotNegative]] = Field(
        default_factory=dict,
        description="What a gigabyte of answers costs, in any currency, from origin region to "
        "cell region; a link that is not named costs nothing.",
    )
    federation: FederationSettings | None = Field(
        default=None, description="Other regions with engines of their own; null = one engine."
    )
    scrape: ScrapeSettings = Field(description="Where cells speak of themselves.")
    balancers: list[BalancerSettings] = Field(
        min_length=1, description="Every Envoy in front of the cells: all their traffic counts."
    )
    envoy: EnvoyListenSettings = Field(
        default=EnvoyListenSettings(), description="What is served to Envoy."
    )
    api: ApiSettings = Field(default=ApiSettings(), description="The HTTP API of request classes.")
    metrics: MetricsSettings = Field(
        default=MetricsSettings(),
        description="Pages for Prometheus and for probes, one a process.",
    )
    events_file: Path | None = Field(
        default=None,
        description="Announced maintenance, a JSON or YAML list; read again when it changes.",
    )
    driver: DriverSettings | None = Field(
        default=None, description="Who restarts cells; without it nobody is asked to."
    )
    forecast: ForecastSettings = Field(
        default=ForecastSettings(), description="How the future is read."
    )
    history: HistorySettings = Field(
        default=HistorySettings(), description="What is kept of the past."
    )
    training: TrainingSettings = Field(
        default=TrainingSettings(), description="How models are made of the past."
    )
    thresholds: ThresholdSettings = Field(
        default=ThresholdSettings(), description="When a prediction is believed."
    )
    budget: BudgetSettings = Field(default=BudgetSettings(), description="Bounds on acting.")

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        found = contradictions(self.model_dump())
        if found:
            raise ValueError("; ".join(f"{one.key} {one.says}" for one in found))
        return self

    def fleet(self) -> Fleet:
        """The cells in the core's words."""
        latency = {(o, r): ms for o, to in self.latency_ms.items() for r, ms in to.items()}
        egress = {(o, r): cost for o, to in self.egress_per_gb.items() for r, cost in to.items()}
        peers = self.federation.cells() if self.federation else ()
        cells = (*(c.noun() for c in self.cells), *peers)
        hardware = {c.name: c.hardware for c in self.cells if c.hardware}
        return Fleet(cells=cells, latency_ms=latency, egress_per_gb=egress, hardware=hardware)

    def request_classes(self) -> tuple[RequestClass, ...]:
        """The classes in the core's words, in order of match."""
        classes = tuple(c.noun(self.service_map) for c in self.classes)
        return self.federation.kept(classes) if self.federation else classes

    def origins(self) -> tuple[str, ...]:
        """Regions in which a balancer stands, sorted."""
        return tuple(sorted({b.origin for b in self.balancers}))
