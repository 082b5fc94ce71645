"""A relay for proxies of several regions, with real Envoys and a `serve` that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.envoy.bootstrap import bootstrap_text
from foreshard.adapters.routing.relay import RelaySettings, run_relay
from foreshard.adapters.routing.seal import Seal
from foreshard.lab.envoy import Envoy
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable, WeightRow
from foreshard.model.topology import Cell
from foreshard.ports import Applied
from tests.adapters.routing.serve_bench import (
    Proxy,
    backends,
    cells_of,
    free_port,
    shop_table,
    start_serve,
    until_nodes,
)

pytestmark = pytest.mark.e2e

ORIGINS = ("eu", "us")


def each_at_home(version: int, cells: tuple[Cell, ...], homes: dict[str, str]) -> RoutingTable:
    """Search of each origin goes to one cell."""
    table = shop_table(version, cells, origins=ORIGINS)
    checkout, search = table.classes
    rows = {origin: WeightRow(weights={home: 1}) for origin, home in homes.items()}
    return replace(table, classes=(checkout, replace(search, rows=rows)))


@asynccontextmanager
async def relay(directory: Path, upstream: int, port: int) -> AsyncIterator[None]:
    settings = RelaySettings(
        directory=directory,
        origins=ORIGINS,
        upstream=("127.0.0.1", upstream),
        port=port,
        seal=Seal(),
    )
    opened = asyncio.Event()
    task = asyncio.create_task(run_relay(settings, started=lambda _: opened.set()))
    try:
        async with asyncio.timeout(10):
            await opened.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def launch(
    stack: AsyncExitStack, directory: Path, name: str, ports: tuple[int, int, int]
) -> Proxy:
    """An Envoy of the region before the dash in its name."""
    listen, discovery, relay_port = ports
    config = bootstrap_text(
        node_id=name,
        region=name.partition("-")[0],
        zone="a",
        discovery=("127.0.0.1", discovery),
        admin=("127.0.0.1", 0),
        relay=("127.0.0.1", relay_port),
    )
    envoy = await Envoy.launch(config, name=name, directory=directory, port=listen)
    stack.push_async_callback(envoy.stop)
    session = await stack.enter_async_context(aiohttp.ClientSession())
    proxy = Proxy(envoy=envoy, port=listen, session=session)
    await proxy.until_open()
    return proxy


async def test_every_region_gets_its_own_rows_back_and_all_proxies_go_home(
    tmp_path: Path,
) -> None:
    discovery, relay_port = free_port(), free_port()
    listen = {origin: free_port() for origin in ORIGINS}
    async with (
        AsyncExitStack() as stack,
        backends("a", "b") as running,
        ServeSink(tmp_path) as sink,
    ):
        serve = await start_serve(tmp_path, listen, port=discovery)
        try:
            async with relay(tmp_path / "relay", discovery, relay_port):
                table = each_at_home(1, cells_of(running), {"eu": "a", "us": "b"})
                assert isinstance(await sink.apply(table), Applied)
                await until_kept(tmp_path / "relay")
            serve.kill()
            await serve.wait()
            async with relay(tmp_path / "relay", discovery, relay_port):
                proxies = [
                    await launch(
                        stack, tmp_path, f"{origin}-1", (listen[origin], discovery, relay_port)
                    )
                    for origin in ORIGINS
                ]
                assert [await one.ask("/search") for one in proxies] == [(200, "a"), (200, "b")]
                serve = await start_serve(tmp_path, listen, port=discovery)
                await until_nodes(sink, len(proxies))
                table = each_at_home(2, cells_of(running), {"eu": "b", "us": "a"})
                outcome = await sink.apply(table)
                assert isinstance(outcome, Applied)
                assert outcome.acks == len(proxies)
                assert [await one.ask("/search") for one in proxies] == [(200, "b"), (200, "a")]
        finally:
            serve.kill()
            await serve.wait()


async def test_a_relay_whose_port_is_taken_says_so(tmp_path: Path) -> None:
    port = free_port()
    async with relay(tmp_path, free_port(), port):
        settings = RelaySettings(
            directory=tmp_path, origins=("eu",), upstream=("127.0.0.1", 1), port=port, seal=Seal()
        )
        with pytest.raises(SinkError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            await run_relay(settings)


async def until_kept(directory: Path) -> None:
    async with asyncio.timeout(10):
        for origin in ORIGINS:
            file = directory / f"{origin}.edition"
            while not file.exists():  # noqa: ASYNC110 - a file tells nobody that it is there
                await asyncio.sleep(0.02)
