from __future__ import annotations

import asyncio
from collections.abc import Sequence

from structlog.testing import capture_logs

from foreshard.controller.billing import EVERY_S, Billing
from foreshard.controller.profiling import Profiling
from foreshard.model.cost import CostReport
from foreshard.model.errors import SourceError
from foreshard.testing import MemoryStore
from tests.engine.shop import CLASSES, START_S, fleet_of

REPORT = CostReport(request_class=CLASSES[0].name, requests=10.0, total={"cpu": 1.0})


class Source:
    """Answers when it is let."""

    def __init__(self, *, error: str = "") -> None:
        self.error = error
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def read(self) -> tuple[CostReport, ...]:
        self.asked += 1
        await self.may_answer.wait()
        if self.error:
            raise SourceError(self.error)
        return (REPORT,)


class Told(Profiling):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(fleet_of(), CLASSES, MemoryStore())
        self.reports: list[CostReport] = []

    def report(self, reports: Sequence[CostReport]) -> None:
        super().report(reports)
        self.reports += reports


async def test_reports_reach_the_profiler_and_nobody_waits_for_them() -> None:
    source, told = Source(), Told()
    billing = Billing(source, told)
    billing.look(START_S)
    assert told.reports == []
    source.may_answer.set()
    await asyncio.sleep(0.01)
    assert told.reports == [REPORT]


async def test_it_asks_now_and_then_and_never_twice_at_a_time() -> None:
    source = Source()
    billing = Billing(source, Told())
    for second in range(round(3 * EVERY_S)):
        billing.look(START_S + second)
        await asyncio.sleep(0)
    assert source.asked == 1
    source.may_answer.set()
    await asyncio.sleep(0.01)
    billing.look(START_S + 3 * EVERY_S)
    billing.look(START_S + 3 * EVERY_S + 1.0)
    await asyncio.sleep(0.01)
    assert source.asked == 2
    await billing.aclose()


async def test_a_source_that_fails_is_said_once_and_asked_again() -> None:
    source = Source(error="no answer")
    source.may_answer.set()
    billing = Billing(source, Told())
    with capture_logs() as logs:
        for second in range(round(3 * EVERY_S)):
            billing.look(START_S + second)
            await asyncio.sleep(0.001)
    assert [line["event"] for line in logs] == ["profile.unreported"]
    assert source.asked == 3


async def test_a_look_that_hangs_is_given_up_at_the_end() -> None:
    billing = Billing(Source(), Told())
    billing.look(START_S)
    await asyncio.sleep(0)
    async with asyncio.timeout(1.0):
        await billing.aclose()
