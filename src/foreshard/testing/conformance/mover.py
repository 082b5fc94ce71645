"""This module is the contract of slot movers: told twice is told once, and every step answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from foreshard.model.handover import Answer, Notice, Step
from foreshard.ports import SlotMover
from foreshard.testing.conformance.verdict import require

__all__ = ["check_slot_mover"]

PATIENCE_S = 10.0
PAUSE_S = 0.05
PREPARING = (Answer.PENDING, Answer.READY)


async def check_slot_mover(mover: SlotMover, notice: Notice) -> None:
    """Hold a `SlotMover`, and the service behind it, to the contract.

    Args:
        mover: The mover, with a service that can prepare.
        notice: A `PREPARE` that the service is able to do; used under two names.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    for name, last in (("moves", Step.MOVED), ("fails", Step.FAILED)):
        asked = replace(notice, handover=f"{notice.handover}/{name}", step=Step.PREPARE)
        await _until_ready(mover, asked)
        again = await mover.tell(asked)
        require(
            again.answer is Answer.READY,
            f"tell: {again!r} to a prepare that was ready: repeated, it must be ready still",
        )
        for _ in range(2):
            ended = await mover.tell(replace(asked, step=last))
            require(
                ended.answer is Answer.DONE,
                f"tell: {ended!r} to {last}: must be done, also when it is told again",
            )
            require(
                (ended.handover, ended.step) == (asked.handover, last),
                f"tell: {ended!r} answers another notice than {last} of {asked.handover}",
            )


async def _until_ready(mover: SlotMover, asked: Notice) -> None:
    for _ in range(int(PATIENCE_S / PAUSE_S)):
        reply = await mover.tell(asked)
        require(
            reply.answer in PREPARING and reply.step is Step.PREPARE,
            f"tell: {reply!r} to a prepare that the service can do: must be pending or ready",
        )
        if reply.answer is Answer.READY:
            return
        await asyncio.sleep(PAUSE_S)
    require(kept=False, sentence=f"tell: {asked.handover} was not ready within {PATIENCE_S:g} s")
