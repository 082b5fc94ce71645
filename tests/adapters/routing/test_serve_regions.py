"""Two real Envoys of two localities, one `serve`, and tables of the real engine."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.serve import serving
from foreshard.model.topology import Fleet
from foreshard.ports import Applied
from tests.adapters.routing.envoy_bench import Backend
from tests.adapters.routing.serve_bench import (
    Proxy,
    cells_of,
    free_port,
    proxy,
    serve_settings,
    until_nodes,
)
from tests.engine.shop import CLASSES, Shop, engine_of, request_class

pytestmark = pytest.mark.e2e

NAMES = ("eu-1", "eu-2", "us-1", "us-2")
LATENCY_MS = {("eu", "eu"): 2.0, ("eu", "us"): 80.0, ("us", "eu"): 80.0, ("us", "us"): 2.0}
# Keys of eu stay in eu; keys of us may go anywhere.
KEPT = request_class("checkout", residency={"eu": frozenset({"eu"})})


async def keyed(target: Proxy, requests: int = 40) -> Counter[tuple[int, str]]:
    """Status and cell of checkouts with so many keys."""
    return Counter(
        [await target.ask("/checkout", headers={"x-key": f"k{i}"}) for i in range(requests)]
    )


async def test_each_locality_has_its_own_rows_and_a_lost_region_is_served_by_the_other(
    tmp_path: Path,
) -> None:
    ports = {"eu": free_port(), "us": free_port()}
    running = {name: Backend(name=name, region=name[:2]) for name in NAMES}
    async with AsyncExitStack() as stack:
        for backend in running.values():
            await backend.start()
            stack.push_async_callback(backend.kill)
        port = await stack.enter_async_context(serving(serve_settings(tmp_path, ports)))
        sink = await stack.enter_async_context(ServeSink(tmp_path))
        fleet = Fleet(cells=cells_of(running), latency_ms=LATENCY_MS)
        engine = engine_of(fleet, classes=(KEPT, *CLASSES[1:]), origins=("eu", "us"))
        shop = Shop(
            engine=engine,
            fleet=fleet,
            origins=("eu", "us"),
            rates={"checkout": 60.0, "search": 60.0, "report": 10.0},
        )
        shop.run(15)
        assert shop.state.table is not None
        await sink.apply(shop.state.table)
        proxies = [
            await stack.enter_async_context(
                proxy(port, tmp_path, listen_port=ports[region], region=region)
            )
            for region in ("eu", "us")
        ]
        for each in proxies:
            await each.until_open()
        await until_nodes(sink, 2)
        eu, us = proxies

        assert set(await eu.cells("/search")) == {"eu-1", "eu-2"}
        assert set(await us.cells("/search")) == {"us-1", "us-2"}
        assert {cell for _, cell in await keyed(eu)} == {"eu-1", "eu-2"}
        assert {cell for _, cell in await keyed(us)} == {"us-1", "us-2"}
        clusters = {name for name in await eu.clusters() if name.startswith("keyed/")}
        assert clusters == {"keyed/checkout/eu-1", "keyed/checkout/eu-2"}

        for name in ("eu-1", "eu-2"):
            await running[name].kill()
        shop.down |= {"eu-1", "eu-2"}
        shop.run(3)
        outcome = await sink.apply(shop.state.table)
        assert isinstance(outcome, Applied)
        assert outcome.acks == 2

        assert set(await eu.cells("/search")) == {"us-1", "us-2"}
        served = sum(running[name].served["/checkout"] for name in ("us-1", "us-2"))
        assert {status for status, _ in await keyed(eu)} <= {429, 503}
        assert sum(running[name].served["/checkout"] for name in ("us-1", "us-2")) == served
        assert set(await us.cells("/search")) == {"us-1", "us-2"}
        assert {cell for _, cell in await keyed(us)} == {"us-1", "us-2"}
