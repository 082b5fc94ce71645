"""A router that follows a real `serve` over real sockets, and goes on when it is gone."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from foreshard import Nowhere, Router, following, following_in_thread
from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.serve import serving
from foreshard.adapters.routing.table_service import TABLES
from foreshard.model.errors import InvalidValueError
from foreshard.model.topology import Cell
from foreshard.ports import Applied
from tests.adapters.routing.envoy_bench import free_port
from tests.adapters.routing.envoy_tables import cells
from tests.adapters.routing.serve_bench import serve_settings, shop_table

CELLS = cells("eu-1", "eu-2")


@asynccontextmanager
async def running(directory: Path, port: int, *, key: bytes = b"") -> AsyncIterator[ServeSink]:
    settings = serve_settings(directory, {"eu": 1}, port=port)
    async with serving(replace(settings, seal=Seal(key))), ServeSink(directory) as sink:
        yield sink


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def commit(sink: ServeSink, version: int) -> None:
    outcome = await sink.apply(shop_table(version, CELLS[: 1 + version % 2]))
    assert isinstance(outcome, Applied)


def version_of(router: Router) -> int:
    return -1 if router.table is None else router.table.version


async def test_a_router_follows_what_is_committed_and_goes_on_when_the_feed_dies(
    tmp_path: Path,
) -> None:
    router, port = Router(), free_port()
    async with running(tmp_path / "serve", port) as sink:
        await commit(sink, 1)
        async with following(router, f"127.0.0.1:{port}") as feed:
            assert version_of(router) == 1
            assert router.table == await sink.live()
            await commit(sink, 2)
            await until(lambda: version_of(router) == 2)
            await until(lambda: feed.is_answering)
            assert feed.unconfirmed_s is not None
            assert feed.unconfirmed_s < 3.0
            assert router.table is not None
            held = router.table.classes
            await commit(sink, 4)
            await until(lambda: version_of(router) == 4)
            assert router.table is not None
            assert router.table.classes[0] is held[0], "what did not change is not sent again"
            asked = router.route("checkout", "eu", "k")
    async with following(router, f"127.0.0.1:{port}") as feed:
        await asyncio.sleep(0.3)
        assert not feed.is_answering
        assert feed.unconfirmed_s is None
        assert version_of(router) == 4
        assert router.route("checkout", "eu", "k") == asked
        assert isinstance(asked, Cell)
        # It comes back, and is heard again.
        async with running(tmp_path / "serve", port) as sink:
            await until(lambda: feed.is_answering)
            await commit(sink, 5)
            await until(lambda: version_of(router) == 5)
        await until(lambda: not feed.is_answering)
        assert version_of(router) == 5


async def test_an_application_that_starts_while_foreshard_is_down_has_the_last_plan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, keep = free_port(), tmp_path / "keep"
    async with running(tmp_path / "serve", port) as sink:
        for version in (1, 2):
            await commit(sink, version)
            router = Router()
            async with following(router, f"127.0.0.1:{port}", keep=keep):
                await until((keep / "committed.json").exists)
                assert version_of(router) == version
    started = Router()
    async with following(started, f"127.0.0.1:{port}", keep=keep):
        assert version_of(started) == 2
    (keep / "committed.json").write_bytes(b"{")
    older = Router()
    with caplog.at_level(logging.WARNING, logger="foreshard.router"):
        async with following(older, f"127.0.0.1:{port}", keep=keep):
            assert version_of(older) == 1
    assert "committed.json is refused" in caplog.text


async def test_a_directory_that_takes_nothing_is_said_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, router = free_port(), Router()
    (tmp_path / "file").write_text("in the way")
    async with running(tmp_path / "serve", port) as sink:
        await commit(sink, 1)
        with caplog.at_level(logging.WARNING, logger="foreshard.router"):
            async with following(router, f"127.0.0.1:{port}", keep=tmp_path / "file" / "keep"):
                await until(lambda: "unkept" in caplog.text)
                await commit(sink, 2)
                await until(lambda: version_of(router) == 2)


async def test_a_table_with_another_seal_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, key = free_port(), b"0123456789abcdef"
    router = Router(shop_table(9, CELLS))
    async with running(tmp_path / "serve", port, key=key) as sink:
        await commit(sink, 10)
        with caplog.at_level(logging.WARNING, logger="foreshard.router"):
            async with following(router, f"127.0.0.1:{port}", key=b"another key, as long"):
                await until(lambda: "refused" in caplog.text)
                assert version_of(router) == 9
        async with following(router, f"127.0.0.1:{port}", key=key):
            await until(lambda: version_of(router) == 10)


async def test_a_foreshard_without_a_plan_leaves_the_router_without_one(tmp_path: Path) -> None:
    port, router = free_port(), Router()
    async with (
        running(tmp_path / "serve", port) as sink,
        following(router, f"127.0.0.1:{port}", patience_s=0.2) as feed,
    ):
        assert not feed.is_answering
        assert isinstance(router.route("checkout", "eu", "k"), Nowhere)
        await commit(sink, 1)
        await until(lambda: version_of(router) == 1)


async def test_a_control_plane_that_hangs_is_taken_for_gone(tmp_path: Path) -> None:
    async def hang(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await asyncio.Event().wait()

    service, _, method = TABLES[1:].partition("/")
    server, router = grpc.aio.server(), Router(shop_table(1, CELLS))
    handler = grpc.unary_stream_rpc_method_handler(hang)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {method: handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        said: list[str] = []
        logger = logging.getLogger("foreshard.router")
        heard = logging.Handler()
        heard.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
        logger.addHandler(heard)
        async with following(router, f"127.0.0.1:{port}") as feed:
            await until(lambda: any("silent for 3 s" in line for line in said))
            assert not feed.is_answering
            assert version_of(router) == 1
        logger.removeHandler(heard)
    finally:
        await server.stop(0)


def test_an_application_without_an_event_loop_follows_in_a_thread(tmp_path: Path) -> None:
    code = f"""
import asyncio, threading
from pathlib import Path
from foreshard import Router, following_in_thread
from tests.adapters.routing.serve_bench import serve_settings, shop_table
from tests.adapters.routing.envoy_tables import cells
router = Router(shop_table(3, cells("eu-1")))
with following_in_thread(router, "127.0.0.1:{free_port()}", keep=Path({str(tmp_path)!r})) as feed:
    print(router.route("checkout", "eu", "k").name, feed.is_answering, feed.unconfirmed_s)
print([thread.name for thread in threading.enumerate()])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["eu-1 False None", "['MainThread']"]


async def test_a_thread_hears_what_a_loop_hears(tmp_path: Path) -> None:
    port, router = free_port(), Router()
    child = f"""
import time
from foreshard import Router, following_in_thread
router = Router()
with following_in_thread(router, "127.0.0.1:{port}"):
    print(router.table.version, flush=True)
    while router.table.version < 2:
        time.sleep(0.02)
    print(router.table.version, flush=True)
"""
    async with running(tmp_path / "serve", port) as sink:
        await commit(sink, 1)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", child), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"1\n"
        await commit(sink, 2)
        assert await process.stdout.readline() == b"2\n"
        assert await process.wait() == 0
    assert version_of(router) == -1


@pytest.mark.parametrize("target", ["", "here", "here:", ":1", "a b:1", "here:123456"])
def test_an_address_that_is_none_is_refused(target: str) -> None:
    with (
        pytest.raises(InvalidValueError, match="must be host:port"),
        following_in_thread(Router(), target),
    ):
        pass


def test_the_directory_of_a_serve_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "serve.lock").touch()
    with (
        pytest.raises(InvalidValueError, match="a directory of its own"),
        following_in_thread(Router(), "127.0.0.1:1", keep=tmp_path),
    ):
        pass


def test_following_loads_neither_envoys_messages_nor_arrays() -> None:
    code = (
        "import sys; from foreshard import following; "
        "print(*{'envoy', 'numpy', 'aiohttp', 'pydantic', 'structlog'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
