"""This module is a configuration in the making: what was found, and what must still be said.

`None` is what nobody could know; it is written as a line to fill in, never as a guess that looks
like knowledge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foreshard.model.topology import Cell

__all__ = ["BalancerDraft", "ClassDraft", "Draft", "GaugeDraft", "MetricDraft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDraft:
    """A metric that is on the pages."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugeDraft:
    """A gauge that the pages can feed.

    Attributes:
        resource: Its name.
        used: What is in use.
        limit: Where it is exhausted; None = nobody could tell.
        is_counter: `used` only rises.
        scales_with_load: It follows the request rate.
        is_capacity: It is what a plan may fill.
        because: Where the limit comes from, for people.
    """

    resource: str
    used: MetricDraft
    limit: MetricDraft | float | None
    is_counter: bool = False
    scales_with_load: bool = False
    is_capacity: bool = False
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDraft:
    """A request class as far as it is known.

    Attributes:
        name: Its name.
        timeout_s: After this the balancer gives up.
        objective_s: A slower answer is bad; None = nobody said.
        priority: critical, normal or sheddable.
        weight: How much one bad request counts.
        method: "" = any.
        path_prefix: "" = any.
        key_header: "" = free.
        retriable: Whether another cell may be asked.
    """

    name: str
    timeout_s: float = 15.0
    objective_s: float | None = None
    priority: str = "normal"
    weight: float = 1.0
    method: str = ""
    path_prefix: str = ""
    key_header: str = ""
    retriable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerDraft:
    """An Envoy: its admin page, and the region it stands in."""

    admin: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Everything that goes into a first configuration.

    Attributes:
        service: Name of the service.
        found_at: Where the cells were found, for people.
        cells: The fleet.
        classes: In order of match.
        default_class: Of requests that match none.
        gauges: What can be watched.
        balancers: The Envoys.
        listen: Where Envoy takes requests.
        health_path: "" = none was found.
        metrics_path: Of the Prometheus page.
    """

    service: str
    found_at: str
    cells: tuple[Cell, ...]
    classes: tuple[ClassDraft, ...]
    default_class: str
    gauges: tuple[GaugeDraft, ...]
    balancers: tuple[BalancerDraft, ...]
    listen: str = "127.0.0.1:10000"
    health_path: str = ""
    metrics_path: str = "/metrics"
