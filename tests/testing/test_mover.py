from __future__ import annotations

from dataclasses import replace

import pytest

from foreshard.model.errors import DriverError
from foreshard.model.handover import Answer, Notice, Reply, Step
from foreshard.testing import FakeSlotMover, check_slot_mover
from tests.adapters.cells.test_handover import NOTICE


async def test_the_fake_keeps_the_contract() -> None:
    mover = FakeSlotMover(ready_after=2)
    await check_slot_mover(mover, NOTICE)
    assert {n.step for n in mover.told} == set(Step)


async def test_the_fake_refuses_and_leaves_when_told_to() -> None:
    mover = FakeSlotMover()
    mover.refuse("full")
    reply = await mover.tell(NOTICE)
    assert (reply.answer, reply.because) == (Answer.FAILED, "full")
    with pytest.raises(AssertionError, match="must be pending or ready"):
        await check_slot_mover(mover, NOTICE)
    mover.leave()
    with pytest.raises(DriverError, match="nobody took prepare"):
        await mover.tell(NOTICE)


class Forgetful(FakeSlotMover):
    async def tell(self, notice: Notice) -> Reply:
        reply = await super().tell(notice)
        if self.told.count(notice) > 1:
            return replace(reply, answer=Answer.PENDING)
        return reply


async def test_a_mover_that_forgets_what_was_ready_is_found() -> None:
    with pytest.raises(AssertionError, match="it must be ready still"):
        await check_slot_mover(Forgetful(), NOTICE)
