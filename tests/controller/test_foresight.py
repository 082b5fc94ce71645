from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TypeVar

from structlog.testing import capture_logs

from foreshard.controller.foresight import Foresight
from foreshard.forecast.forecaster import Json
from foreshard.forecast.window import Window, WindowBuffer
from foreshard.model.errors import ForecastError
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.telemetry import Observation
from tests.engine.shop import CLASSES, START_S, calm

T = TypeVar("T")


class Oracle:
    """A forecaster that says when it was asked, or fails."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.fails = False

    def fit(self, history: Sequence[Window]) -> Self:
        return self

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        self.asked.append(now_s - START_S)
        if self.fails:
            raise ForecastError("too little is known")
        return calm(now_s)

    def snapshot(self) -> Mapping[str, Json]:
        return {}

    def restore(self, snapshot: Mapping[str, Json]) -> Self:
        return self


class Gate:
    """An executor whose work ends when the test says so."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def run(self, work: Callable[[], T]) -> T:
        await self.open.wait()
        return work()


def look(at_s: float) -> Observation:
    return Observation(now_s=START_S + at_s, interval_s=1.0, cells={}, demand_rps=None)


def stage() -> tuple[Foresight, Oracle, Gate]:
    oracle, gate = Oracle(), Gate()
    buffer = WindowBuffer(CLASSES, length=10)
    return Foresight(oracle, buffer, gate, every_s=3.0), oracle, gate


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_forecast_is_made_every_so_often_and_the_newest_is_given() -> None:
    foresight, oracle, _ = stage()
    for at in range(8):
        foresight.take(look(at))
        await settle()
    assert oracle.asked == [0.0, 3.0, 6.0]
    assert foresight.latest is not None
    assert foresight.latest.made_at_s == START_S + 6.0


async def test_the_tick_never_waits_and_only_one_forecast_is_made_at_a_time() -> None:
    foresight, oracle, gate = stage()
    gate.open.clear()
    for at in range(20):
        foresight.take(look(at))
        await settle()
    assert oracle.asked == []
    assert foresight.latest is None
    gate.open.set()
    await settle()
    foresight.take(look(20))
    await foresight.aclose()
    assert oracle.asked == [0.0, 20.0]


async def test_a_failed_forecast_leaves_the_one_before_and_is_said() -> None:
    foresight, oracle, _ = stage()
    foresight.take(look(0))
    await settle()
    oracle.fails = True
    with capture_logs() as logs:
        foresight.take(look(3))
        await settle()
    assert foresight.latest is not None
    assert foresight.latest.made_at_s == START_S
    assert [(e["event"], e["kept"]) for e in logs] == [("forecast.failed", True)]
    oracle.fails = False
    foresight.take(look(6))
    await foresight.aclose()
    assert foresight.latest.made_at_s == START_S + 6.0


async def test_a_look_that_is_not_newer_is_said_and_left_out() -> None:
    foresight, oracle, _ = stage()
    foresight.take(look(5))
    with capture_logs() as logs:
        foresight.take(look(5))
        foresight.take(look(4))
    assert [e["event"] for e in logs] == ["forecast.unfed"] * 2
    await foresight.aclose()
    assert oracle.asked == [5.0]


async def test_closing_before_anything_was_taken_returns_at_once() -> None:
    foresight, _, _ = stage()
    await foresight.aclose()
