"""This module is a real `serve` with real Envoys on it: tables to put out, requests to count."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import aiohttp

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.envoy.bootstrap import bootstrap_text
from foreshard.adapters.routing.envoy.discovery import DiscoverySettings
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.resources import Resources
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.serve import ServeSettings, serving
from foreshard.controller.process import Child, start
from foreshard.lab.envoy import Envoy
from foreshard.model.errors import SinkError
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.model.topology import Cell
from foreshard.model.workload import Match, Priority, RequestClass
from tests.adapters.routing.envoy_bench import Backend, free_port

Spoil: TypeAlias = Callable[[RoutingTable, Resources], Resources]
"""Changes what was rendered, to show Envoy something that it refuses."""

CHECKOUT = RequestClass(
    name="checkout",
    priority=Priority.CRITICAL,
    weight=10.0,
    objective_s=0.4,
    timeout_s=2.0,
    match=Match(method="POST", path_prefix="/checkout"),
    key_header="x-key",
)
SEARCH = RequestClass(
    name="search",
    priority=Priority.NORMAL,
    weight=3.0,
    objective_s=0.5,
    timeout_s=2.5,
    match=Match(path_prefix="/search"),
    retriable=True,
)


def shop_table(
    version: int,
    cells: tuple[Cell, ...],
    *,
    search: Mapping[str, int] | None = None,
    origins: tuple[str, ...] = ("eu",),
    known: tuple[Cell, ...] = (),
) -> RoutingTable:
    """Checkout by slots in equal parts over `cells`, search by weight, shared by all origins."""
    owners = [cell.name for cell in cells]
    each = 4096 // len(owners)
    runs = [SlotRun(owner=owner, length=each) for owner in owners]
    runs[-1] = SlotRun(owner=owners[-1], length=4096 - each * (len(owners) - 1))
    weights = search or dict.fromkeys(owners, 100)
    backups = {owner: tuple(o for o in owners if o != owner) for owner in owners}
    return RoutingTable(
        version=version,
        cells=known or cells,
        classes=(
            ClassRoute(
                request_class=CHECKOUT,
                rows=dict.fromkeys(origins, SlotRow(runs=tuple(runs))),
                backups=backups,
            ),
            ClassRoute(
                request_class=SEARCH,
                rows=dict.fromkeys(origins, WeightRow(weights=weights)),
                backups={},
            ),
        ),
        default_class="search",
    )


def render_shop(listen_ports: Mapping[str, int], table: RoutingTable, origin: str) -> Resources:
    """Renders for Envoys that share a machine, so that each region needs its own port."""
    return render(table, origin=origin, settings=EnvoySettings(listen_port=listen_ports[origin]))


def serve_settings(
    data_dir: Path,
    listen_ports: Mapping[str, int],
    *,
    port: int = 0,
    linger_s: float = 0.3,
    spoil: Spoil | None = None,
) -> ServeSettings:
    """Settings of a `serve` for tests: impatient, and quick to remove what is unused."""

    def render_and_spoil(table: RoutingTable, origin: str) -> Resources:
        resources = render_shop(listen_ports, table, origin)
        return resources if spoil is None else spoil(table, resources)

    return ServeSettings(
        data_dir=data_dir,
        render=render_and_spoil,
        port=port,
        discovery=DiscoverySettings(ack_timeout_s=3.0, linger_s=linger_s),
    )


@dataclass
class Proxy:
    """An Envoy and a client that talks through it."""

    envoy: Envoy
    port: int
    session: aiohttp.ClientSession

    async def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Send a request; its status and the name of the cell that answered."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers) as answer:
            return answer.status, await answer.text()

    async def cells(self, path: str, *, requests: int = 60) -> Counter[str]:
        """Who answers a number of requests."""
        return Counter([(await self.ask(path))[1] for _ in range(requests)])

    async def until_open(self) -> None:
        """Wait until it answers with 200."""
        async with asyncio.timeout(10):
            while True:
                try:
                    if (await self.ask("/search"))[0] == 200:
                        return
                except aiohttp.ClientConnectorError:
                    pass
                await asyncio.sleep(0.02)

    async def stats(self, pattern: str) -> dict[str, int]:
        """Its counters and gauges that match."""
        url = f"{self.envoy.admin}/stats"
        async with self.session.get(url, params={"filter": pattern}) as answer:
            lines = (await answer.text()).splitlines()
        return {name: int(value) for name, value in (line.split(": ") for line in lines)}

    async def clusters(self) -> set[str]:
        """Names of the clusters that it holds by discovery."""
        url = f"{self.envoy.admin}/config_dump?resource=dynamic_active_clusters"
        async with self.session.get(url) as answer:
            found = (await answer.json()).get("configs", [])
        return {one["cluster"]["name"] for one in found}


@asynccontextmanager
async def proxy(
    discovery_port: int,
    directory: Path,
    *,
    listen_port: int,
    region: str = "eu",
    is_incremental: bool = True,
) -> AsyncIterator[Proxy]:
    """A running Envoy; its listener opens when it has been told of one."""
    name = f"envoy-{region}-{listen_port}"
    config = bootstrap_text(
        node_id=name,
        region=region,
        zone=f"{region}a",
        discovery=("127.0.0.1", discovery_port),
        admin=("127.0.0.1", 0),
        is_incremental=is_incremental,
    )
    async with AsyncExitStack() as stack:
        envoy = await Envoy.launch(config, name=name, directory=directory, port=listen_port)
        stack.push_async_callback(envoy.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Proxy(envoy=envoy, port=listen_port, session=session)


@asynccontextmanager
async def backends(*names: str, said: str = "") -> AsyncIterator[dict[str, Backend]]:
    """Cells that answer with their names, and with a report of load if there is one."""
    running = {name: Backend(name=name, said=said) for name in names}
    async with AsyncExitStack() as stack:
        for backend in running.values():
            await backend.start()
            stack.push_async_callback(backend.kill)
        yield running


def cells_of(running: Mapping[str, Backend]) -> tuple[Cell, ...]:
    """The cells of backends, in their order."""
    return tuple(backend.cell for backend in running.values())


@dataclass
class Shop:
    """Cells, a `serve` in this process, and an Envoy that is in step with it."""

    cells: tuple[Cell, ...]
    sink: ServeSink
    envoy: Proxy


@asynccontextmanager
async def shop(
    directory: Path,
    *names: str,
    first: Callable[[tuple[Cell, ...]], RoutingTable],
    is_incremental: bool = True,
    spoil: Spoil | None = None,
    said: str = "",
) -> AsyncIterator[Shop]:
    """A running shop whose first table is made from its cells."""
    listen = free_port()
    async with (
        backends(*names, said=said) as running,
        serving(serve_settings(directory, {"eu": listen}, spoil=spoil)) as port,
        ServeSink(directory) as sink,
    ):
        cells = cells_of(running)
        await sink.apply(first(cells))
        async with proxy(
            port, directory, listen_port=listen, is_incremental=is_incremental
        ) as envoy:
            await envoy.until_open()
            await until_nodes(sink, 1)
            yield Shop(cells=cells, sink=sink, envoy=envoy)


@dataclass
class Load:
    """Light, steady traffic, and what became of it."""

    statuses: Counter[int | str] = field(default_factory=Counter)

    async def run(self, target: Proxy) -> None:
        """Ask on and on, checkout and search in turn."""
        i = 0
        while True:
            i += 1
            try:
                if i % 2:
                    status, _ = await target.ask("/search")
                else:
                    status, _ = await target.ask(
                        "/checkout", method="POST", headers={"x-key": f"k{i}"}
                    )
                self.statuses[status] += 1
            except aiohttp.ClientError as error:
                self.statuses[str(error)] += 1
            await asyncio.sleep(0.004)


@asynccontextmanager
async def load_on(target: Proxy) -> AsyncIterator[Load]:
    """Traffic while the block runs."""
    load = Load()
    task = asyncio.create_task(load.run(target))
    try:
        yield load
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def start_serve(data_dir: Path, listen_ports: Mapping[str, int], *, port: int) -> Child:
    """Start a process of its own, which can be killed; returns once it serves."""
    regions = [f"{region}={listen}" for region, listen in listen_ports.items()]
    child = await start(
        [
            *(sys.executable, "-m", "tests.adapters.routing.serve_process"),
            *(str(data_dir), str(port), *regions),
        ],
        name="serve",
        log=data_dir / "serve.log",
    )
    async with asyncio.timeout(20), ServeSink(data_dir) as sink:
        while True:
            assert child.is_running, child.tail(20)
            try:
                await sink.status()
            except SinkError:
                await asyncio.sleep(0.02)
            else:
                return child


async def until_nodes(sink: ServeSink, count: int) -> list[Mapping[str, object]]:
    """Wait until so many proxies are in step, and return what is known of them."""
    deadline_s = time.monotonic() + 10
    while True:
        nodes = (await sink.status())["nodes"]
        assert isinstance(nodes, list)
        if sum(bool(node["synced"]) for node in nodes) == count == len(nodes):
            return nodes
        assert time.monotonic() < deadline_s, f"waited for {count} proxies in step: {nodes}"
        await asyncio.sleep(0.02)


__all__ = [
    "CHECKOUT",
    "SEARCH",
    "Load",
    "Proxy",
    "Shop",
    "Spoil",
    "backends",
    "cells_of",
    "free_port",
    "load_on",
    "proxy",
    "render_shop",
    "serve_settings",
    "shop",
    "shop_table",
    "start_serve",
    "until_nodes",
]
