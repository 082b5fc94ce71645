"""This module is the composition root: the only one that knows every part by name."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from foreshard.adapters.cells.webhook import WebhookCellDriver
from foreshard.adapters.clock import SystemClock, ThreadExecutor
from foreshard.adapters.events.file import FileEventSource
from foreshard.adapters.metrics.envoy import EnvoyAdmin, EnvoyTrafficSource
from foreshard.adapters.metrics.gauges import GaugeSpec, MetricRef
from foreshard.adapters.metrics.prometheus import CellScrape, ScrapeOptions
from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.envoy.bootstrap import bootstrap_text
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.serve import ServeSettings, run_serve
from foreshard.adapters.store.reading import SqliteReader
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.config import GaugeSettings, MetricSettings, Settings, load
from foreshard.controller.foresight import Foresight
from foreshard.controller.loop import Loop, World
from foreshard.controller.supervise import supervise
from foreshard.engine import Engine
from foreshard.forecast.forecaster import Forecaster
from foreshard.forecast.window import WindowBuffer
from foreshard.lab import registry
from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.demo import DemoOptions, play_demo
from foreshard.lab.screen import screen_for
from foreshard.model.errors import ConfigError, LabError, StoreError
from foreshard.planning.budget import Budget
from foreshard.planning.exact import ExactSolver
from foreshard.planning.judgement import Thresholds
from foreshard.planning.policy import Policy

__all__ = [
    "bootstrap_of",
    "break_cell",
    "engine_of",
    "engine_status",
    "freeze",
    "latest_decision",
    "run",
    "run_demo",
    "run_engine_process",
    "run_serve_process",
    "running_demo",
    "stop_on_signals",
    "thaw",
]


def engine_of(settings: Settings) -> Engine:
    """The engine of a configuration."""
    judged = {
        "doubt_p",
        "urgent_p",
        "relent_p",
        "doubt_s",
        "confirm_s",
        "relent_s",
        "class_first_s",
    }
    patience = settings.thresholds.model_dump()
    thresholds = Thresholds(**{k: v for k, v in patience.items() if k in judged})
    policy = Policy(
        thresholds=thresholds, **{k: v for k, v in patience.items() if k not in judged}
    )
    return Engine(
        fleet=settings.fleet(),
        classes=settings.request_classes(),
        origins=settings.origins(),
        default_class=settings.default_class,
        solver=ExactSolver(),
        policy=policy,
        budget=Budget(**settings.budget.model_dump()),
    )


def run(config: Path, settings: Settings) -> None:
    """Supervise `serve` and `engine` until a signal ends them."""
    commands = {
        "serve": [sys.executable, "-m", "foreshard", "serve", str(config)],
        "engine": [sys.executable, "-m", "foreshard", "engine", str(config)],
    }

    async def work(stop: asyncio.Event) -> None:
        await supervise(commands, log_dir=settings.data_dir / "logs", stop=stop)

    stop_on_signals(work)


def run_serve_process(settings: Settings) -> None:
    """Serve balancers until a signal ends it."""
    host, port = _address(settings.envoy.discovery)
    envoy = _envoy_settings(settings)
    serving = ServeSettings(
        data_dir=settings.data_dir,
        render=lambda table, origin: render(table, origin=origin, settings=envoy),
        host=host,
        port=port,
    )

    async def work(stop: asyncio.Event) -> None:
        server = asyncio.create_task(run_serve(serving))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({server, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server

    stop_on_signals(work)


def run_engine_process(settings: Settings) -> None:
    """Decide until a signal ends it."""

    async def work(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            loop = await _loop_of(settings, stack)
            await loop.run(stop)

    stop_on_signals(work)


async def _loop_of(settings: Settings, stack: AsyncExitStack) -> Loop:
    clock = SystemClock()
    executor = ThreadExecutor()
    stack.callback(executor.close)
    fleet = settings.fleet()
    gauges = [_gauge(spec) for spec in settings.scrape.gauges]
    options = ScrapeOptions(
        metrics_path=settings.scrape.path,
        health_path=settings.scrape.health_path,
        timeout_s=settings.scrape.timeout_s,
    )
    cells = await stack.enter_async_context(CellScrape(gauges, now_s=clock.now_s, options=options))
    admins = [EnvoyAdmin(origin=b.origin, address=b.admin) for b in settings.balancers]
    traffic = await stack.enter_async_context(
        EnvoyTrafficSource(admins, fleet.cells, now_s=clock.now_s)
    )
    driver = None
    if settings.driver is not None:
        driver = await stack.enter_async_context(
            WebhookCellDriver(settings.driver.webhook, clock=clock)
        )
    events = settings.events_file
    world = World(
        clock=clock,
        cells=cells,
        traffic=traffic,
        events=FileEventSource(events, now_s=clock.now_s) if events else None,
        sink=await stack.enter_async_context(ServeSink(settings.data_dir)),
        driver=driver,
        store=stack.enter_context(SqliteStore(settings.data_dir / "state")),
    )
    return Loop(
        engine_of(settings),
        fleet,
        world,
        foresight=_foresight(settings, executor),
        tick_s=settings.tick_s,
    )


def _foresight(settings: Settings, executor: ThreadExecutor) -> Foresight | None:
    forecast = settings.forecast
    if forecast.model == "none":
        return None
    found = entry_points(group="foreshard.forecasters")
    if forecast.model not in found.names:
        names = ", ".join((*sorted(found.names), "none"))
        raise ConfigError(f"forecast.model is {forecast.model!r}, must be one of {names}")
    make: Callable[..., Forecaster] = found[forecast.model].load()
    length = max(2, round(forecast.window_s / settings.tick_s))
    return Foresight(
        make(horizons_s=tuple(forecast.horizons_s)),
        WindowBuffer(settings.request_classes(), length=length),
        executor,
        every_s=forecast.every_s,
    )


def _gauge(spec: GaugeSettings) -> GaugeSpec:
    limit = spec.limit
    return GaugeSpec(
        resource=spec.resource,
        used=_metric(spec.used),
        limit=_metric(limit) if isinstance(limit, MetricSettings) else limit,
        is_counter=spec.counter,
        scales_with_load=spec.scales_with_load,
        is_capacity=spec.capacity,
    )


def _metric(metric: MetricSettings) -> MetricRef:
    return MetricRef(name=metric.metric, labels=metric.labels)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _envoy_settings(settings: Settings) -> EnvoySettings:
    host, port = _address(settings.envoy.listen)
    return EnvoySettings(
        listen_host=host, listen_port=port, served_by_header=settings.envoy.served_by_header
    )


def bootstrap_of(settings: Settings, *, node_id: str, admin_port: int, region: str) -> str:
    """Bootstrap of an Envoy that is to be steered, YAML."""
    return bootstrap_text(
        node_id=node_id,
        region=region,
        zone=region,
        discovery=_address(settings.envoy.discovery),
        admin_port=admin_port,
    )


def engine_status(settings: Settings) -> Mapping[str, Any] | None:
    """What the engine last said of itself and the fleet; None before it first did."""
    try:
        with SqliteReader(settings.data_dir / "state") as reader:
            return reader.get("status")
    except StoreError:
        return None


def latest_decision(settings: Settings, cell: str) -> Mapping[str, Any] | None:
    """The newest decision with a reason about a cell.

    Raises:
        StoreError: No engine has ever kept anything there, or it cannot be read.
    """
    with SqliteReader(settings.data_dir / "state") as reader:
        return reader.latest(cell)


def freeze(settings: Settings, reason: str) -> None:
    """Refuse every new table until `thaw`.

    Raises:
        SinkError: The serve process cannot be reached.
    """

    async def work() -> None:
        async with ServeSink(settings.data_dir) as sink:
            await sink.freeze(reason)

    asyncio.run(work())


def thaw(settings: Settings) -> None:
    """Accept tables again.

    Raises:
        SinkError: The serve process cannot be reached.
    """

    async def work() -> None:
        async with ServeSink(settings.data_dir) as sink:
            await sink.thaw()

    asyncio.run(work())


def stop_on_signals(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `work(stop)`; Ctrl-C and SIGTERM set `stop`, so that everything is ended in order."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sent in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sent, stop.set)
        await work(stop)

    asyncio.run(main())


class _Wiring:
    """How the demo starts and asks Foreshard: as a user would."""

    def command(self, config: Path) -> list[str]:
        return [sys.executable, "-m", "foreshard", "run", str(config)]

    def bootstrap(self, config: Path, *, admin_port: int) -> str:
        settings = load(config)
        region = settings.origins()[0]
        return bootstrap_of(settings, node_id="edge-1", admin_port=admin_port, region=region)

    def status(self, config: Path) -> Mapping[str, Any] | None:
        return engine_status(load(config))


def run_demo(options: DemoOptions) -> None:
    """Run the demo until its story ends, or a signal does.

    Raises:
        LabError: Something could not be started.
    """
    screen = screen_for(headless=options.headless)

    async def work(stop: asyncio.Event) -> None:
        with screen:
            report = await play_demo(options, _Wiring(), screen, stop=stop)
        screen.summary(report, json=options.json)

    stop_on_signals(work)


def running_demo() -> registry.Entry:
    """The demo that was started last and still runs.

    Raises:
        LabError: None runs.
    """
    return registry.newest()


def break_cell(cell: str, kind: str, *, duration_s: float, magnitude: float | None) -> None:
    """Begin a fault on both fleets of the running demo.

    Raises:
        LabError: No demo runs, or it refuses the fault.
    """
    kinds = [k.value for k in FaultKind]
    if kind not in kinds:
        raise LabError(f"fault kind {kind!r} is unknown; there are {', '.join(kinds)}")
    body: dict[str, Any] = {"cell": cell, "kind": kind, "duration_s": duration_s}
    if magnitude is not None:
        body["magnitude"] = magnitude

    async def work() -> None:
        for door in registry.newest().doors:
            await registry.ask(door, "/faults", body)

    asyncio.run(work())
