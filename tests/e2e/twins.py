"""This module is two equal steered fleets under the same requests, of which one may be disturbed.

Each has real cells, a real Envoy, and a Foreshard that somebody keeps running as an init system
would: what ends is started again. Maintenance that is announced to both, cell after cell, keeps
the plan moving, so that there is always something to lose.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from foreshard.adapters.routing.client import ServeSink
from foreshard.app import serving
from foreshard.app.heartbeat import engine_age_s
from foreshard.config import Settings, load
from foreshard.controller.process import Child, free_port, hold_port, start
from foreshard.lab import service
from foreshard.lab.envoy import Envoy
from foreshard.lab.loadgen import Load, generate
from foreshard.lab.records import Run
from foreshard.lab.steering import Site, demo_config
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.traffic import Demand, arrivals
from foreshard.lab.webhook import Webhook
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from tests.e2e.stage import LOST, is_running, until

__all__ = ["DISTURBED", "ROLES", "UNDISTURBED", "Side", "Twins", "as_one", "twins"]

UNDISTURBED, DISTURBED = "undisturbed", "disturbed"
RUN = "run"
ROLES = (RUN, "serve", "engine")
CELLS = ("eu-1", "eu-2", "us-1")
MIX = tuple(service.MIX[c.name] for c in service.CLASSES)
# systemd's RestartSec by default.
RESTART_S = 0.1
LAST_ANSWERS_S = 2.5
# One announced window after the other; each is drained for, and given back.
WINDOW_EVERY_S = 9.0
WINDOW_S = 6.0
POLL_S = 0.02


@dataclass(kw_only=True)
class Side:
    """One fleet, its Envoy, and its Foreshard under an init system's care.

    Attributes:
        name: Of the fleet.
        url: Where its requests go.
        cells: Its cells.
        config: File that Foreshard is given.
        settings: The same, parsed.
        sink: Speaks with its `serve`.
        directory: Logs and data.
        envoy: In front of the cells; set once it runs.
        commands: What is kept running, by name.
        children: What runs of it now.
        exits: Names and exit statuses of what ended by itself, not by a signal.
        versions: Of the live table, each time another one was seen.
    """

    name: str
    url: str
    cells: Supervisor
    config: Path
    settings: Settings
    sink: ServeSink
    directory: Path
    envoy: Envoy = field(init=False)
    commands: dict[str, Sequence[str]] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    exits: list[tuple[str, int, str]] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    _keepers: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def keep(self, name: str, argv: Sequence[str]) -> None:
        """Run a program from now on, and again whenever it ends."""
        self.commands[name] = argv
        self._keepers[name] = asyncio.create_task(self._keep(name))

    async def release(self, name: str) -> None:
        """End a program in order, and do not start it again."""
        self._keepers.pop(name).cancel()
        child = self.children.pop(name, None)
        if child is not None:
            await child.terminate()

    async def aclose(self) -> None:
        """End all."""
        for name in tuple(self._keepers):
            await self.release(name)

    async def _keep(self, name: str) -> None:
        while True:
            log = self.directory / f"{self.name}-{name}.log"
            child = await start(self.commands[name], name=name, log=log)
            self.children[name] = child
            status = await child.wait()
            if status >= 0:
                self.exits.append((name, status, child.tail(3)))
            await asyncio.sleep(RESTART_S)

    def process(self, role: str) -> psutil.Process | None:
        """The process of a role; None while there is none."""
        child = self.children.get(role)
        parent = self.children.get(RUN)
        with contextlib.suppress(psutil.NoSuchProcess):
            if child is not None:
                return psutil.Process(child.pid) if child.is_running else None
            if parent is not None and parent.is_running:
                for each in psutil.Process(parent.pid).children():
                    if role in each.cmdline():
                        return each
        return None

    async def found(self, role: str) -> psutil.Process:
        """The process of a role, as soon as there is one."""

        async def is_there() -> bool:
            return self.process(role) is not None

        while (process := self.process(role)) is None:
            await until(is_there, f"{self.name} has a process for {role}; {self.exits[-3:]}")
        return process

    async def kill(self, role: str) -> None:
        """SIGKILL; with the parent its children are gone too, before anyone is started again."""
        victim = await self.found(role)
        family = [victim]
        with contextlib.suppress(psutil.NoSuchProcess):
            family += victim.children() if role == RUN else []
            victim.kill()

        async def are_gone() -> bool:
            return not any(is_running(each) for each in family)

        await until(are_gone, f"{role} of {self.name} is gone, with its children")

    async def whole(self) -> None:
        """Return when `serve` answers, Envoy is in step, and the engine ticks."""
        since_s = time.time()

        async def holds() -> bool:
            # Not the store: while another version runs it may be one that we cannot read.
            age_s = engine_age_s(self.settings)
            if age_s is None or time.time() - age_s <= since_s:
                return False
            try:
                nodes = (await self.sink.status())["nodes"]
            except SinkError:
                return False
            return isinstance(nodes, list) and len(nodes) == 1 and nodes[0]["synced"]

        await until(holds, f"{self.name} is whole; {self.exits[-3:]}")

    async def live(self) -> RoutingTable | None:
        """The live table; None when nobody answers just now, or there is none."""
        try:
            return await self.sink.live()
        except SinkError:
            return None

    def announce(self, *cells: str, for_s: float, name: str = "window") -> None:
        """Tell Foreshard of a maintenance, and of no other; nobody does it."""
        now_s = time.time()
        row = {
            "id": name,
            "kind": "maintenance",
            "cells": list(cells),
            "known_at_s": now_s,
            "starts_at_s": now_s + WINDOW_S,
            "ends_at_s": now_s + WINDOW_S + for_s,
        }
        assert self.settings.events_file is not None
        scratch = self.settings.events_file.with_suffix(".part")
        scratch.write_text(json.dumps([row] if cells else []))
        scratch.replace(self.settings.events_file)

    async def watch(self) -> None:
        """Write down every version of the live table that is seen."""
        while True:
            table = await self.live()
            if table is not None and self.versions[-1:] != [table.version]:
                self.versions.append(table.version)
            await asyncio.sleep(POLL_S)

    async def updates(self) -> Mapping[str, int]:
        """How often Envoy took something over, or refused, by kind of thing."""
        found = await self.envoy.counters(r"update_(success|rejected)$")
        # Its look-ups of the discovery service's own name are no plan.
        return {n: v for n, v in found.items() if "foreshard-discovery" not in n}

    def drained(self, table: RoutingTable) -> frozenset[str]:
        """Cells that the table gives nothing."""
        used: set[str] = set()
        for route in table.classes:
            for row in route.rows.values():
                named = row.weights if hasattr(row, "weights") else row.counts()
                used |= {cell for cell, count in named.items() if count}
        return frozenset(c.name for c in table.cells) - used


@dataclass(kw_only=True)
class Twins:
    """Both sides, and what is done to both.

    Attributes:
        sides: By name.
    """

    sides: Mapping[str, Side]

    async def play(
        self,
        act: Callable[[], Awaitable[None]],
        *,
        rate_rps: float = 60.0,
        longest_s: float = 120.0,
        seed: int = 7,
        announced: Sequence[str] = CELLS,
    ) -> Run:
        """Send both the same requests for as long as `act` takes.

        Maintenance of the cells `announced` is announced to both, one after the other.
        """
        demand = Demand(rate_rps=rate_rps, duration_s=longest_s, mix=MIX, keys=service.KEYS)
        plot = Load(
            targets={name: side.url for name, side in self.sides.items()},
            classes=service.CLASSES,
            schedule=arrivals(demand, seed=seed),
            start_at_s=time.time() + 0.5,
            cells={
                f"{service.HOST}:{port}": cell
                for side in self.sides.values()
                for cell, port in side.cells.ports.items()
            },
        )
        stop = asyncio.Event()
        sending = asyncio.create_task(generate(plot, stop=stop, report=lambda _: None))
        beside = [asyncio.create_task(self._announce(announced))] if announced else []
        beside += [asyncio.create_task(side.watch()) for side in self.sides.values()]
        try:
            await act()
            await asyncio.sleep(LAST_ANSWERS_S)
            assert not sending.done(), f"the act took longer than {longest_s:g} s"
            for task in beside:
                assert not task.done(), task.exception()
        finally:
            for task in beside:
                task.cancel()
            stop.set()
            run = await sending
        return run

    async def _announce(self, cells: Sequence[str]) -> None:
        for number in itertools.count():
            for side in self.sides.values():
                side.announce(cells[number % len(cells)], for_s=WINDOW_S, name=f"window-{number}")
            await asyncio.sleep(WINDOW_EVERY_S)

    async def lost(self) -> Mapping[str, int]:
        """Requests that met a hole in a configuration, and configurations that were refused."""
        found: dict[str, int] = {}
        for name, side in self.sides.items():
            counters = await side.envoy.counters(
                r"^foreshard\.edge\.|^http\.edge\.no_|update_rejected$"
            )
            assert {"http.edge.no_route", "http.edge.no_cluster"} <= counters.keys()
            found |= {
                f"{name}: {counter}": value
                for counter, value in counters.items()
                if value and (LOST.search(counter) or counter.endswith("update_rejected"))
            }
        return found


def as_one(side: Side) -> None:
    """Run `foreshard run`."""
    side.keep(RUN, [sys.executable, "-m", "foreshard", "run", str(side.config)])


@asynccontextmanager
async def twins(
    names: Sequence[str] = (UNDISTURBED, DISTURBED), *, begin: Callable[[Side], None] = as_one
) -> AsyncIterator[Twins]:
    """Sides that are alike; everything is ended with the block.

    Args:
        names: Of the sides.
        begin: Has a side's Foreshard kept running.
    """
    # Not pytest's folder: the path of a control socket has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="fs-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        for name in names:
            (directory / name).mkdir()
        sides = {name: await _side(name, directory / name, stack, begin) for name in names}
        await asyncio.gather(*(side.whole() for side in sides.values()))
        yield Twins(sides=sides)


async def _side(
    name: str, directory: Path, stack: AsyncExitStack, begin: Callable[[Side], None]
) -> Side:
    cells = await stack.enter_async_context(Supervisor(cells=CELLS))
    door = await stack.enter_async_context(Webhook(cells))
    hold = hold_port()
    stack.callback(hold.release)
    admin_port = free_port()
    site = Site(
        fleet=cells.fleet,
        data_dir=directory / "data",
        events=directory / "events.json",
        webhook=f"{door.url}/events",
        listen=f"{service.HOST}:{hold.port}",
        admin=f"{service.HOST}:{admin_port}",
        discovery=f"{service.HOST}:{free_port()}",
    )
    site.events.write_text("[]")
    config = directory / "foreshard.yaml"
    config.write_text(yaml.safe_dump(dict(demo_config(site)), sort_keys=False))
    settings = load(config)
    side = Side(
        name=name,
        url=f"http://{service.HOST}:{hold.port}",
        cells=cells,
        config=config,
        settings=settings,
        directory=directory,
        sink=await stack.enter_async_context(ServeSink(settings.data_dir)),
    )
    stack.push_async_callback(side.aclose)
    begin(side)
    bootstrap = serving.bootstrap_of(
        settings, node_id=name, admin_port=admin_port, region=settings.origins()[0]
    )
    side.envoy = await Envoy.launch(
        bootstrap, name=f"envoy-{name}", directory=directory, port=hold.port
    )
    stack.push_async_callback(side.envoy.stop)
    return side
