from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from structlog.testing import capture_logs

from foreshard.controller import chronicle as module
from foreshard.controller.chronicle import Chronicle
from foreshard.forecast.step import Gathering
from foreshard.model.errors import StoreError
from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Gauge, Health, Observation
from foreshard.ports import StepTable
from tests.engine.shop import CLASSES, START_S

T = TypeVar("T")


class Shelf:
    """A metric log in memory, that refuses when it is told to."""

    def __init__(self) -> None:
        self.steps: list[StepTable] = []
        self.refuses = False

    def publish(self, step: StepTable) -> None:
        if self.refuses:
            raise StoreError("no room")
        self.steps.append(step)


class Gate:
    """An executor whose work ends when the test says so."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def run(self, work: Callable[[], T]) -> T:
        await self.open.wait()
        return work()


def look(at_s: float) -> Observation:
    gauges = {
        "memory": Gauge(used=at_s, limit=100.0),
        "cpu": Gauge(used=1.0, limit=2.0, scales_with_load=True),
    }
    reading = Fresh(metrics=CellMetrics(gauges=gauges), age_s=0.0)
    return Observation(
        now_s=START_S + at_s,
        interval_s=1.0,
        cells={"eu-1": CellReading(health=Health.UP, reading=reading)},
        demand_rps=None,
    )


def stage() -> tuple[Chronicle, Shelf, Gate]:
    shelf, gate = Shelf(), Gate()
    return Chronicle(Gathering(CLASSES, step_s=10.0), shelf, gate), shelf, gate


async def test_a_step_is_published_once_it_is_over() -> None:
    chronicle, shelf, _ = stage()
    for at in range(1, 32):
        chronicle.take(look(at), censored=frozenset({"eu-1"} if at == 15 else ()))
        await asyncio.sleep(0)
    await chronicle.aclose()
    assert [step.ends_s - START_S for step in shelf.steps] == [10.0, 20.0, 30.0]
    assert [round(float(step.gauges["memory"][0]), 3) for step in shelf.steps] == [0.1, 0.2, 0.3]
    assert [bool(step.censored[0]) for step in shelf.steps] == [False, True, False]
    assert shelf.steps[0].scales_with_load == {"cpu"}


async def test_a_disk_that_refuses_is_said_and_costs_only_what_it_refused() -> None:
    chronicle, shelf, _ = stage()
    with capture_logs() as logs:
        for at in range(1, 42):
            shelf.refuses = 15 <= at <= 25
            chronicle.take(look(at), censored=frozenset())
            await asyncio.sleep(0)
        await chronicle.aclose()
    assert [step.ends_s - START_S for step in shelf.steps] == [10.0, 30.0, 40.0]
    assert [each["event"] for each in logs] == ["history.unkept"]


async def test_a_hung_disk_holds_nobody_up_and_the_newest_steps_are_kept() -> None:
    chronicle, shelf, gate = stage()
    gate.open.clear()
    with capture_logs() as logs:
        for at in range(1, 10 * (module.MOST_WAITING + 5)):
            chronicle.take(look(at), censored=frozenset())
            await asyncio.sleep(0)
    # The first one is in its hands.
    assert [each["event"] for each in logs] == ["history.lost"] * 3
    gate.open.set()
    await chronicle.aclose()
    assert len(shelf.steps) == module.MOST_WAITING + 1
    assert shelf.steps[-1].ends_s - START_S == 10.0 * (module.MOST_WAITING + 4)


async def test_an_observation_from_before_is_said_and_left_out() -> None:
    chronicle, shelf, _ = stage()
    chronicle.take(look(25), censored=frozenset())
    with capture_logs() as logs:
        chronicle.take(look(5), censored=frozenset())
    assert [each["event"] for each in logs] == ["history.unfed"]
    await chronicle.aclose()
    assert not shelf.steps
