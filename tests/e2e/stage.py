"""This module is the stage of the end-to-end tests: two small fleets that get the same requests.

One is the reactive twin; the other is steered by a real `foreshard run`, which is started, asked
and hurt as a user would. Nothing of it is mocked; what hurts is done to real processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from foreshard.adapters.routing.client import ServeSink
from foreshard.app import asking, serving
from foreshard.config import Settings, load
from foreshard.controller.process import Child, free_port, hold_port, start
from foreshard.lab import reactive, service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.envoy import Envoy
from foreshard.lab.loadgen import Load, generate
from foreshard.lab.records import Run, Verdict, judge
from foreshard.lab.steering import Site, demo_config
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.traffic import Demand, arrivals
from foreshard.lab.webhook import Webhook
from foreshard.model.errors import SinkError
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.routing import RoutingTable
from tests.e2e.gate import Gate

__all__ = ["STEERED", "TWIN", "Stage", "is_running", "judged", "staged", "until"]

TWIN, STEERED = "twin", "steered"
CELLS = ("eu-1", "eu-2", "us-1")
MIX = tuple(service.MIX[c.name] for c in service.CLASSES)
# Only bounds waiting: a test machine may be busy with other things.
PATIENCE_S = 30.0
POLL_S = 0.05
LONGEST_S = 90.0
# Every answer to a request of the act itself has come by then, or is a failure.
LAST_ANSWERS_S = 2.5
# Envoy names a request that found no route or no cluster so.
LOST = re.compile(
    r"^foreshard\.edge\..*\.flags\.(?:.*,)?(?:NR|NC)\b|^http\.edge\.no_(?:route|cluster)$"
)


async def until(
    holds: Callable[[], Awaitable[bool]], what: str, *, within_s: float = PATIENCE_S
) -> None:
    """Return when something holds; fail when it does not within a generous time."""
    deadline_s = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < deadline_s, f"waited {within_s:g} s in vain: {what}"
        await asyncio.sleep(POLL_S)


def judged(run: Run, fleet: str) -> Verdict:
    """The judgement on every finished request of a fleet; there must be some."""
    records = run.fleets[fleet].finished()
    assert len(records) > 100, f"{fleet}: only {len(records)} requests were finished"
    return judge(records, service.CLASSES)


@dataclass(kw_only=True)
class Stage:
    """Everything that runs.

    Attributes:
        cells: The fleets by name.
        envoys: In front of them.
        targets: Where requests go, by fleet.
        config: File that `foreshard run` was given.
        settings: The same, parsed.
        sink: Speaks with its `serve`.
        foreshard: `foreshard run`.
        gate: Before the steered Envoy's admin page, for Foreshard alone.
        directory: Logs and data.
    """

    cells: Mapping[str, Supervisor]
    envoys: Mapping[str, Envoy]
    targets: Mapping[str, str]
    config: Path
    settings: Settings
    sink: ServeSink
    foreshard: Child
    gate: Gate
    directory: Path

    async def play(
        self,
        act: Callable[[], Awaitable[None]],
        *,
        rate_rps: float = 60.0,
        mix: Sequence[float] = MIX,
    ) -> Run:
        """Send both fleets the same requests for as long as `act` takes, and a little longer."""
        demand = Demand(rate_rps=rate_rps, duration_s=LONGEST_S, mix=tuple(mix), keys=service.KEYS)
        nodes = {
            f"{service.HOST}:{port}": name
            for fleet in self.cells.values()
            for name, port in fleet.ports.items()
        }
        plot = Load(
            targets=self.targets,
            classes=service.CLASSES,
            schedule=arrivals(demand, seed=7),
            start_at_s=time.time() + 0.5,
            cells=nodes,
        )
        stop = asyncio.Event()
        sending = asyncio.create_task(generate(plot, stop=stop, report=lambda _: None))
        try:
            await act()
            await asyncio.sleep(LAST_ANSWERS_S)
            assert not sending.done(), f"the act took longer than {LONGEST_S:g} s"
        finally:
            stop.set()
            run = await sending
        return run

    def processes(self) -> Mapping[str, psutil.Process]:
        """`serve` and `engine`, as far as they run now."""
        found: dict[str, psutil.Process] = {}
        if self.foreshard.is_running:
            for child in psutil.Process(self.foreshard.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    words = child.cmdline()
                    found |= {role: child for role in ("serve", "engine") if role in words}
        return found

    async def whole(self, *, without: int = 0) -> None:
        """Return when `serve`, `engine` (none of that pid) and the Envoy's connection stand."""

        async def holds() -> bool:
            pids = {process.pid for process in self.processes().values()}
            if len(pids - {without}) < 2:
                return False
            try:
                nodes = (await self.sink.status())["nodes"]
            except SinkError:
                return False
            return isinstance(nodes, list) and len(nodes) == 1 and nodes[0]["synced"]

        await until(holds, f"foreshard is whole; its log ends: {self.foreshard.tail(15)}")

    async def ticks(self, count: int = 2, *, after_s: float | None = None) -> Mapping[str, Any]:
        """The engine's status once it has looked a few more times at the fleet."""
        since_s = time.time() if after_s is None else after_s
        due_s = since_s + (count - 1) * self.settings.tick_s

        async def holds() -> bool:
            status = self.status()
            return status is not None and status["now_s"] > due_s

        await until(holds, f"the engine ticks; the log ends: {self.foreshard.tail(15)}")
        status = self.status()
        assert status is not None
        return status

    def status(self) -> Mapping[str, Any] | None:
        """What the engine last said."""
        return asking.engine_status(self.settings)

    async def live(self) -> RoutingTable:
        """The live table."""
        table = await self.sink.live()
        assert table is not None
        return table

    async def start_foreshard(self) -> None:
        """Start `foreshard run` anew."""
        self.foreshard = await run_foreshard(self.config, self.directory)

    async def kill_foreshard(self) -> None:
        """SIGKILL for `foreshard run`, `serve` and `engine`; return when all are gone."""
        members = tuple(self.processes().values())
        assert len(members) == 2
        self.foreshard.kill()
        for member in members:
            if member.is_running():
                member.kill()
        await self.foreshard.wait()

        async def are_gone() -> bool:
            return not any(is_running(member) for member in members)

        await until(are_gone, "serve and engine are gone")

    def announce(self, cell: str) -> None:
        """Tell Foreshard of a maintenance that lasts longer than any test (nobody does it)."""
        now_s = time.time()
        event = SystemEvent(
            id="announced",
            kind=EventKind.MAINTENANCE,
            cells=frozenset({cell}),
            known_at_s=now_s,
            starts_at_s=now_s + 8.0,
            ends_at_s=now_s + 600.0,
        )
        row = asdict(event) | {"kind": event.kind.value, "cells": [cell]}
        assert self.settings.events_file is not None
        scratch = self.settings.events_file.with_suffix(".part")
        scratch.write_text(json.dumps([row]))
        scratch.replace(self.settings.events_file)

    async def inject(self, kind: FaultKind, *cells: str) -> None:
        """Do the same to both fleets."""
        for fleet in self.cells.values():
            for cell in cells or CELLS:
                await fleet.inject(cell, Fault.of(kind))

    async def clear(self) -> None:
        """End all faults of both fleets."""
        for fleet in self.cells.values():
            for cell in CELLS:
                await fleet.clear(cell)

    async def updates(self) -> Mapping[str, int]:
        """How often the steered Envoy took something over, or refused, by kind of thing."""
        found = await self.envoys[STEERED].counters(r"update_(success|rejected)$")
        # Its look-ups of the discovery service's own name are no plan.
        return {n: v for n, v in found.items() if "foreshard-discovery" not in n}

    async def lost(self) -> Mapping[str, int]:
        """Requests that found no route or no cluster, in either Envoy."""
        found: dict[str, int] = {}
        for fleet, envoy in self.envoys.items():
            counters = await envoy.counters(r"^foreshard\.edge\.|^http\.edge\.no_")
            # A counter that does not exist would prove nothing.
            assert {"http.edge.no_route", "http.edge.no_cluster"} <= counters.keys()
            found |= {f"{fleet}: {n}": v for n, v in counters.items() if v and LOST.search(n)}
        return found


def is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def run_foreshard(config: Path, directory: Path) -> Child:
    """Start `foreshard run`."""
    argv = [sys.executable, "-m", "foreshard", "run", str(config)]
    return await start(argv, name="foreshard", log=directory / "foreshard.log")


@asynccontextmanager
async def staged(
    cells: Sequence[str] = CELLS, *, altered: Mapping[str, Mapping[str, Any]] | None = None
) -> AsyncIterator[Stage]:
    """Both fleets behind their Envoys, one steered; everything is ended with the block.

    At the end no request of the whole run may have met a hole in a configuration.

    Args:
        cells: Their names.
        altered: Keys of sections of the configuration that are not the demo's.
    """
    # Not pytest's folder: the path of a control socket has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="fs-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        twin, steered = Supervisor(cells=cells), Supervisor(cells=cells)
        await asyncio.gather(stack.enter_async_context(twin), stack.enter_async_context(steered))
        door = await stack.enter_async_context(Webhook(steered))
        holds = [hold_port(), hold_port()]
        for hold in holds:
            stack.callback(hold.release)
        admin_port = free_port()
        gate = Gate(admin_port)
        stack.callback(gate.close)
        site = Site(
            fleet=steered.fleet,
            data_dir=directory / "data",
            events=directory / "events.json",
            webhook=f"{door.url}/events",
            listen=f"{service.HOST}:{holds[1].port}",
            admin=f"{service.HOST}:{await gate.open()}",
            discovery=f"{service.HOST}:{free_port()}",
        )
        site.events.write_text("[]")
        config = directory / "foreshard.yaml"
        values: dict[str, Any] = dict(demo_config(site))
        for section, keys in (altered or {}).items():
            values[section] = {**values.get(section, {}), **keys}
        config.write_text(yaml.safe_dump(values, sort_keys=False))
        settings = load(config)
        child = await run_foreshard(config, directory)
        bootstraps = {
            TWIN: reactive.render(
                reactive.bootstrap(twin.fleet, service.CLASSES, listen_port=holds[0].port)
            ),
            STEERED: serving.bootstrap_of(
                settings, node_id="edge-1", admin_port=admin_port, region=settings.origins()[0]
            ),
        }
        envoys = {}
        for (name, text), hold in zip(bootstraps.items(), holds, strict=True):
            envoys[name] = await Envoy.launch(
                text, name=f"envoy-{name}", directory=directory, port=hold.port
            )
            stack.push_async_callback(envoys[name].stop)
        stage = Stage(
            cells={TWIN: twin, STEERED: steered},
            envoys=envoys,
            targets={
                name: f"http://{service.HOST}:{hold.port}"
                for name, hold in zip((TWIN, STEERED), holds, strict=True)
            },
            config=config,
            settings=settings,
            sink=await stack.enter_async_context(ServeSink(settings.data_dir)),
            foreshard=child,
            gate=gate,
            directory=directory,
        )
        stack.push_async_callback(_end_foreshard, stage)
        await stage.whole()
        await stage.ticks(2)
        yield stage
        assert not await stage.lost()


async def _end_foreshard(stage: Stage) -> None:
    for process in stage.processes().values():
        process.resume()
    await stage.foreshard.terminate()
