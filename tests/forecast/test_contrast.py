from __future__ import annotations

import pytest

from foreshard.forecast.contrast import against_siblings
from foreshard.model.forecast import CellForecast, Forecast, RiskCurve


def cell(p: float, *, drift: float = 0.0, search: float | None = None) -> CellForecast:
    curve = RiskCurve(loads=(0.0, 1.0), p=(p / 2, p))
    return CellForecast(
        risk={60.0: curve},
        modes={"exhaustion:memory": {60.0: curve}} if p else {},
        class_risk={} if search is None else {"search": {60.0: search}},
        drift_low_per_s={"memory": drift},
    )


def fleet(**cells: CellForecast) -> Forecast:
    return Forecast(made_at_s=0.0, horizons_s=(60.0,), model="trend", cells=cells)


def test_a_lone_leak_stands_out_in_full() -> None:
    forecast = fleet(a=cell(0.8, drift=0.01), b=cell(0.0), c=cell(0.0), d=cell(0.1, drift=0.001))
    contrast = against_siblings(forecast, ["abcd"])["a"]
    assert contrast.is_telling
    assert contrast.siblings == 3
    assert contrast.modes["exhaustion:memory"][60.0] == pytest.approx(0.8)
    assert contrast.standing["exhaustion:memory"][60.0] == pytest.approx(0.4)
    assert contrast.drift_low_per_s["memory"] == pytest.approx(0.01)


def test_what_befalls_all_is_nobodys_own() -> None:
    forecast = fleet(**{name: cell(0.9, drift=0.01, search=0.7) for name in "abcd"})
    for contrast in against_siblings(forecast, ["abcd"]).values():
        assert contrast.modes["exhaustion:memory"][60.0] == 0.0
        assert contrast.class_risk["search"][60.0] == 0.0
        assert contrast.drift_low_per_s["memory"] == 0.0


def test_one_other_sick_cell_does_not_hide_a_sick_one() -> None:
    forecast = fleet(a=cell(0.9), b=cell(0.9), c=cell(0.0), d=cell(0.0))
    assert against_siblings(forecast, ["abcd"])["a"].modes["exhaustion:memory"][60.0] == 0.9


def test_groups_are_compared_within_themselves() -> None:
    forecast = fleet(a=cell(0.9), b=cell(0.9), c=cell(0.0), d=cell(0.0))
    result = against_siblings(forecast, ["ab", "cd", "ax"])
    assert result["a"].modes["exhaustion:memory"][60.0] == 0.0
    assert set(result) == {"a", "b", "c", "d"}


def test_too_few_siblings_are_said_to_be_too_few() -> None:
    result = against_siblings(fleet(a=cell(0.9), b=cell(0.0), c=cell(0.0)), ["abc"])
    assert not result["a"].is_telling
    alone = against_siblings(fleet(a=cell(0.9, search=0.4)), ["a"])["a"]
    assert (alone.siblings, alone.class_risk["search"][60.0]) == (0, 0.4)


def test_siblings_that_do_not_know_a_class_have_no_say_in_it() -> None:
    forecast = fleet(a=cell(0.0, search=0.9), b=cell(0.0), c=cell(0.0, search=0.2), d=cell(0.0))
    assert against_siblings(forecast, ["abcd"])["a"].class_risk["search"][60.0] == pytest.approx(
        0.7
    )
