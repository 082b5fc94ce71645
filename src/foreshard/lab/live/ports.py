"""This module is what the live stage must be told about Foreshard, to be put beside it.

It is started as a user would start it. The lab names no adapter: `app` puts them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.steering import Site
from foreshard.ports import (
    CellDriver,
    CellSource,
    Clock,
    EventSource,
    Executor,
    RouteSink,
    TrafficSource,
)

__all__ = ["Ports", "Wiring"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The real world around one steered fleet, as the engine's process has it.

    Attributes:
        clock, executor: Real time, and a thread.
        cells, traffic, events: What can be seen.
        sink: The `serve` process.
        driver: Whoever restarts cells.
    """

    clock: Clock
    executor: Executor
    cells: CellSource
    traffic: TrafficSource
    events: EventSource
    sink: RouteSink
    driver: CellDriver


class Wiring(Protocol):
    """How Foreshard is configured, started and asked."""

    def config(self, scenario: Scenario, site: Site, *, forecast: str) -> str:
        """The configuration of Foreshard for a scenario's fleet: shipped defaults, YAML."""

    def command(self, part: str, config: Path) -> Sequence[str]:
        """Program and arguments of a `foreshard` command: `run` or `serve`."""

    def bootstrap(self, config: Path, *, admin_port: int) -> str:
        """Bootstrap of an Envoy that it steers."""

    def status(self, config: Path) -> Mapping[str, Any] | None:
        """The engine's newest status; None while there is none."""

    def ports(self, config: Path) -> AbstractAsyncContextManager[Ports]:
        """The real world around its fleet."""
