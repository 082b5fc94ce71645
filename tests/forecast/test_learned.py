from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.learned import EVIDENCE_STEPS, LearnedForecaster, blended
from foreshard.forecast.learner import Risk, Snapshot
from foreshard.forecast.outlook import Outlook, outlook_of
from foreshard.forecast.past import Past
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import Window
from foreshard.model.errors import ForecastError
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.planning.sheet import sheet_of
from foreshard.testing import check_forecaster

TREND = TrendForecaster(horizons_s=(60.0, 600.0))
CELLS = ("a", "b", "c")
GAUGES = ("memory", "cpu")


@dataclass(frozen=True, slots=True)
class Level:
    """A model that is not fitted: the level is the risk, and what scales grows with the load."""

    horizons_s: tuple[float, ...] = TREND.horizons_s
    name: ClassVar[str] = "level"

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        value = history.value[None, None, :, :, at]
        factor = np.where(history.scales_with_load[None, :], np.array(loads)[:, None], 1.0)[
            None, :, None, :, None
        ]
        far = np.array(self.horizons_s)[:, None, None, None, None] / self.horizons_s[-1]
        p = np.clip(value * factor * far, 0.0, 1.0).astype(np.float32)
        return Risk(any=np.fmax.reduce(p, axis=3), by_gauge=p)

    def snapshot(self) -> Snapshot:
        return Snapshot(kind="level", settings={})


def window(**levels: float) -> Window:
    """Ninety calm seconds of three cells; the memory of the named ones is as said."""
    t = np.arange(90, dtype=np.float64)
    value = np.full((3, 2, 90), 0.3, dtype=np.float32)
    value += (0.002 * np.sin(1.3 * t)).astype(np.float32)
    for name, slope in levels.items():
        value[CELLS.index(name), 0] = 0.3 + slope * t
    return Window(
        cells=CELLS,
        gauges=GAUGES,
        time_s=1e6 + t,
        value=value,
        load=np.full((3, 90), 0.5, dtype=np.float32),
        scales_with_load=np.array([False, True]),
    )


def outlook(p: float, *, seen: int = 10_000, cells: tuple[str, ...] = CELLS) -> Outlook:
    shape = (2, len(TREND.loads), len(cells), 2)
    by_gauge = np.zeros(shape, dtype=np.float32)
    by_gauge[..., 0] = p
    by_gauge[0] *= 0.5
    return Outlook(
        name="model-1",
        made_at_s=1e6,
        step_s=60.0,
        horizons_s=TREND.horizons_s,
        loads=TREND.loads,
        cells=cells,
        gauges=GAUGES,
        by_gauge=by_gauge,
        any=by_gauge.max(axis=3),
        seen=np.full(len(cells), seen),
    )


def trend(**levels: float) -> Forecast:
    return TREND.forecast(window(**levels), (), now_s=1e6 + 90.0)


def p_of(forecast: Forecast, cell: str, horizon_s: float = 600.0) -> float:
    return forecast.cells[cell].risk[horizon_s].at(1.0)


def test_a_cell_that_is_long_known_stands_on_the_model_and_says_so() -> None:
    told = blended(trend(), outlook(0.4))
    assert p_of(told, "a") == pytest.approx(0.4, abs=0.01)
    assert p_of(told, "a", 60.0) == pytest.approx(0.2, abs=0.01)
    assert told.cells["a"].modes["exhaustion:memory"][600.0].at(1.0) == p_of(told, "a")
    assert told.cells["a"].model == told.model == "model-1"
    assert told.cells["a"].is_calibrated
    assert not told.cells["a"].risk_band
    assert told.made_at_s == trend().made_at_s


def test_the_reasons_of_the_model_are_given_where_the_model_speaks() -> None:
    said = replace(outlook(0.4), because={"a": ("memory: level now 0.97",)})
    assert blended(trend(), said).cells["a"].because == ("memory: level now 0.97",)
    assert blended(trend(), said).cells["b"].because == ()
    young = replace(said, seen=np.full(len(CELLS), 10))
    assert blended(trend(), young).cells["a"].because == ()


def test_the_model_takes_over_as_evidence_grows() -> None:
    risks = [
        p_of(blended(trend(), outlook(0.4, seen=seen)), "a")
        for seen in (0, 10, int(EVIDENCE_STEPS), 600, 100_000)
    ]
    assert risks == sorted(risks)
    assert risks[0] == p_of(trend(), "a")
    assert risks[2] == pytest.approx(0.5 * (p_of(trend(), "a") + 0.4), abs=0.01)
    young = blended(trend(), outlook(0.4, seen=10)).cells["a"]
    assert young.model == "trend"
    assert not young.is_calibrated


def test_a_cell_of_which_the_model_says_nothing_stands_on_the_trend() -> None:
    plain = trend(c=0.002)
    told = blended(plain, outlook(0.4, cells=("a", "b")))
    assert told.cells["c"].model == "trend"
    assert told.cells["c"].risk == plain.cells["c"].risk
    assert told.cells["c"].risk_band == plain.cells["c"].risk_band


def test_what_fills_within_the_shortest_horizon_is_not_weighed_down() -> None:
    plain = trend(b=0.0075)
    assert p_of(plain, "b", 60.0) > 0.9
    told = blended(plain, outlook(0.0))
    assert p_of(told, "b", 60.0) >= p_of(plain, "b", 60.0)
    # An hour away it is the model's to say.
    slow = trend(b=0.0012)
    assert p_of(slow, "b", 600.0) > 0.9
    assert p_of(blended(slow, outlook(0.05)), "b", 600.0) < 0.1


def test_what_is_taken_as_evidence_of_a_drift_is_the_trends() -> None:
    plain, told = trend(b=0.004), blended(trend(b=0.004), outlook(0.4))
    one, other = sheet_of(plain), sheet_of(told)
    np.testing.assert_array_equal(one.drift_low_per_s("memory"), other.drift_low_per_s("memory"))
    assert told.cells["b"].time_to_limit == plain.cells["b"].time_to_limit


def test_announced_maintenance_stays_certain() -> None:
    event = SystemEvent(
        id="m",
        kind=EventKind.MAINTENANCE,
        cells=frozenset({"a"}),
        known_at_s=1e6,
        starts_at_s=1e6 + 100.0,
        ends_at_s=1e6 + 200.0,
    )
    plain = TREND.forecast(window(), (event,), now_s=1e6 + 90.0)
    assert p_of(blended(plain, outlook(0.1)), "a") == 1.0


def test_a_model_that_is_told_of_classes_drains_no_cell_over_one_of_them() -> None:
    said = outlook(0.1)
    with_class = replace(
        said,
        gauges=("memory", "latency:search"),
        any=np.full_like(said.any, 0.9),
    )
    assert p_of(blended(trend(), with_class), "a") < 0.2
    assert p_of(blended(trend(), replace(said, any=np.full_like(said.any, 0.9))), "a") > 0.8


def test_an_outlook_for_other_horizons_is_refused() -> None:
    with pytest.raises(ForecastError, match="train anew"):
        blended(trend(), replace(outlook(0.1), horizons_s=(60.0, 900.0)))


@given(
    seen=st.integers(0, 5_000),
    p=st.lists(st.floats(0.0, 1.0, width=32), min_size=3, max_size=3),
    slope=st.floats(-0.003, 0.01),
)
def test_a_blend_rises_with_the_horizon_and_with_the_load(
    seen: int, p: list[float], slope: float
) -> None:
    base = outlook(1.0, seen=seen)
    scaled = base.by_gauge * np.array(p, dtype=np.float32)[None, None, :, None]
    told = blended(trend(b=slope), replace(base, by_gauge=scaled, any=scaled.max(axis=3)))
    for cell in told.cells.values():
        for load in TREND.loads:
            assert cell.risk[60.0].at(load) <= cell.risk[600.0].at(load)
        for curve in cell.risk.values():
            assert list(curve.p) == sorted(curve.p)


def test_without_a_memory_the_forecaster_is_the_trend() -> None:
    forecaster = LearnedForecaster(model=Level(), name="level-1", trend=TREND)
    assert repr(forecaster.forecast(window(), (), now_s=2e6)) == repr(
        TREND.forecast(window(), (), now_s=2e6)
    )
    check_forecaster(forecaster)


def test_with_a_memory_it_asks_the_model() -> None:
    history = History.of_gauges(
        np.full((3, 2, 5_000), 0.7, dtype=np.float32), cells=CELLS, gauges=GAUGES, step_s=60.0
    )
    past = Past()
    past.extend(history)
    forecaster = LearnedForecaster(model=Level(), name="level-1", trend=TREND)
    told = forecaster.forecast(replace(window(), past=past.history()), (), now_s=2e6)
    assert p_of(told, "a") == pytest.approx(0.7, abs=0.02)
    assert told.model == "level-1"


def test_an_outlook_says_how_much_it_rests_on() -> None:
    value = np.full((3, 2, 30), 0.5, dtype=np.float32)
    value[1, :, 10:] = np.nan
    value[2, 0] = np.nan
    history = History.of_gauges(value, cells=CELLS, gauges=GAUGES, step_s=60.0)
    said = outlook_of("m", Level(), history, loads=(0.0, 1.0))
    assert said.seen.tolist() == [30, 10, 30]
    assert np.isnan(said.any[:, :, 1]).all()
    with pytest.raises(ForecastError, match="nothing is remembered"):
        outlook_of("m", Level(), history.until(0), loads=(0.0, 1.0))
