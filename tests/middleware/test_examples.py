"""The examples that show an application without a proxy, run as a reader runs them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.serve import serving
from foreshard.planning.slots import slot_of
from foreshard.ports import Applied
from tests.adapters.routing.envoy_bench import free_port
from tests.adapters.routing.serve_bench import backends, cells_of, serve_settings, shop_table
from tests.architecture.source import ROOT

EXAMPLES = ROOT / "examples"


@asynccontextmanager
async def gateway(*options: str) -> AsyncIterator[str]:
    """The address of a running examples/route_asgi.py."""
    argv = (sys.executable, str(EXAMPLES / "route_asgi.py"), "--port", "0", *options)
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        yield f"http://127.0.0.1:{json.loads(line)['listens']}"
    finally:
        process.terminate()
        await process.wait()


async def buy(session: aiohttp.ClientSession, url: str, header: str, key: str) -> tuple[int, str]:
    async with session.post(f"{url}/checkout", headers={header: key}) as answer:
        if answer.status == 429:
            assert answer.headers["retry-after"] == "5"
        return answer.status, (await answer.text()).partition(" ")[0]


async def test_the_gateway_sends_each_customer_to_the_owner_and_sheds_the_rest() -> None:
    async with gateway() as url, aiohttp.ClientSession() as session:
        for number in range(60):
            slot = slot_of(str(number), 4096)
            due = (200, "eu-1") if slot < 2048 else (200, "eu-2") if slot < 3584 else (429, "")
            assert await buy(session, url, "x-customer", str(number)) == due
        found = []
        for _ in range(40):
            async with session.get(f"{url}/search?q=1") as answer:
                assert answer.status == 200
                found.append((await answer.text()).partition(" ")[0])
        assert abs(found.count("eu-1") - 30) <= 2


async def test_the_gateway_follows_a_foreshard_and_survives_it(tmp_path: Path) -> None:
    port, serve = free_port(), tmp_path / "serve"
    options = ("--follow", f"127.0.0.1:{port}", "--keep", str(tmp_path / "keep"))
    async with backends("eu-1", "eu-2") as running, aiohttp.ClientSession() as session:
        first, second = cells_of(running)
        settings = serve_settings(serve, {"eu": 1}, port=port)
        async with serving(settings), ServeSink(serve) as sink:
            assert isinstance(await sink.apply(shop_table(1, (first, second))), Applied)
            async with gateway(*options) as url:
                for key in map(str, range(10)):
                    due = "eu-1" if slot_of(key, 4096) < 2048 else "eu-2"
                    assert await buy(session, url, "x-key", key) == (200, due)
                changed = shop_table(2, (second,), known=(first, second))
                assert isinstance(await sink.apply(changed), Applied)
                async with asyncio.timeout(10):
                    # A key that has to move: key 0 is there from the beginning.
                    while (await buy(session, url, "x-key", "1"))[1] != "eu-2":
                        pass
                for key in map(str, range(10)):
                    assert await buy(session, url, "x-key", key) == (200, "eu-2")
        # Foreshard is gone; one that starts now has what the last one kept.
        async with gateway(*options) as url:
            assert await buy(session, url, "x-key", "0") == (200, "eu-2")


def test_the_client_calls_the_owner_of_each_key() -> None:
    argv = [sys.executable, str(EXAMPLES / "route_grpc.py"), "--calls", "30"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 30
    for line in lines:
        slot = slot_of(line["key"], 4096)
        if slot < 3072:
            due = "eu-1 sold a book" if slot < 2048 else "eu-2 sold a book"
        else:
            due = "RESOURCE_EXHAUSTED"
        assert line["answer"] == due
    assert len({line["answer"] for line in lines}) == 3
