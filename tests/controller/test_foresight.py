from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self, TypeVar

import numpy as np
import pytest
from structlog.testing import capture_logs

from foreshard.controller.foresight import Foresight, Standing
from foreshard.forecast.forecaster import Json
from foreshard.forecast.outlook import Outlook
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import Window, WindowBuffer
from foreshard.model.errors import ForecastError, StoreError
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Gauge, Health, Observation
from tests.engine.shop import CLASSES, HORIZONS_S, START_S, calm

T = TypeVar("T")

# The first forecast of a process compiles its kernels, here in the loop's own thread.
compiles = pytest.mark.may_block


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


class Adviser:
    """A trained model that says what the test says."""

    def __init__(self) -> None:
        self.says: Outlook | None = None
        self.because = ""

    def newest(self) -> Outlook | None:
        if self.because:
            raise StoreError(self.because)
        return self.says


def outlook(at_s: float, *, p: float = 0.4, broken: str = "") -> Outlook:
    trend = TrendForecaster(horizons_s=HORIZONS_S)
    by_gauge = np.full((2, len(trend.loads), 1, 1), p, dtype=np.float32)
    return Outlook(
        name="model-1",
        made_at_s=START_S + at_s,
        step_s=5.0,
        horizons_s=HORIZONS_S,
        loads=trend.loads,
        cells=("eu-1",),
        gauges=("memory",),
        by_gauge=by_gauge,
        any=by_gauge[..., 0],
        seen=np.array([10_000]),
        broken=broken,
    )


def seen(at_s: float) -> Observation:
    metrics = CellMetrics(gauges={"memory": Gauge(used=0.5 + 0.001 * (at_s % 3), limit=1.0)})
    reading = CellReading(health=Health.UP, reading=Fresh(metrics=metrics, age_s=0.0))
    return Observation(
        now_s=START_S + at_s, interval_s=1.0, cells={"eu-1": reading}, demand_rps=None
    )


async def advised(
    adviser: Adviser, *looks: float, foresight: Foresight | None = None
) -> Foresight:
    told = foresight or Foresight(
        TrendForecaster(horizons_s=HORIZONS_S),
        WindowBuffer(CLASSES, length=10),
        Gate(),
        every_s=1.0,
        adviser=adviser,
    )
    for at in looks:
        told.take(seen(at))
        await settle()
    return told


def model_of(foresight: Foresight) -> str:
    assert foresight.latest is not None
    return foresight.latest.model


@compiles
async def test_where_no_model_was_trained_the_trend_is_no_degradation() -> None:
    with capture_logs() as logs:
        foresight = await advised(Adviser(), 0, 1, 2, 3)
    assert model_of(foresight) == "trend"
    assert foresight.standing == Standing()
    assert not logs


@compiles
async def test_a_trained_model_is_taken_up_without_a_restart() -> None:
    adviser = Adviser()
    foresight = await advised(adviser, 0, 1, 2, 3)
    adviser.says = outlook(3.0)
    with capture_logs() as logs:
        await advised(adviser, 4, 5, foresight=foresight)
    assert model_of(foresight) == "model-1"
    assert foresight.latest is not None
    assert foresight.latest.cells["eu-1"].risk[HORIZONS_S[-1]].at(1.0) > 0.3
    assert foresight.standing.outlook_at_s == START_S + 3.0
    assert [each["event"] for each in logs] == ["forecast.learned"]


@compiles
@pytest.mark.parametrize(
    ("says", "because", "at_s", "code"),
    [
        (outlook(0.0), "", 16.0, "stale"),
        (outlook(4.0, broken="of the last 90 forecasts ..."), "", 4.0, "broken"),
        (None, "outlook: is damaged", 4.0, "silent"),
        (replace(outlook(4.0), horizons_s=(5.0, 6.0)), "", 4.0, "unfit"),
    ],
)
async def test_whatever_is_wrong_with_the_model_the_trend_takes_over_loudly_and_only_so_long(
    says: Outlook | None, because: str, at_s: float, code: str
) -> None:
    adviser = Adviser()
    adviser.says = outlook(0.0)
    foresight = await advised(adviser, 0, 1, 2, 3)
    assert model_of(foresight) == "model-1"
    adviser.says, adviser.because = says, because
    with capture_logs() as logs:
        await advised(adviser, at_s, at_s + 1, at_s + 2, foresight=foresight)
    assert model_of(foresight) == "trend"
    assert foresight.standing.code == code
    assert foresight.standing.degraded
    assert [(e["event"], e["log_level"]) for e in logs] == [("forecast.degraded", "error")]
    adviser.says, adviser.because = outlook(at_s + 2), ""
    with capture_logs() as logs:
        await advised(adviser, at_s + 3, at_s + 4, foresight=foresight)
    assert model_of(foresight) == "model-1"
    assert foresight.standing.degraded == ""
    assert [each["event"] for each in logs] == ["forecast.recovered"]


@compiles
async def test_what_the_engine_is_to_heed_besides_is_laid_over_what_the_model_says() -> None:
    adviser, heeded = Adviser(), list[Outlook]()
    adviser.says = outlook(0.0)

    def advised(said: Outlook) -> Oracle:
        heeded.append(said)
        return Oracle()

    foresight = Foresight(
        TrendForecaster(horizons_s=HORIZONS_S),
        WindowBuffer(CLASSES, length=10),
        Gate(),
        every_s=1.0,
        adviser=adviser,
        advised=advised,
    )
    await advised_looks(foresight)
    assert heeded == [adviser.says] * len(heeded)
    assert heeded
    assert model_of(foresight) == calm(0.0).model


async def advised_looks(foresight: Foresight) -> None:
    for at in range(4):
        foresight.take(seen(at))
        await settle()


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
