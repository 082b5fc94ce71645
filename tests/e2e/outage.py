"""This module is a site that can lose Foreshard: `serve`, `relay`, Envoy, each its own process.

No engine decides here: a test puts tables out itself, so that it knows what must be served.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml

from foreshard.adapters.routing.client import ServeSink
from foreshard.app import serving
from foreshard.config import Settings, load
from foreshard.controller.process import Child, PortHold, free_port, hold_port, start
from foreshard.lab.envoy import find_envoy
from foreshard.model.errors import SinkError
from foreshard.model.topology import Cell
from tests.adapters.routing.envoy_bench import Backend
from tests.adapters.routing.serve_bench import CHECKOUT, SEARCH

__all__ = ["Edge", "Outage", "outage", "until"]

PATIENCE_S = 20.0
POLL_S = 0.02


async def until(holds: Callable[[], Awaitable[bool]], what: str, *, polls: int = 0) -> None:
    """Return when something holds; fail when it does not within a generous time.

    Args:
        holds: Asked again and again.
        what: For the failure.
        polls: Ask this often at most, 20 ms apart: a deadline that a busy machine stretches as
            it stretches what is waited for.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    asked = 0
    while not await holds():
        asked += 1
        assert not polls or asked < polls, f"asked {asked} times in vain: {what}"
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s in vain: {what}"
        await asyncio.sleep(POLL_S)


@dataclass(kw_only=True)
class Edge:
    """An Envoy and a client that talks through it."""

    child: Child
    listen_port: int
    admin_port: int
    session: aiohttp.ClientSession

    async def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Send a request; status and body, or 0 when nobody listens."""
        url = f"http://127.0.0.1:{self.listen_port}{path}"
        try:
            async with self.session.request(method, url, headers=headers) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    async def serves(self) -> bool:
        """Whether a request gets through."""
        assert self.child.is_running, self.child.tail()
        return (await self.ask("/search"))[0] == 200

    async def stats(self, pattern: str) -> Mapping[str, str]:
        """Its counters, gauges and texts that match."""
        url = f"http://127.0.0.1:{self.admin_port}/stats"
        async with self.session.get(url, params={"filter": pattern}) as answer:
            lines = (await answer.text()).splitlines()
        return dict(line.split(": ", 1) for line in lines)

    async def updates(self) -> Mapping[str, str]:
        """How often it took something over, or refused."""
        found = await self.stats(r"update_(success|rejected)$")
        return {n: v for n, v in found.items() if "foreshard-discovery" not in n}


@dataclass(kw_only=True)
class Outage:
    """Everything that runs.

    Attributes:
        config: What the commands are given.
        settings: The same, parsed.
        cells: Backends that answer with their names.
        sink: Puts tables out while `serve` runs.
        directory: Logs and data.
    """

    config: Path
    settings: Settings
    cells: tuple[Cell, ...]
    sink: ServeSink
    directory: Path
    listen: PortHold
    admin_port: int
    children: list[Child] = field(default_factory=list)

    @property
    def kept(self) -> Path:
        """What the relay keeps."""
        return self.settings.data_dir / "relay" / "eu.edition"

    async def foreshard(self, *words: str) -> Child:
        """Start a command that goes on running."""
        argv = [sys.executable, "-m", "foreshard", *words]
        log = self.directory / f"{words[0]}.log"
        child = await start(argv, name=words[0], log=log)
        self.children.append(child)
        return child

    async def serve(self) -> Child:
        """Start `foreshard serve`; return when it answers."""
        child = await self.foreshard("serve", str(self.config))

        async def answers() -> bool:
            assert child.is_running, child.tail(20)
            try:
                await self.sink.status()
            except SinkError:
                return False
            return True

        await until(answers, "serve answers")
        return child

    async def relay(self) -> Child:
        """Start `foreshard relay`; return when it listens."""
        before = len(self.told("relay.started"))
        child = await self.foreshard("relay", str(self.config))

        async def listens() -> bool:
            assert child.is_running, child.tail(20)
            return len(self.told("relay.started")) > before

        await until(listens, "relay listens")
        return child

    async def envoy(self, config: str = "") -> Edge:
        """Start Envoy, on its bootstrap if nothing else is said; waits for nothing."""
        text = config or serving.bootstrap_of(
            self.settings, node_id="edge-1", admin_port=self.admin_port, region="eu"
        )
        path = self.directory / "envoy.yaml"
        path.write_text(text)
        argv = [
            *(str(find_envoy()), "--config-path", str(path), "--concurrency", "1"),
            *("--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "1"),
        ]
        child = await start(argv, name="envoy", log=self.directory / "envoy.log")
        self.children.append(child)
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0))
        return Edge(
            child=child,
            listen_port=self.listen.port,
            admin_port=self.admin_port,
            session=session,
        )

    async def end(self, child: Child) -> None:
        """Kill, as a machine that loses its power would."""
        child.kill()
        await child.wait()

    def told(self, event: str) -> list[Mapping[str, object]]:
        """What the relay has said of something, in all its lives."""
        log = self.directory / "relay.log"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        # A line that is being written is read next time.
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [one for one in found if one["event"] == event]

    async def until_told(self, event: str, *, again: int = 0) -> Mapping[str, object]:
        """The newest that the relay has said of something, more often than `again` times."""

        async def is_told() -> bool:
            return len(self.told(event)) > again

        await until(is_told, f"the relay says {event}")
        return self.told(event)[-1]

    async def until_kept(self, version: int) -> None:
        """Return when the relay has a version on its disk."""

        async def is_kept() -> bool:
            return any(one["version"] == version for one in self.told("relay.kept"))

        await until(is_kept, f"the relay keeps version {version}")

    async def until_steered(self) -> None:
        """Return when an Envoy is connected to `serve` and in step with it."""

        async def is_steered() -> bool:
            nodes = (await self.sink.status())["nodes"]
            return isinstance(nodes, list) and any(node["synced"] for node in nodes)

        await until(is_steered, "an Envoy is in step with serve")


@asynccontextmanager
async def outage(*names: str, key: bytes = b"", delay_s: float = 0.0) -> AsyncIterator[Outage]:
    """A site whose cells run; everything that a test starts on it is ended with the block."""
    # Not pytest's folder: the path of a control socket has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="fs-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        backends = [Backend(name=name, region="eu", delay_s=delay_s) for name in names]
        for backend in backends:
            await backend.start()
            stack.push_async_callback(backend.kill)
        listen = hold_port()
        stack.callback(listen.release)
        admin_port = free_port()
        values = _values([b.cell for b in backends], admin_port)
        envoy: dict[str, object] = {
            "discovery": f"127.0.0.1:{free_port()}",
            "listen": f"127.0.0.1:{listen.port}",
            "relay": f"127.0.0.1:{free_port()}",
        }
        if key:
            (directory / "relay.key").write_bytes(key)
            envoy["relay_key_file"] = "relay.key"
        config = directory / "foreshard.yaml"
        config.write_text(yaml.safe_dump({**values, "envoy": envoy}, sort_keys=False))
        settings = load(config)
        site = Outage(
            config=config,
            settings=settings,
            cells=tuple(b.cell for b in backends),
            sink=await stack.enter_async_context(ServeSink(settings.data_dir)),
            directory=directory,
            listen=listen,
            admin_port=admin_port,
        )
        stack.push_async_callback(_end_all, site)
        yield site


async def _end_all(site: Outage) -> None:
    for child in site.children:
        await site.end(child)


def _values(cells: list[Cell], admin_port: int) -> dict[str, object]:
    classes = [
        {
            "name": c.name,
            "priority": c.priority.name.lower(),
            "weight": c.weight,
            "objective_s": c.objective_s,
            "timeout_s": c.timeout_s,
            "match": {"method": c.match.method, "path_prefix": c.match.path_prefix},
            "key_header": c.key_header,
            "needs": {"cpu": 0.01},
        }
        for c in (CHECKOUT, SEARCH)
    ]
    gauge = {"resource": "cpu", "used": {"metric": "cpu"}, "limit": 3.0, "capacity": True}
    return {
        "service": "shop",
        "data_dir": "data",
        "classes": classes,
        "default_class": "search",
        "cells": [
            {
                "name": cell.name,
                "region": cell.region,
                "zone": cell.zone,
                "nodes": [f"{node.host}:{node.port}" for node in cell.nodes],
            }
            for cell in cells
        ],
        "scrape": {"gauges": [gauge]},
        "balancers": [{"admin": f"127.0.0.1:{admin_port}", "origin": "eu"}],
    }
