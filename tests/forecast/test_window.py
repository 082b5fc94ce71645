from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.window import Window, WindowBuffer
from foreshard.model.errors import ForecastError
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

SEARCH = RequestClass(
    name="search",
    priority=Priority.NORMAL,
    weight=3.0,
    objective_s=0.5,
    timeout_s=2.5,
    declared=Needs(per_request={"cpu": 0.024}),
)


def reading(
    *,
    memory: float = 0.4,
    age_s: float = 0.2,
    rate_rps: float = 50.0,
    started_at_s: float = 10.0,
    more: dict[str, float] | None = None,
) -> CellReading:
    gauges = {"memory": Gauge(used=memory, limit=1.0)}
    gauges["cpu"] = Gauge(used=1.2, limit=3.0, scales_with_load=True)
    gauges |= {name: Gauge(used=used, limit=1.0) for name, used in (more or {}).items()}
    metrics = CellMetrics(gauges=gauges, capacity={"cpu": 3.0}, started_at_s=started_at_s)
    traffic = ClassTraffic(rate_rps=rate_rps, failed_ratio=0.01, latency_mean_s=0.05)
    return CellReading(
        health=Health.UP,
        reading=Fresh(metrics=metrics, age_s=age_s),
        traffic={"search": traffic},
    )


def void(reading: CellReading) -> CellReading:
    """The same cell with a meter that reads zero everywhere."""
    assert isinstance(reading.reading, Fresh)
    metrics = reading.reading.metrics
    gauges = {name: replace(gauge, used=0.0) for name, gauge in metrics.gauges.items()}
    return replace(
        reading, reading=replace(reading.reading, metrics=replace(metrics, gauges=gauges))
    )


def observe(now_s: float, **cells: CellReading) -> Observation:
    return Observation(now_s=now_s, interval_s=1.0, cells=cells, demand_rps=None)


def series(window: Window, cell: str, gauge: str) -> list[float]:
    c, g = window.cells.index(cell), window.gauges.index(gauge)
    return [float(v) for v in window.value[c, g]]


def test_gauges_are_fractions_of_their_limits() -> None:
    buffer = WindowBuffer([SEARCH], length=10)
    buffer.append(observe(1.0, a=reading()))
    window = buffer.window()
    assert series(window, "a", "memory") == [pytest.approx(0.4)]
    assert series(window, "a", "cpu") == [pytest.approx(0.4)]
    assert series(window, "a", "latency:search") == [pytest.approx(0.1)]
    assert series(window, "a", "errors:search") == [pytest.approx(0.2)]
    assert window.load[0, 0] == pytest.approx(50 * 0.024 / 3.0)
    assert dict(zip(window.gauges, window.scales_with_load, strict=True))["cpu"]


def test_the_oldest_observation_is_forgotten_first() -> None:
    buffer = WindowBuffer([SEARCH], length=4)
    for i in range(7):
        buffer.append(observe(float(i + 1), a=reading(memory=i / 10)))
    window = buffer.window()
    assert window.time_s.tolist() == [4.0, 5.0, 6.0, 7.0]
    assert series(window, "a", "memory") == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert len(buffer) == 4


def test_a_stale_reading_is_unknown_not_repeated() -> None:
    buffer = WindowBuffer([SEARCH], length=4)
    buffer.append(observe(1.0, a=reading()))
    buffer.append(observe(2.0, a=reading(age_s=1.8)))
    values = series(buffer.window(), "a", "memory")
    assert math.isnan(values[1])
    assert not math.isnan(series(buffer.window(), "a", "latency:search")[1])


def test_a_cell_that_uses_nothing_at_all_says_nothing_unless_it_is_idle() -> None:
    served = void(reading())
    unheard = replace(void(reading()), traffic=None)
    idle = void(reading(rate_rps=0.0))
    buffer = WindowBuffer((SEARCH,), length=2)
    buffer.append(observe(1.0, a=served, b=unheard, c=idle))
    window = buffer.window()
    assert np.isnan(series(window, "a", "memory")).all()
    assert np.isnan(series(window, "b", "memory")).all()
    assert series(window, "c", "memory") == [0.0]


def test_few_requests_say_nothing_of_latency() -> None:
    buffer = WindowBuffer([SEARCH], length=4, gauges=["latency:search"])
    buffer.append(observe(1.0, a=reading(rate_rps=3.0)))
    assert math.isnan(series(buffer.window(), "a", "latency:search")[0])
    assert buffer.window().load[0, 0] == pytest.approx(3 * 0.024 / 3.0)


def test_a_silent_balancer_is_not_falling_demand() -> None:
    silent = CellReading(health=Health.UNKNOWN, reading=Missing("refused"))
    buffer = WindowBuffer([SEARCH], length=4)
    buffer.append(observe(1.0, a=reading()))
    buffer.append(observe(2.0, a=silent))
    window = buffer.window()
    assert np.isnan(window.load[0, 1])
    assert np.isnan(window.value[0, :, 1]).all()


def test_a_restart_wipes_the_past_of_its_cell_alone() -> None:
    buffer = WindowBuffer([SEARCH], length=4)
    for i in range(2):
        buffer.append(observe(float(i + 1), a=reading(), b=reading()))
    buffer.append(observe(3.0, a=reading(started_at_s=12.5), b=reading()))
    window = buffer.window()
    assert np.isnan(window.value[0, :, :2]).all()
    assert not np.isnan(series(window, "a", "memory")[2])
    assert not np.isnan(window.value[1]).any()


def test_cells_and_gauges_may_appear_later() -> None:
    buffer = WindowBuffer([SEARCH], length=4)
    buffer.append(observe(1.0, a=reading()))
    buffer.append(observe(2.0, a=reading(more={"disk": 0.7}), b=reading()))
    window = buffer.window()
    assert window.cells == ("a", "b")
    assert series(window, "a", "disk") == [
        pytest.approx(math.nan, nan_ok=True),
        pytest.approx(0.7),
    ]
    assert np.isnan(window.value[1, :, 0]).all()


def test_time_must_move_forwards() -> None:
    buffer = WindowBuffer([SEARCH], length=4)
    buffer.append(observe(2.0, a=reading()))
    with pytest.raises(ForecastError, match="not newer"):
        buffer.append(observe(2.0, a=reading()))


def test_a_buffer_of_one_is_refused() -> None:
    with pytest.raises(ForecastError, match="length is 1"):
        WindowBuffer([SEARCH], length=1)
