"""This module is the loop bench put together: the shipped loop over made-up cells and proxies.

All is as in `foreshard run`, but in one process and without sockets: pages come from memory, and
what proxies are sent is encoded and thrown away. The forecast, which has a thread of its own
there, is made within the turn.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from foreshard.adapters.clock import InlineExecutor
from foreshard.adapters.metrics.gauges import GaugeSpec, MetricRef
from foreshard.adapters.metrics.load_report import ReportedTraffic, Told
from foreshard.adapters.metrics.prometheus import CellScrape
from foreshard.adapters.routing.envoy.delta import DeltaDialect
from foreshard.adapters.routing.envoy.discovery import Discovery, DiscoverySettings
from foreshard.adapters.routing.envoy.renderer import Renderer
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.controller.foresight import Foresight, Standing
from foreshard.controller.loop import Loop
from foreshard.controller.sweep import Sweep
from foreshard.controller.world import World
from foreshard.engine import Engine, EngineState
from foreshard.forecast.announcement import AttentiveForecaster
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import Window, WindowBuffer
from foreshard.lab.loop_bench.contest import START_S, Heard, Progress, measured
from foreshard.lab.loop_bench.estate import Estate, Size, estate
from foreshard.lab.loop_bench.figures import Figures, figures
from foreshard.lab.loop_bench.stopwatch import Stopwatch
from foreshard.lab.loop_bench.subscriber import Sent, Subscriber
from foreshard.lab.loop_bench.telemetry import LIMIT_BYTES
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Decision, Plan
from foreshard.model.routing import RoutingTable
from foreshard.model.telemetry import Fresh, Health, Missing, Observation
from foreshard.model.topology import Cell, Node
from foreshard.planning.budget import Budget
from foreshard.planning.fleet import FleetSolver
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Problem
from foreshard.planning.solver import Solution
from foreshard.planning.table import plan_of, table_of
from foreshard.ports import (
    Applied,
    BalancerReading,
    CellSource,
    Rejected,
    StateStore,
    TrafficSource,
)
from foreshard.testing import FakeClock

__all__ = ["bench_loop"]

GAUGES = (
    GaugeSpec(
        resource="cpu",
        used=MetricRef(name="process_cpu_seconds_total"),
        limit=MetricRef(name="cell_cpu_limit"),
        is_counter=True,
        scales_with_load=True,
        is_capacity=True,
    ),
    GaugeSpec(
        resource="memory",
        used=MetricRef(name="process_resident_memory_bytes"),
        limit=LIMIT_BYTES,
    ),
    GaugeSpec(resource="connections", used=MetricRef(name="open_connections"), limit=4_096.0),
)
# As in the configuration's defaults.
WINDOW_TURNS, FORECAST_EVERY_S = 180, 5.0
# For what is still under way when a turn is over.
SETTLING_TURNS = 20


def bench_loop(size: Size, *, turns: int, seed: int, progress: Progress) -> Figures:
    """Measure a loop of that size.

    Args:
        size: How large.
        turns: How many are measured.
        seed: Of everything that is drawn.
        progress: Told which part is over.
    """
    there = estate(size, seed=seed)

    async def work() -> Figures:
        stand = _Stand(there, directory)
        await stand.connect()
        try:
            with stand.sweep.in_charge():
                found, done = await measured(
                    there, stand, turns=turns, seed=seed, progress=progress
                )
        finally:
            await stand.aclose()
        sizes = {name: getattr(size, name) for name in ("cells", "classes", "regions", "proxies")}
        # In kilobytes, on Linux.
        rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        return figures(found, sizes={**sizes, "seed": seed}, rss_mb=rss_mb, done=done)

    with TemporaryDirectory(prefix="foreshard-bench-") as name, _only_errors():
        directory = Path(name)
        return asyncio.run(work())


@contextmanager
def _only_errors() -> Iterator[None]:
    """No line for each of some hundred proxies, and for each plan, between the figures."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)


class _Stand:
    """A loop with its world, see `Turning`."""

    def __init__(self, there: Estate, directory: Path) -> None:
        self.heard = Heard(pages={})
        self.sent = Sent()
        self.watch = watch = Stopwatch()
        self.sweep = Sweep()
        self._there = there
        self._clock = FakeClock(START_S)
        render = watch.timed("render", Renderer(EnvoySettings(listen_port=10_000)).__call__)
        self._sink = _Sink(Discovery(render, DiscoverySettings()), watch)
        self._store = SqliteStore(directory)
        cells = CellScrape(GAUGES, now_s=self._clock.now_s, fetch=self._page)
        traffic = ReportedTraffic(there.fleet.cells, self._told, now_s=self._clock.now_s)
        world = World(
            clock=self._clock,
            cells=_Cells(cells, watch),
            traffic=_Traffic(traffic, watch),
            events=None,
            sink=self._sink,
            driver=None,
            store=_Store(self._store, watch),
        )
        self._engine = _Engine(
            fleet=there.fleet,
            classes=there.classes,
            origins=there.origins,
            default_class=there.classes[0].name,
            solver=_Solver(watch),
            policy=Policy(),
            budget=Budget(),
        )
        self._engine.watch = watch
        foresight = _Foresight(
            AttentiveForecaster(inner=TrendForecaster(), needs={}),
            WindowBuffer(there.classes, length=WINDOW_TURNS),
            InlineExecutor(),
            every_s=FORECAST_EVERY_S,
        )
        foresight.watch = watch
        self._loop = Loop(self._engine, there.fleet, world, foresight=foresight, tick_s=1.0)
        self._talks: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Let all proxies subscribe to what is live from the beginning: every region its own."""
        await self._sink.restore(
            table_of(
                self._there.at_home(),
                version=1,
                fleet=self._there.fleet,
                classes=self._there.classes,
                default_class=self._there.classes[0].name,
                previous=None,
            )
        )
        encode = self.watch.timed("encode", DeltaDiscoveryResponse.SerializeToString)
        for name, region in self._there.proxies:
            proxy = Subscriber(name, region, self.sent, encode)
            talk = self._sink.discovery.converse(DeltaDialect, proxy.requests(), proxy)
            self._talks.append(asyncio.create_task(talk))
        await self._settle()

    async def aclose(self) -> None:
        """End all streams."""
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        self._store.close()

    @property
    def plan(self) -> Plan:
        """See `Turning`."""
        return self._sink.plan

    @property
    def plans(self) -> int:
        """See `Turning`."""
        return self._sink.plans

    @property
    def synced(self) -> int:
        """See `Turning`."""
        return sum(bool(node["synced"]) for node in self._sink.discovery.nodes())

    async def turn(self) -> float:
        """See `Turning`."""
        with self.watch.turn():
            await self._loop.tick()
            await self._settle()
            with self.watch.stage("sweep"):
                self.sweep.after_turn()
        self._clock.advance(1.0)
        return self._clock.now_s()

    async def _settle(self) -> None:
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)

    async def _page(self, node: Node, path: str) -> tuple[int, bytes, str]:
        return 200, self.heard.pages[node], ""

    def _told(self) -> Sequence[Told]:
        heard = self.heard
        return [
            Told(proxy=name, origin=region, reports=(report,), page=page)
            for (name, region), report, page in zip(
                self._there.proxies, heard.reports, heard.arrivals, strict=True
            )
        ]


class _Sink:
    """The discovery service as a `RouteSink`."""

    def __init__(self, discovery: Discovery, watch: Stopwatch) -> None:
        self.discovery = discovery
        self.table: RoutingTable | None = None
        self.plan = Plan(splits={})
        self.plans = 0
        self._watch = watch

    async def restore(self, table: RoutingTable) -> None:
        await self.discovery.restore(table, committed_at_s=START_S)
        self.table, self.plan = table, plan_of(table)

    async def apply(self, table: RoutingTable) -> Applied | Rejected:
        with self._watch.stage("push"):
            outcome = await self.discovery.publish(table)
        if isinstance(outcome, Applied):
            self.table, self.plan = table, plan_of(table)
            self.plans += 1
        return outcome

    async def live(self) -> RoutingTable | None:
        return self.table


class _Cells:
    def __init__(self, cells: CellSource, watch: Stopwatch) -> None:
        self._cells, self._watch = cells, watch

    async def read(self, cells: tuple[Cell, ...]) -> Mapping[str, tuple[Health, Fresh | Missing]]:
        with self._watch.stage("scrape"):
            return await self._cells.read(cells)


class _Traffic:
    def __init__(self, traffic: TrafficSource, watch: Stopwatch) -> None:
        self._traffic, self._watch = traffic, watch

    async def read(self) -> BalancerReading | Missing:
        with self._watch.stage("reports"):
            return await self._traffic.read()


class _Engine(Engine):
    watch: Stopwatch

    def step(
        self, state: EngineState, observation: Observation, forecast: Forecast | None
    ) -> tuple[EngineState, Decision]:
        with self.watch.stage("decide"):
            return super().step(state, observation, forecast)


class _Solver:
    def __init__(self, watch: Stopwatch) -> None:
        self._solver, self._watch = FleetSolver(), watch

    def solve(self, problem: Problem) -> Solution:
        with self._watch.stage("solve"):
            return self._solver.solve(problem)


class _Foresight(Foresight):
    watch: Stopwatch

    def take(self, observation: Observation) -> None:
        with self.watch.stage("window"):
            super().take(observation)

    def _made(
        self, window: Window, events: tuple[SystemEvent, ...], now_s: float
    ) -> tuple[Forecast, Standing]:
        with self.watch.stage("forecast"):
            return super()._made(window, events, now_s)


class _Store:
    def __init__(self, store: StateStore, watch: Stopwatch) -> None:
        self.latest, self.get = store.latest, store.get
        self.record = watch.timed("keep", store.record)
        self.put = watch.timed("keep", store.put)
