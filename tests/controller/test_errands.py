from __future__ import annotations

import asyncio
from dataclasses import replace

from structlog.testing import capture_logs

from foreshard.controller.errands import Teller
from foreshard.model.handover import Answer, Notice, Reply, Step
from foreshard.testing import FakeSlotMover
from tests.adapters.cells.test_handover import NOTICE


class Slow(FakeSlotMover):
    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def tell(self, notice: Notice) -> Reply:
        await self.go.wait()
        return await super().tell(notice)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_notice_is_under_way_once_and_its_reply_is_taken_once() -> None:
    mover = Slow()
    teller = Teller(mover)
    for _ in range(3):
        teller.tell([NOTICE])
        await settle()
    assert teller.take() == ()
    mover.go.set()
    await settle()
    (reply,) = teller.take()
    assert (reply.handover, reply.answer) == (NOTICE.handover, Answer.READY)
    assert len(mover.told) == 1
    assert teller.take() == ()
    teller.tell([NOTICE, replace(NOTICE, step=Step.MOVED)])
    await settle()
    assert len(teller.take()) == 2


async def test_a_failure_is_said_once_and_told_again() -> None:
    mover = FakeSlotMover()
    mover.leave()
    teller = Teller(mover)
    with capture_logs() as logs:
        for _ in range(3):
            teller.tell([NOTICE])
            await settle()
    assert [line["event"] for line in logs] == ["handover.untold"]
    assert teller.take() == ()


async def test_what_is_under_way_is_given_up_at_the_end() -> None:
    teller = Teller(Slow())
    teller.tell([NOTICE])
    await settle()
    await teller.aclose()
    assert teller.take() == ()


async def test_without_a_mover_nothing_is_ever_ready() -> None:
    teller = Teller(None)
    teller.tell([NOTICE])
    await settle()
    assert teller.take() == ()
