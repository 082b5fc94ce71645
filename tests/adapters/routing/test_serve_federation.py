"""Two regions with an engine and real Envoys each: the overflow of one enters the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.serve import serving
from foreshard.model.topology import Node
from tests.adapters.routing.envoy_bench import Backend
from tests.adapters.routing.serve_bench import free_port, proxy, serve_settings
from tests.engine.test_federation import NAMES, Pair, region_of

pytestmark = pytest.mark.e2e


async def test_what_a_full_region_sends_is_served_by_the_other_also_while_they_cannot_talk(
    tmp_path: Path,
) -> None:
    ports = {o: free_port() for o in ("eu", "eu-in", "us", "us-in")}
    backends = {n: Backend(name=n, region=n[:2]) for names in NAMES.values() for n in names}
    async with AsyncExitStack() as stack:
        for backend in backends.values():
            await backend.start()
            stack.push_async_callback(backend.kill)
        nodes = {n: (Node(host="127.0.0.1", port=b.port),) for n, b in backends.items()}
        doors = {r: (Node(host="127.0.0.1", port=ports[f"{r}-in"]),) for r in ("eu", "us")}
        pair = Pair(eu=region_of("eu", nodes | doors), us=region_of("us", nodes | doors))
        await asyncio.to_thread(pair.run, 30)
        pair.eu.weights["eu"] = 1.6
        await asyncio.to_thread(pair.run, 50)
        proxies, sinks = {}, {}
        for name, region in (("eu", pair.eu), ("us", pair.us)):
            directory = tmp_path / name
            directory.mkdir()
            own = {o: ports[o] for o in (name, f"{name}-in")}
            port = await stack.enter_async_context(serving(serve_settings(directory, own)))
            sink = await stack.enter_async_context(ServeSink(directory))
            assert region.state.table is not None
            await sink.apply(region.state.table)
            sinks[name] = sink
            for origin in own:
                one = await stack.enter_async_context(
                    proxy(port, directory, listen_port=ports[origin], region=origin)
                )
                proxies[origin] = one
        for one in proxies.values():
            await one.until_open()

        # The door of us opened after eu had looked at it first.
        async with asyncio.timeout(20):
            while not set(NAMES["us"]) & set(await proxies["eu"].cells("/report")):  # noqa: ASYNC110 - a health check tells nobody
                await asyncio.sleep(0.2)

        seen = Counter[str]()
        for path, method in (("/search", "GET"), ("/report", "GET"), ("/checkout", "POST")):
            for i in range(150):
                headers = {"x-key": f"k{i}"}
                status, cell = await proxies["eu"].ask(path, method=method, headers=headers)
                assert status == 200
                seen[cell[:2]] += 1
        assert seen["us"] > 20
        assert seen["eu"] > seen["us"]
        # What entered us through its door for peers is served there and goes no further.
        assert set(await proxies["us-in"].cells("/search")) == set(NAMES["us"])
        assert not any("eu" in name for name in await proxies["us-in"].clusters())

        pair.is_cut = True
        await asyncio.to_thread(pair.run, 15)
        assert pair.eu.state.table is not None
        await sinks["eu"].apply(pair.eu.state.table)
        assert set(NAMES["us"]) & set(await proxies["eu"].cells("/report"))
