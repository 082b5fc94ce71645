from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from foreshard.adapters.cells.webhook import WebhookCellDriver
from foreshard.model.errors import DriverError, InvalidValueError
from tests.adapters.cells.test_handover import in_pieces


@dataclass
class Clock:
    """A clock on which nobody waits."""

    now: float = 1_000.5
    slept: list[float] = field(default_factory=list)

    def now_s(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Receiver:
    status: int = 202
    hang_up: int = 0
    pieces: bool = False
    url: str = ""
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.requests.append((request.method, dict(request.headers), body))
        if self.hang_up:
            self.hang_up -= 1
            assert request.transport is not None
            request.transport.close()
        if self.pieces:
            return await in_pieces(request, self.status, ("as you", " say", "x" * 400))
        location = {"Location": self.url} if self.status == 302 else {}
        return web.Response(status=self.status, text="as you say", headers=location)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/hook", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


async def test_a_restart_is_one_cloud_event(receiver: Receiver) -> None:
    headers = {"Authorization": "Bearer t"}
    async with WebhookCellDriver(receiver.url, clock=Clock(), headers=headers) as driver:
        await driver.recycle("eu-2")
    ((method, sent, body),) = receiver.requests
    event = json.loads(body)
    assert method == "POST"
    assert sent["Content-Type"] == "application/cloudevents+json"
    assert sent["Authorization"] == "Bearer t"
    assert event.pop("id")
    assert event == {
        "specversion": "1.0",
        "source": "foreshard",
        "type": "foreshard.cell.recycle.v1",
        "subject": "eu-2",
        "time": "1970-01-01T00:16:40.500000Z",
        "datacontenttype": "application/json",
        "data": {"cell": "eu-2", "action": "recycle"},
    }


async def test_each_request_has_its_own_id_and_repeats_keep_theirs(receiver: Receiver) -> None:
    receiver.hang_up = 2
    clock = Clock()
    async with WebhookCellDriver(receiver.url, clock=clock) as driver:
        await driver.recycle("eu-2")
        await driver.recycle("eu-2")
    ids = [json.loads(body)["id"] for _, _, body in receiver.requests]
    assert len(ids) == 4
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert clock.slept == [0.2, 1.0]


async def test_the_same_request_has_the_same_id_in_another_process(receiver: Receiver) -> None:
    for _ in range(2):
        async with WebhookCellDriver(receiver.url, clock=Clock()) as driver:
            await driver.recycle("eu-2")
    first, second = (body for _, _, body in receiver.requests)
    assert first == second


@pytest.mark.parametrize("status", [302, 400, 429, 500, 503])
async def test_a_refusal_is_final_and_quoted(receiver: Receiver, status: int) -> None:
    receiver.status = status
    async with WebhookCellDriver(receiver.url, clock=Clock()) as driver:
        with pytest.raises(DriverError, match=f"refused the restart: {status} .* as you say"):
            await driver.recycle("eu-2")
    assert len(receiver.requests) == 1


async def test_a_refusal_in_pieces_is_quoted_and_not_to_its_end(receiver: Receiver) -> None:
    receiver.status, receiver.pieces = 500, True
    async with WebhookCellDriver(receiver.url, clock=Clock()) as driver:
        with pytest.raises(DriverError, match=r"as you sayx{190}$"):
            await driver.recycle("eu-2")


async def test_nobody_there_is_an_error_after_three_attempts_that_hides_secrets() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clock = Clock()
    url = f"http://me:password@127.0.0.1:{port}/hook?token=secret"
    async with WebhookCellDriver(url, clock=clock) as driver:
        with pytest.raises(DriverError, match="in 3 attempts") as caught:
            await driver.recycle("eu-2")
    assert len(clock.slept) == 2
    assert "password" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_receiver_that_never_answers_is_an_error() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server, WebhookCellDriver(url, clock=Clock(), timeout_s=0.1) as driver:
        with pytest.raises(DriverError, match="TimeoutError"):
            await driver.recycle("eu-2")


@pytest.mark.parametrize("url", ["", "ftp://x/hook", "http://", "eu-1/hook"])
def test_an_address_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(InvalidValueError, match="must start with http"):
        WebhookCellDriver(url, clock=Clock())
