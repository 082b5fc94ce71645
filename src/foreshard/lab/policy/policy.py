"""This module is the contract of whoever steers: the same ports for all, on the same clock.

A policy sees what Foreshard sees, as late and as noisy; only the oracle is told the truth. It
runs on virtual time (`sim`) or on real time (`live`) and cannot tell which.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects
from foreshard.lab.simulation.routing import Routing
from foreshard.model.topology import Fleet
from foreshard.ports import (
    CellDriver,
    CellSource,
    Clock,
    EventSource,
    Executor,
    RouteSink,
    StateStore,
    TrafficSource,
)

__all__ = ["Balancer", "Policy", "Stage", "Truth"]


class Balancer(Protocol):
    """The proxies, for peers that choose in ways no routing table says (`sim` only)."""

    async def route(self, routing: Routing) -> None:
        """Follow this from now on; returns when the last proxy does."""


class Truth(Protocol):
    """The whole schedule, for the oracle alone."""

    def effects(self, at_s: float) -> Effects:
        """What the faults will do at that moment of the scenario, were nothing restarted."""

    def demand_rps(self, at_s: float) -> dict[tuple[str, str], float]:
        """Mean requests a second that arrive then, by (origin, class), surges included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a policy gets.

    Attributes:
        scenario: For topology, classes, pace and the safety net's numbers; a policy other than
            the oracle must not look at `faults`, `load` or `offers[].work`.
        fleet: Its cells.
        start_s: Of the scenario, on the clock.
        clock, executor: Time, and where to compute beside it.
        cells, traffic, events: What can be seen.
        sink: Takes routing tables.
        balancer: Takes wider programs; None on the live stage.
        driver: Restarts cells.
        store: Remembers decisions, reasons and forecasts for whoever explains the run.
        truth: None for all but the oracle.
        seed: For a policy's own chance, if it has any.
    """

    scenario: Scenario
    fleet: Fleet
    start_s: float
    clock: Clock
    executor: Executor
    cells: CellSource
    traffic: TrafficSource
    events: EventSource
    sink: RouteSink
    balancer: Balancer | None
    driver: CellDriver
    store: StateStore
    truth: Truth | None
    seed: int


class Policy(Protocol):
    """Someone who steers."""

    @property
    def name(self) -> str:
        """As on the command line."""

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        """Route from the first request on; return soon after `stop` is set."""
