from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.announcement import AttentiveForecaster, events_by_cell
from foreshard.forecast.influence import Influences, Ratio
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import Window
from foreshard.model.errors import ForecastError
from foreshard.model.events import DependencyLevel, EventKind, SystemEvent
from foreshard.model.forecast import CellForecast, Forecast
from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Health, Missing, Observation
from foreshard.planning.sheet import sheet_of

GAUGES = ("memory", "latency:checkout", "latency:search")
NEEDS = {"checkout": frozenset({"payments"}), "search": frozenset({"index"})}
CELLS = ("a", "b", "c")
NOW_S = 10_000.0
# One in an hour, so that figures can be read.
SURE = Influences(
    onset_per_s=0.1 / 3600.0,
    class_onset_per_s=0.1 / 3600.0,
    ratio={
        "known_bug": Ratio(shape=1e6, expected=1e5),
        "deploy": Ratio(shape=1e6, expected=1e5),
        "dependency:partial_outage": Ratio(shape=1e6, expected=1e5),
        "dependency:major_outage": Ratio(shape=1e6, expected=1e4),
    },
)


def window(*, silent: tuple[tuple[str, str], ...] = ()) -> Window:
    rng = np.random.default_rng(1)
    value = 0.4 + rng.normal(0.0, 0.01, (len(CELLS), len(GAUGES), 90))
    for cell, gauge in silent:
        value[CELLS.index(cell), GAUGES.index(gauge)] = np.nan
    return Window(
        cells=CELLS,
        gauges=GAUGES,
        time_s=NOW_S + np.arange(-89.0, 1.0),
        value=value.astype(np.float32),
        load=np.full((len(CELLS), 90), 0.5, dtype=np.float32),
        scales_with_load=np.zeros(len(GAUGES), dtype=bool),
    )


def event(kind: EventKind, *cells: str, begins: float = 0.0, ends: float = 1e5) -> SystemEvent:
    return SystemEvent(
        id=f"{kind}-{cells}",
        kind=kind,
        cells=frozenset(cells),
        known_at_s=0.0,
        starts_at_s=NOW_S + begins,
        ends_at_s=NOW_S + ends,
    )


def outage(
    *cells: str,
    dependency: str = "payments",
    level: DependencyLevel = DependencyLevel.PARTIAL_OUTAGE,
) -> SystemEvent:
    return replace(event(EventKind.DEPENDENCY, *cells), dependency=dependency, level=level)


def foresee(
    *events: SystemEvent,
    influences: Influences = SURE,
    seen: Window | None = None,
) -> Forecast:
    forecaster = AttentiveForecaster(
        inner=TrendForecaster(horizons_s=(300.0, 3600.0)), needs=NEEDS, influences=influences
    )
    return forecaster.forecast(seen or window(), events, now_s=NOW_S)


def p(cell: CellForecast, horizon_s: float = 3600.0, load: float = 1.0) -> float:
    return cell.risk[horizon_s].at(load)


HOUR = 1.0 - np.exp(-0.9)


def test_a_bug_raises_the_risk_of_its_cells_at_every_load_and_of_no_other() -> None:
    forecast = foresee(event(EventKind.KNOWN_BUG, "b"))
    for load in (0.0, 0.5, 1.0, 1.5):
        assert p(forecast.cells["b"], load=load) == pytest.approx(HOUR, abs=0.01)
    assert forecast.cells["b"].modes["known_bug"][3600.0].standing == pytest.approx(HOUR, abs=0.01)
    assert p(forecast.cells["a"]) < 0.01
    assert "known_bug" not in forecast.cells["a"].modes


def test_only_the_part_of_the_horizon_that_lies_in_the_window_counts() -> None:
    forecast = foresee(event(EventKind.DEPLOY, "b", begins=1800.0))
    assert p(forecast.cells["b"]) == pytest.approx(1.0 - np.exp(-0.45), abs=0.01)
    assert p(forecast.cells["b"], 300.0) < 0.01


def test_hazards_add() -> None:
    both = foresee(event(EventKind.KNOWN_BUG, "b"), event(EventKind.DEPLOY, "b"))
    assert p(both.cells["b"]) == pytest.approx(1.0 - np.exp(-1.8), abs=0.01)


def test_what_the_metrics_show_is_never_lowered_and_adds_up() -> None:
    seen = window()
    value = seen.value.copy()
    value[1, 0] = np.linspace(0.5, 0.9, 90) + np.random.default_rng(2).normal(0.0, 0.01, 90)
    leaking = replace(seen, value=value)
    alone = p(foresee(seen=leaking).cells["b"], 300.0)
    told = p(foresee(event(EventKind.KNOWN_BUG, "b"), seen=leaking).cells["b"], 300.0)
    bug = 1.0 - np.exp(-0.9 / 12.0)
    assert told == pytest.approx(1.0 - (1.0 - alone) * (1.0 - bug), abs=0.002)


def test_a_sick_dependency_hurts_the_classes_that_need_it_and_no_other() -> None:
    before, after = foresee(), foresee(outage())
    for cell in CELLS:
        class_risk = after.cells[cell].class_risk
        assert class_risk["checkout"][3600.0] == pytest.approx(HOUR, abs=0.01)
        assert class_risk["search"] == before.cells[cell].class_risk["search"]
        # One class suffers, and another does not: the cell is well.
        assert p(after.cells[cell]) < 0.01


def test_a_dependency_that_every_class_needs_puts_the_cell_at_risk() -> None:
    forecast = foresee(outage("b"), outage("b", dependency="index"))
    assert p(forecast.cells["b"]) == pytest.approx(HOUR, abs=0.01)
    assert p(forecast.cells["a"]) < 0.01


def test_a_worse_level_is_a_greater_risk_and_operational_is_none() -> None:
    risks = [
        foresee(outage(level=level), influences=Influences())
        .cells["a"]
        .class_risk["checkout"][3600.0]
        for level in (
            DependencyLevel.OPERATIONAL,
            DependencyLevel.DEGRADED_PERFORMANCE,
            DependencyLevel.UNDER_MAINTENANCE,
            DependencyLevel.PARTIAL_OUTAGE,
            DependencyLevel.MAJOR_OUTAGE,
        )
    ]
    assert risks == sorted(risks)
    assert risks[0] == foresee().cells["a"].class_risk["checkout"][3600.0]
    assert risks[-1] > 0.7


def test_a_class_of_which_nothing_was_seen_is_known_to_suffer() -> None:
    forecast = foresee(outage(), seen=window(silent=(("b", "latency:checkout"),)))
    assert forecast.cells["b"].class_risk["checkout"][3600.0] == pytest.approx(HOUR, abs=0.01)
    assert forecast.cells["b"].drift_low_per_s["latency:checkout"] == 0.0
    assert "checkout" not in forecast.cells["b"].time_to_limit


def test_maintenance_is_certain_whatever_else_is_heard() -> None:
    forecast = foresee(event(EventKind.MAINTENANCE, "b"), event(EventKind.KNOWN_BUG, "b"))
    assert p(forecast.cells["b"], 300.0, 0.0) == 1.0


def test_what_becomes_known_later_changes_nothing_now() -> None:
    later = replace(event(EventKind.KNOWN_BUG, "b"), known_at_s=NOW_S + 1.0)
    assert p(foresee(later).cells["b"]) == p(foresee().cells["b"])


def test_the_columns_say_what_the_cells_say() -> None:
    forecast = foresee(event(EventKind.KNOWN_BUG, "b"), outage("c"))
    sheet = sheet_of(forecast)
    loads, columns = sheet.risk(3600.0)
    for row, name in zip(columns.tolist(), sheet.names, strict=True):
        told = [forecast.cells[name].risk[3600.0].at(load) for load in loads.tolist()]
        assert row == pytest.approx(told)
    checkout = sheet.class_risk("checkout", 3600.0)
    told = [forecast.cells[name].class_risk["checkout"][3600.0] for name in sheet.names]
    assert checkout.tolist() == pytest.approx(told)


def test_bands_hold_what_was_added() -> None:
    forecast = foresee(event(EventKind.KNOWN_BUG, "b"), outage("c"))
    band = forecast.cells["b"].risk_band[3600.0]
    assert band.low == pytest.approx(HOUR, abs=0.01)
    of_class = forecast.cells["c"].class_band["checkout"][3600.0]
    assert of_class.low == pytest.approx(HOUR, abs=0.01)


def test_a_longer_horizon_is_never_less_likely() -> None:
    told = foresee(event(EventKind.KNOWN_BUG), outage(), event(EventKind.DEPLOY, begins=200.0))
    for cell in told.cells.values():
        assert p(cell, 300.0) <= p(cell, 3600.0)


def test_no_events_leave_the_forecast_alone() -> None:
    plain = TrendForecaster(horizons_s=(300.0, 3600.0)).forecast(window(), (), now_s=NOW_S)
    assert dict(foresee().cells) == dict(plain.cells)


def test_a_bug_is_told_of_the_cells_that_run_its_version() -> None:
    def reading(version: str | None) -> CellReading:
        metrics = CellMetrics(gauges={}, version=version or "")
        return CellReading(
            reading=Fresh(metrics=metrics, age_s=0.0) if version else Missing("silent"),
            health=Health.UP,
        )

    bug = replace(event(EventKind.KNOWN_BUG), version="4.2")
    cells = {"a": reading("4.1"), "b": reading("4.2"), "c": reading(None)}
    observation = Observation(
        now_s=NOW_S, interval_s=1.0, cells=cells, demand_rps=None, events=(bug,)
    )
    (told,) = events_by_cell(observation)
    assert told.cells == {"b"}
    elsewhere = replace(observation, events=(replace(bug, version="9"),))
    assert events_by_cell(elsewhere) == ()


def test_it_is_restored_as_it_was() -> None:
    forecaster = AttentiveForecaster(inner=TrendForecaster(), needs=NEEDS, influences=SURE)
    written = json.loads(json.dumps(forecaster.snapshot()))
    blank = AttentiveForecaster(inner=TrendForecaster(horizons_s=(1.0,)), needs=NEEDS)
    assert blank.restore(written).snapshot() == forecaster.snapshot()
    with pytest.raises(ForecastError, match="no inner model"):
        blank.restore({})


def test_fitting_fits_what_is_inside() -> None:
    fitted: Sequence[Window] = [window()]
    forecaster = AttentiveForecaster(inner=TrendForecaster(), needs=NEEDS)
    assert forecaster.fit(fitted) == forecaster
