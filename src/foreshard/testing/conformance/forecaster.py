"""This module is the contract of forecasters: repeatable, ordered, silent on the unknown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from foreshard.forecast.forecaster import Forecaster
from foreshard.forecast.window import Window, WindowBuffer
from foreshard.model.errors import ForecastError
from foreshard.model.forecast import CellForecast, Forecast
from foreshard.model.telemetry import (
    CellMetrics,
    CellReading,
    ClassTraffic,
    Fresh,
    Gauge,
    Health,
    Missing,
    Observation,
)
from foreshard.model.workload import Needs, Priority, RequestClass
from foreshard.testing.conformance.verdict import require

__all__ = ["check_forecaster"]

CLASS = RequestClass(
    name="work",
    priority=Priority.NORMAL,
    weight=1.0,
    objective_s=1.0,
    timeout_s=2.0,
    declared=Needs(per_request={"cpu": 0.01}),
)
START_S = 1_000_000.0
TICKS = 90
LEAKY, SILENT = "leaky", "silent"
CALM = ("calm-1", "calm-2", "calm-3")
# Probabilities are sums of floats.
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Story:
    """A made-up minute and a half of a fleet.

    Attributes:
        leak_per_s: How fast the leaky cell's memory grows, in limits a second.
        cells: Which of them are there.
    """

    leak_per_s: float
    cells: tuple[str, ...] = (*CALM, LEAKY, SILENT)

    def window(self) -> Window:
        """The story as a forecaster gets it, one observation a second."""
        buffer = WindowBuffer((CLASS,), length=TICKS)
        for tick in range(TICKS):
            cells = {name: self._cell(name, tick) for name in self.cells}
            buffer.append(
                Observation(now_s=START_S + tick, interval_s=1.0, cells=cells, demand_rps=None)
            )
        return buffer.window()

    def _cell(self, name: str, tick: int) -> CellReading:
        if name == SILENT:
            return CellReading(health=Health.UNKNOWN, reading=Missing("no answer"))
        # Three beats that never line up: restless, and the same every time.
        ripple = 0.004 * (np.sin(1.1 * tick) + np.sin(2.3 * tick) + np.sin(3.7 * tick))
        to_go = self.leak_per_s * (TICKS - 1 - tick) if name == LEAKY else 0.0
        memory = max(0.1, (0.8 if name == LEAKY else 0.4) - to_go)
        gauges = {
            "memory": Gauge(used=float(memory + ripple), limit=1.0),
            "cpu": Gauge(used=float(0.5 + ripple), limit=1.0, scales_with_load=True),
        }
        metrics = CellMetrics(gauges=gauges, capacity={"cpu": 1.0}, started_at_s=START_S - 900.0)
        return CellReading(
            health=Health.UP,
            reading=Fresh(metrics=metrics, age_s=0.0),
            traffic={"work": ClassTraffic(rate_rps=50.0, latency_mean_s=0.1)},
        )


def check_forecaster(forecaster: Forecaster, *, history: Sequence[Window] = ()) -> None:
    """Hold a `Forecaster` to its contract.

    Args:
        forecaster: The model.
        history: What it is fitted on first; empty = a model that needs no training.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    model = forecaster.fit(history) if history else forecaster
    now_s = START_S + TICKS
    calm = _forecast(model, _Story(leak_per_s=0.0, cells=CALM).window(), now_s)
    # The leak arrives well within the first horizon, whatever scale of time the model has.
    window = _Story(leak_per_s=0.4 / calm.horizons_s[0]).window()
    before = _fingerprint(window)
    forecast = _forecast(model, window, now_s)
    require(_fingerprint(window) == before, "forecast: changed the window it was given")
    require(
        repr(_forecast(model, window, now_s)) == repr(forecast),
        "forecast: the same window gave two different forecasts; it must be deterministic",
    )
    _check_cells(forecast)
    _check_snapshot(model, forecast, window, now_s)
    try:
        model.forecast(window, (), now_s=START_S - 1.0)
    except ForecastError:
        return
    raise AssertionError("forecast: took a window that is newer than now_s; raise ForecastError")


def _forecast(model: Forecaster, window: Window, now_s: float) -> Forecast:
    forecast = model.forecast(window, (), now_s=now_s)
    newest_s = float(window.time_s[-1])
    require(forecast.model, "forecast: model is empty, must name the forecaster")
    require(
        forecast.made_at_s == newest_s,
        f"forecast: made_at_s is {forecast.made_at_s}, must be the newest observation "
        f"({newest_s})",
    )
    unknown = sorted(set(forecast.cells) - set(window.cells))
    require(not unknown, f"forecast: cells {unknown} are not in the window")
    for name, cell in forecast.cells.items():
        _check_risk(name, cell, forecast.horizons_s)
    return forecast


def _check_risk(name: str, cell: CellForecast, horizons_s: tuple[float, ...]) -> None:
    for what, curves in [("risk", cell.risk), *cell.modes.items()]:
        require(
            tuple(sorted(curves)) == horizons_s,
            f"cell {name}, {what}: horizons are {sorted(curves)}, must be {horizons_s}",
        )
        for short, long in pairwise(horizons_s):
            for load in sorted({*curves[short].loads, *curves[long].loads}):
                require(
                    curves[short].at(load) <= curves[long].at(load) + TOLERANCE,
                    f"cell {name}, {what} at load {load}: P within {short} s is "
                    f"{curves[short].at(load)}, over P within {long} s "
                    f"({curves[long].at(load)})",
                )
    for what, bands in [("risk", cell.risk_band), *cell.class_band.items()]:
        require(
            not bands or tuple(sorted(bands)) == horizons_s,
            f"cell {name}, band of {what}: horizons are {sorted(bands)}, must be {horizons_s}, "
            "or leave it out",
        )
    for gauge, time in cell.time_to_limit.items():
        require(
            0.0 <= time.q10_s <= time.q50_s <= time.q90_s,
            f"cell {name}, {gauge}: quantiles {time} must rise from 0",
        )


def _check_cells(forecast: Forecast) -> None:
    require(
        SILENT not in forecast.cells,
        "forecast: a cell of which nothing was ever heard is in it; leave it out, it is unknown "
        "and not free of risk",
    )
    missing = sorted({*CALM, LEAKY} - set(forecast.cells))
    require(not missing, f"forecast: cells {missing} are well known and are not in it")
    last = forecast.horizons_s[-1]
    leaky = forecast.cells[LEAKY].risk[last].at(1.0)
    calm = max(forecast.cells[name].risk[last].at(1.0) for name in CALM)
    require(
        leaky > calm,
        f"forecast: a cell whose memory reaches its limit in half a horizon has P {leaky}, a "
        f"calm one has {calm}",
    )


def _check_snapshot(model: Forecaster, forecast: Forecast, window: Window, now_s: float) -> None:
    snapshot = model.snapshot()
    try:
        text = json.dumps(snapshot, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"snapshot: is not plain JSON: {error}") from error
    restored = model.restore(json.loads(text))
    require(
        repr(restored.forecast(window, (), now_s=now_s)) == repr(forecast),
        "restore: the model that came back from its snapshot forecasts something else",
    )
    try:
        model.restore({"made by": "check_forecaster"})
    except ForecastError:
        return
    raise AssertionError("restore: took a snapshot that is none; raise ForecastError")


def _fingerprint(window: Window) -> tuple[bytes, ...]:
    return tuple(
        np.ascontiguousarray(a).tobytes() for a in (window.value, window.load, window.time_s)
    )
