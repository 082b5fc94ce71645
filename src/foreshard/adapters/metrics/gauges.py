"""This module is how metrics become gauges: which metric is used, which one is the limit.

A value that cannot be (not a number, infinite, negative) refuses the whole page: an endpoint
that lies about one gauge is not believed about the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

from foreshard.adapters.metrics.exposition import Page
from foreshard.model.errors import InvalidValueError, SourceError
from foreshard.model.telemetry import CellMetrics, Gauge

__all__ = ["GaugeSpec", "MetricRef", "NodeSample", "combine_nodes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRef:
    """A metric on a page, and the labels that a sample must carry to count.

    Attributes:
        name: As on the page, with `_total` where the page has it.
        labels: Each must be equal; a sample may carry more labels than these.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidValueError(f"metric name is {self.name!r}, must not be empty")

    def __str__(self) -> str:
        labels = ",".join(f'{key}="{value}"' for key, value in sorted(self.labels.items()))
        return f"{self.name}{{{labels}}}" if labels else self.name

    def read(self, page: Page) -> float | None:
        """The sum of the samples that match (one per pool, one per mount); None without one.

        Raises:
            SourceError: One of them is not a finite number >= 0.
        """
        values = [
            sample.value
            for sample in page.get(self.name, ())
            if self.labels.items() <= sample.labels.items()
        ]
        for value in values:
            if not (isfinite(value) and value >= 0.0):
                raise SourceError(f"{self} is {value}, must be a finite number, 0 or more")
        return sum(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugeSpec:
    """How one resource of a node is read from its page.

    Attributes:
        resource: Name of the gauge.
        used: What is in use.
        limit: Where it is exhausted, for one node; a metric or a declared number > 0.
        is_counter: `used` only rises (cpu seconds): the gauge is its rate a second.
        scales_with_load: The gauge follows the request rate.
        is_capacity: The limit is also what the cell offers a second, in the unit of `Needs`.
    """

    resource: str
    used: MetricRef
    limit: MetricRef | float
    is_counter: bool = False
    scales_with_load: bool = False
    is_capacity: bool = False

    def __post_init__(self) -> None:
        if not self.resource:
            raise InvalidValueError(f"gauge: resource is {self.resource!r}, must not be empty")
        if not isinstance(self.limit, MetricRef) and not 0.0 < self.limit < inf:
            raise InvalidValueError(
                f"gauge {self.resource}: limit is {self.limit}, must be finite and > 0"
            )

    @property
    def metric_names(self) -> frozenset[str]:
        """The metrics it needs from the page."""
        limit = {self.limit.name} if isinstance(self.limit, MetricRef) else set()
        return frozenset({self.used.name} | limit)

    def read_limit(self, page: Page) -> float | None:
        """The limit on a page; None when the page has none.

        Raises:
            SourceError: It is not a finite number > 0.
        """
        if not isinstance(self.limit, MetricRef):
            return float(self.limit)
        limit = self.limit.read(page)
        if limit == 0.0:
            raise SourceError(f"{self.limit} is 0, a limit must be > 0")
        return limit


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSample:
    """What one node said of itself.

    Attributes:
        taken_at_s: When it was heard, or since when the page has not changed.
        used: By resource; a rate where the metric is a counter. A resource may be absent.
        limits: By resource; may hold resources whose use is not known yet.
        version: Of the service; "" when unknown.
        started_at_s: Start of the process on our clock; 0 when unknown.
    """

    taken_at_s: float
    used: Mapping[str, float]
    limits: Mapping[str, float]
    version: str = ""
    started_at_s: float = 0.0


def combine_nodes(nodes: Sequence[NodeSample], specs: Sequence[GaugeSpec]) -> CellMetrics:
    """The metrics of a cell: use and limit summed over the nodes that know both.

    A sum hides a node that is fuller than its siblings: a leak in one of four nodes shows as
    a quarter of its slope. Nodes that must be told apart should be declared as cells.

    Args:
        nodes: At least one.
        specs: Gauges to fill; one that no node knows is absent, not zero.
    """
    gauges: dict[str, Gauge] = {}
    capacity: dict[str, float] = {}
    for spec in specs:
        name = spec.resource
        both = [node for node in nodes if name in node.used and name in node.limits]
        if both:
            gauges[name] = Gauge(
                used=sum(node.used[name] for node in both),
                limit=sum(node.limits[name] for node in both),
                scales_with_load=spec.scales_with_load,
            )
        limits = [node.limits[name] for node in nodes if name in node.limits]
        if spec.is_capacity and limits:
            capacity[name] = sum(limits)
    return CellMetrics(
        gauges=gauges,
        capacity=capacity,
        version=",".join(sorted({node.version for node in nodes if node.version})),
        started_at_s=max(node.started_at_s for node in nodes),
    )
