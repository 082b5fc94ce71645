"""The engine's hand on `serve`, without any proxy: versions, freezing and bad bodies."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from foreshard.adapters.routing import committed
from foreshard.adapters.routing.client import SOCKET, ServeSink
from foreshard.adapters.routing.serve import ServeSettings, serving
from foreshard.app.places import alone
from foreshard.model.errors import SinkError, StoreError
from foreshard.model.topology import Cell, Node
from foreshard.ports import Applied, Rejected
from tests.adapters.routing.serve_bench import serve_settings, shop_table

CELLS = tuple(
    Cell(name=name, region="eu", zone="eua", nodes=(Node(host="127.0.0.1", port=port),))
    for name, port in (("a", 2001), ("b", 2002))
)


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return serve_settings(tmp_path, {"eu": 2000})


@pytest.fixture
async def sink(tmp_path: Path, settings: ServeSettings) -> AsyncIterator[ServeSink]:
    async with serving(settings), ServeSink(tmp_path) as sink:
        yield sink


async def test_nothing_is_live_before_the_first_table(sink: ServeSink) -> None:
    assert await sink.live() is None
    assert (await sink.status())["version"] is None
    assert await sink.load() == {"nodes": []}


async def test_a_table_without_proxies_is_live_for_whoever_comes(sink: ServeSink) -> None:
    table = shop_table(5, CELLS)
    assert await sink.apply(table) == Applied(version=5, acks=0, push_to_ack_s=0.0)
    assert await sink.live() == table


async def test_an_older_version_is_refused(sink: ServeSink) -> None:
    await sink.apply(shop_table(5, CELLS))
    for version in (4, 5):
        outcome = await sink.apply(shop_table(version, CELLS, search={"a": 9}))
        assert isinstance(outcome, Rejected)
        assert f"version {version} is not newer than the live 5" in outcome.because
    assert await sink.live() == shop_table(5, CELLS)


async def test_the_same_table_again_is_fine(sink: ServeSink) -> None:
    await sink.apply(shop_table(5, CELLS))
    assert isinstance(await sink.apply(shop_table(5, CELLS)), Applied)


async def test_the_first_table_after_a_restart_is_adopted(
    tmp_path: Path, settings: ServeSettings
) -> None:
    async with serving(settings), ServeSink(tmp_path) as sink:
        await sink.apply(shop_table(50, CELLS))
    async with serving(settings), ServeSink(tmp_path) as sink:
        assert await sink.live() == shop_table(50, CELLS)
        assert isinstance(await sink.apply(shop_table(1, CELLS, search={"a": 1})), Applied)
        assert isinstance(await sink.apply(shop_table(1, CELLS, search={"b": 1})), Rejected)


async def test_a_table_that_cannot_be_rendered_is_refused_with_the_reason(
    sink: ServeSink,
) -> None:
    await sink.apply(shop_table(1, CELLS))
    nowhere = replace(CELLS[0], nodes=(Node(host="no address", port=1),))
    outcome = await sink.apply(shop_table(2, (nowhere, CELLS[1])))
    assert isinstance(outcome, Rejected)
    assert "no address" in outcome.because
    assert await sink.live() == shop_table(1, CELLS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timeout_s": 1e12}, "a duration of 1e+12 s is more than Envoy takes"),
        ({"timeout_s": 1e300}, "a duration of 1e+300 s is more than Envoy takes"),
        ({"objective_s": 1e10, "timeout_s": 1e10}, "table 1 cannot be rendered (ValueError: "),
    ],
)
async def test_a_number_that_envoy_has_no_room_for_is_refused_with_the_reason(
    sink: ServeSink, change: dict[str, Any], words: str
) -> None:
    table = shop_table(1, CELLS)
    classes = tuple(
        replace(route, request_class=replace(route.request_class, **change))
        for route in table.classes
    )
    outcome = await sink.apply(replace(table, classes=classes))
    assert isinstance(outcome, Rejected)
    assert words in outcome.because
    assert isinstance(await sink.apply(table), Applied)


async def test_frozen_means_nothing_changes_even_over_a_restart(
    tmp_path: Path, settings: ServeSettings
) -> None:
    async with serving(settings), ServeSink(tmp_path) as sink:
        await sink.apply(shop_table(1, CELLS))
        await sink.freeze("release day")
        outcome = await sink.apply(shop_table(2, CELLS, search={"a": 1}))
        assert outcome == Rejected(version=2, because="frozen: release day")
    async with serving(settings), ServeSink(tmp_path) as sink:
        assert isinstance(await sink.apply(shop_table(2, CELLS)), Rejected)
        frozen = (await sink.status())["frozen"]
        assert isinstance(frozen, dict)
        assert frozen["reason"] == "release day"
        assert await sink.live() == shop_table(1, CELLS)
        await sink.thaw()
        assert isinstance(await sink.apply(shop_table(2, CELLS)), Applied)
        assert (await sink.status())["frozen"] is None


async def test_a_freeze_that_cannot_be_kept_holds_and_says_so(
    tmp_path: Path, settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with serving(settings), ServeSink(tmp_path) as sink:
        await sink.apply(shop_table(1, CELLS))
        monkeypatch.setattr(committed, "replace_file", full)
        assert "not kept: a restart of serve undoes it" in await sink.freeze("disk full")
        outcome = await sink.apply(shop_table(2, CELLS, search={"a": 1}))
        assert outcome == Rejected(version=2, because="frozen: disk full")


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("PUT", "/table", b"{", "not JSON"),
        ("PUT", "/table", b"\xff", "not JSON"),
        ("PUT", "/table", b"[]", "table is [], must be an object"),
        ("PUT", "/table", b'{"schema": 1}', "table.version is missing"),
        ("POST", "/freeze", b"{}", "body.reason is missing"),
        ("POST", "/freeze", b'{"reason": 3}', "body.reason is 3, must be a string"),
    ],
)
async def test_a_bad_body_is_refused_by_name_and_changes_nothing(
    tmp_path: Path, sink: ServeSink, method: str, path: str, body: bytes, says: str
) -> None:
    await sink.apply(shop_table(1, CELLS))
    connector = aiohttp.UnixConnector(path=str(tmp_path / SOCKET))
    async with (
        aiohttp.ClientSession("http://serve", connector=connector) as session,
        session.request(method, path, data=body) as answer,
    ):
        assert answer.status == 400
        assert says in (await answer.json())["error"]
    assert await sink.live() == shop_table(1, CELLS)
    assert (await sink.status())["frozen"] is None


async def test_a_damaged_file_is_said_and_the_table_before_it_serves(
    tmp_path: Path, settings: ServeSettings
) -> None:
    async with serving(settings), ServeSink(tmp_path) as sink:
        await sink.apply(shop_table(1, CELLS))
        await sink.apply(shop_table(2, CELLS, search={"a": 1}))
    (tmp_path / "committed.json").write_bytes(b"\0" * 10)
    async with serving(settings), ServeSink(tmp_path) as sink:
        assert await sink.live() == shop_table(1, CELLS)
        assert "committed.json is refused" in str((await sink.status())["problems"])


async def test_nobody_at_the_socket_is_a_sink_error(tmp_path: Path) -> None:
    async with ServeSink(tmp_path) as sink:
        for ask in (sink.live, sink.status, sink.load, sink.thaw):
            with pytest.raises(SinkError, match=r"cannot be reached.*foreshard serve"):
                await ask()
        with pytest.raises(SinkError, match="cannot be reached"):
            await sink.apply(shop_table(1, CELLS))


async def test_a_data_directory_has_one_serve(settings: ServeSettings) -> None:
    async with serving(settings):
        with pytest.raises(SinkError, match="another `foreshard serve` uses it"):
            async with serving(replace(settings, lock_patience_s=0.1)):
                pass


async def test_one_that_is_just_ending_is_waited_for(settings: ServeSettings) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(serving(settings))
        second = serving(settings)
        coming = asyncio.ensure_future(second.__aenter__())
        await asyncio.sleep(0.1)
        assert not coming.done()
        await first.aclose()
        assert await coming
        await second.__aexit__(None, None, None)


async def test_a_taken_port_is_said(tmp_path: Path, settings: ServeSettings) -> None:
    async with serving(settings) as port:
        second = replace(settings, data_dir=tmp_path / "second", port=port)
        with pytest.raises(SinkError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serving(second):
                pass


async def test_a_path_that_is_too_long_for_a_socket_is_said(
    tmp_path: Path, settings: ServeSettings
) -> None:
    with pytest.raises(SinkError, match="choose a shorter one"):
        async with serving(replace(settings, data_dir=tmp_path / ("x" * 100))):
            pass


async def test_a_table_of_a_newer_foreshard_is_neither_guessed_at_nor_replaced(
    tmp_path: Path, settings: ServeSettings
) -> None:
    async with serving(settings), ServeSink(tmp_path) as sink:
        for version in (1, 2):
            await sink.apply(shop_table(version, CELLS))
    file = tmp_path / "committed.json"
    newer = file.read_text().replace('"schema": 1', '"schema": 2')
    file.write_text(newer)
    with pytest.raises(SinkError, match="has schema 2, this Foreshard reads up to 1; run a"):
        async with serving(settings):
            pass
    assert file.read_text() == newer


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to(path)])
async def test_what_is_no_socket_in_the_place_of_the_socket_is_named_and_left(
    make: Callable[[Path], None], tmp_path: Path, settings: ServeSettings
) -> None:
    make(tmp_path / SOCKET)
    with pytest.raises(SinkError, match=r"serve\.sock: is no socket, so nobody could reach serve"):
        async with serving(settings):
            pass
    (tmp_path / SOCKET).rename(tmp_path / "away")
    async with serving(settings):
        assert (tmp_path / SOCKET).is_socket()


async def test_a_pipe_in_the_place_of_a_lock_is_refused_and_not_waited_for(
    tmp_path: Path, settings: ServeSettings
) -> None:
    os.mkfifo(tmp_path / "serve.lock")
    with pytest.raises(SinkError, match="cannot be used"):
        async with serving(settings):
            pass
    os.mkfifo(tmp_path / "engine.lock")
    with pytest.raises(StoreError, match="cannot be used"):
        async with alone(tmp_path, "engine"):
            pass
