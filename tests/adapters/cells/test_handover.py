from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from foreshard.adapters.cells.handover import WebhookSlotMover
from foreshard.model.errors import DriverError, InvalidValueError
from foreshard.model.handover import Answer, Notice, Step
from foreshard.testing import FakeClock, check_slot_mover

NOTICE = Notice(
    handover="checkout/100-150/eu-1/eu-2/1000.000",
    step=Step.PREPARE,
    request_class="checkout",
    first=100,
    length=50,
    slot_count=4096,
    source="eu-1",
    target="eu-2",
    deadline_s=1_030.0,
)


async def in_pieces(
    request: web.Request, status: int, pieces: Sequence[str]
) -> web.StreamResponse:
    """A chunked answer whose pieces arrive one after the other."""
    answer = web.StreamResponse(status=status)
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    for piece in pieces:
        await answer.write(piece.encode())
        await asyncio.sleep(0.01)
    await answer.write_eof()
    return answer


@dataclass
class Service:
    """Answers what it is told to answer, or prepares as the how-to says."""

    status: int = 200
    body: str = '{"state": "ready"}'
    pieces: Sequence[str] = ()
    prepares: bool = False
    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        event = await request.json()
        asked = sum(1 for e in self.events if e["id"] == event["id"])
        self.events.append(event)
        self.headers.append(dict(request.headers))
        if self.prepares and event["type"].endswith("prepare.v1") and asked < 2:
            return web.Response(status=202)
        if self.pieces:
            return await in_pieces(request, self.status, self.pieces)
        headers = {"Location": self.url} if self.status == 302 else {}
        return web.Response(status=self.status, text=self.body, headers=headers)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_post("/slots", service.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slots"
    yield service
    await runner.cleanup()


def mover_to(service: Service) -> WebhookSlotMover:
    clock = FakeClock(start_s=1_000.5)
    return WebhookSlotMover({"checkout": service.url}, clock=clock, headers={"X-Token": "t"})


async def test_a_prepare_is_one_cloud_event(service: Service) -> None:
    async with mover_to(service) as mover:
        await mover.tell(NOTICE)
    (event,) = service.events
    assert service.headers[0]["Content-Type"] == "application/cloudevents+json"
    assert service.headers[0]["X-Token"] == "t"
    assert event.pop("id")
    assert event == {
        "specversion": "1.0",
        "source": "foreshard",
        "type": "foreshard.slots.prepare.v1",
        "subject": NOTICE.handover,
        "time": "1970-01-01T00:16:40.500000Z",
        "datacontenttype": "application/json",
        "data": {
            "handover": NOTICE.handover,
            "class": "checkout",
            "slots": {"first": 100, "length": 50},
            "slot_count": 4096,
            "from": "eu-1",
            "to": "eu-2",
            "deadline": "1970-01-01T00:17:10Z",
        },
    }


async def test_asking_again_is_the_same_event_and_each_step_its_own(service: Service) -> None:
    for _ in range(2):
        async with mover_to(service) as mover:
            for step in Step:
                await mover.tell(replace(NOTICE, step=step))
    ids = [event["id"] for event in service.events]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("status", "body", "answer", "because"),
    [
        (200, '{"state": "ready"}', Answer.READY, ""),
        (200, '{"state": "preparing"}', Answer.PENDING, ""),
        (202, "", Answer.PENDING, ""),
        (202, '{"state": "ready"}', Answer.PENDING, ""),
        (200, '{"state": "failed", "because": "disk full"}', Answer.FAILED, "disk full"),
        (409, '{"because": "cell eu-2 lags"}', Answer.FAILED, "cell eu-2 lags"),
        (404, "no such hook", Answer.FAILED, "no such hook"),
        (400, "", Answer.FAILED, "answered 400"),
    ],
)
async def test_what_a_service_says_to_prepare(
    service: Service, status: int, body: str, answer: Answer, because: str
) -> None:
    service.status, service.body = status, body
    async with mover_to(service) as mover:
        reply = await mover.tell(NOTICE)
    assert reply.answer is answer
    if because:
        assert reply.because == because


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        (('{"state": ', '"ready"}'), Answer.READY),
        (('{"state": "failed", ', '"because": ', '"disk full"}'), Answer.FAILED),
    ],
)
async def test_an_answer_in_pieces_is_read_to_its_end(
    service: Service, pieces: Sequence[str], answer: Answer
) -> None:
    service.pieces = pieces
    async with mover_to(service) as mover:
        assert (await mover.tell(NOTICE)).answer is answer


async def test_an_answer_without_measure_is_cut_off(service: Service) -> None:
    service.pieces = ["x" * 20_000] * 5
    async with mover_to(service) as mover:
        with pytest.raises(DriverError, match=r"answered 200 x+$"):
            await mover.tell(NOTICE)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "boom"),
        (503, ""),
        (302, ""),
        (204, ""),
        (200, "[]"),
        (200, '{"state": 1}'),
        (200, ""),
    ],
)
async def test_what_is_no_answer_is_an_error_and_never_ready(
    service: Service, status: int, body: str
) -> None:
    service.status, service.body = status, body
    async with mover_to(service) as mover:
        with pytest.raises(DriverError, match=f"prepare of checkout.* answered {status}"):
            await mover.tell(NOTICE)
    assert len(service.events) == 1


@pytest.mark.parametrize("step", [Step.MOVED, Step.FAILED])
async def test_the_last_word_is_done_with_any_2xx_and_told_again_otherwise(
    service: Service, step: Step
) -> None:
    said = replace(NOTICE, step=step, because="not ready within 30 s")
    async with mover_to(service) as mover:
        service.status, service.body = 204, ""
        assert (await mover.tell(said)).answer is Answer.DONE
        service.status, service.body = 404, "who?"
        with pytest.raises(DriverError, match=r"answered 404 who\?"):
            await mover.tell(said)
    assert service.events[0]["data"]["because"] == "not ready within 30 s"
    assert "deadline" not in service.events[0]["data"]


async def test_nobody_there_is_an_error_that_hides_secrets() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    urls = {"checkout": f"http://me:password@127.0.0.1:{port}/slots?token=secret"}
    async with WebhookSlotMover(urls, clock=FakeClock()) as mover:
        with pytest.raises(DriverError, match="nobody answered at") as caught:
            await mover.tell(NOTICE)
        with pytest.raises(DriverError, match="class search: has no handover"):
            await mover.tell(replace(NOTICE, request_class="search"))
    assert "password" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"class checkout: handover\.webhook is 'ftp://x'"):
        WebhookSlotMover({"checkout": "ftp://x"}, clock=FakeClock())


async def test_the_webhook_keeps_the_contract_of_movers(service: Service) -> None:
    service.prepares = True
    async with mover_to(service) as mover:
        await check_slot_mover(mover, NOTICE)
    assert {json.dumps(e["data"]["slots"]) for e in service.events} == {
        '{"first": 100, "length": 50}'
    }
