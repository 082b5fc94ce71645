from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.forecast import CellForecast, TimeToLimit
from foreshard.planning.judgement import (
    cell_doubts,
    class_doubts,
    describe_s,
    describe_span,
)
from foreshard.planning.thresholds import Thresholds
from tests.engine.shop import CELLS, calm, leaking, slow_class

P = st.floats(0.0, 1.0)


def drifting(p: float, drift: float) -> CellForecast:
    return replace(leaking(p_long=p, p_short=0.0), drift_low_per_s={"memory": drift})


def test_a_cell_that_leaks_alone_is_doubted_for_its_gauge_with_its_times() -> None:
    doubts = cell_doubts(calm(0.0, eu_2=leaking(0.9, 0.3)), serving=CELLS, floor=0.2)
    assert list(doubts) == ["eu-2"]
    doubt = doubts["eu-2"]
    assert (doubt.gauge, doubt.p_long, doubt.p_short) == ("memory", 0.9, 0.3)
    assert doubt.text == "memory reaches its limit in 40 s (80 %: 30 s to 55 s)"


def test_what_all_cells_do_is_held_against_none() -> None:
    rising = {name.replace("-", "_"): leaking() for name in CELLS}
    assert not cell_doubts(calm(0.0, **rising), serving=CELLS, floor=0.2)


def test_a_probability_without_a_drift_is_not_believed() -> None:
    flat = drifting(0.95, 0.0)
    assert not cell_doubts(calm(0.0, eu_2=flat), serving=CELLS, floor=0.2)


def test_a_probability_that_was_held_against_the_past_needs_no_drift() -> None:
    by_the_clock = replace(drifting(0.95, 0.0), is_calibrated=True)
    doubt = cell_doubts(calm(0.0, eu_2=by_the_clock), serving=CELLS, floor=0.2)["eu-2"]
    assert (doubt.gauge, doubt.p_long, doubt.span) == ("memory", 0.95, None)
    assert doubt.text == "memory reaches its limit within 1 min 0 s"
    assert doubt.begins(Thresholds())


@pytest.mark.parametrize(
    ("p", "alone", "beside_a_drift"), [(0.85, True, True), (0.6, False, True)]
)
def test_without_a_drift_it_takes_more_of_a_probability(
    p: float, *, alone: bool, beside_a_drift: bool
) -> None:
    for drift, begins in ((0.0, alone), (0.01, beside_a_drift)):
        said = replace(drifting(p, drift), is_calibrated=True)
        doubt = cell_doubts(calm(0.0, eu_2=said), serving=CELLS, floor=0.2)["eu-2"]
        assert doubt.begins(Thresholds()) is begins


def test_what_a_calibrated_model_says_of_all_cells_is_held_against_none() -> None:
    rising = replace(drifting(0.95, 0.0), is_calibrated=True)
    cells = {name.replace("-", "_"): rising for name in CELLS}
    assert not cell_doubts(calm(0.0, **cells), serving=CELLS, floor=0.2)


def test_a_drift_no_faster_than_the_siblings_is_not_believed() -> None:
    cells = {name.replace("-", "_"): drifting(0.0, 0.01) for name in CELLS}
    cells["eu_2"] = drifting(0.95, 0.01)
    assert not cell_doubts(calm(0.0, **cells), serving=CELLS, floor=0.2)


def test_a_lone_cell_is_judged_by_itself() -> None:
    assert cell_doubts(calm(0.0, ("eu-1",), eu_1=leaking()), serving=("eu-1",), floor=0.2)


@given(P, P, st.floats(-0.1, 0.1))
def test_a_doubt_is_never_stronger_than_the_probability(p: float, q: float, drift: float) -> None:
    cells = {name.replace("-", "_"): drifting(q, 0.0) for name in CELLS}
    cells["eu_2"] = drifting(p, drift)
    for doubt in cell_doubts(calm(0.0, **cells), serving=CELLS, floor=0.2).values():
        assert 0.2 <= doubt.p_long <= p
        assert 0.0 <= doubt.p_short <= 1.0
        assert drift > 0.0


def test_a_class_that_suffers_alone_is_doubted_and_its_cell_is_not() -> None:
    forecast = calm(0.0, eu_1=slow_class("search"))
    assert set(class_doubts(forecast, serving=CELLS, thresholds=Thresholds())) == {
        ("search", "eu-1")
    }
    assert not cell_doubts(forecast, serving=CELLS, floor=0.2)


def test_a_class_that_suffers_everywhere_is_left_where_it_is() -> None:
    everywhere = {name.replace("-", "_"): slow_class("search") for name in CELLS}
    doubts = class_doubts(calm(0.0, **everywhere), serving=CELLS, thresholds=Thresholds())
    assert not doubts


def test_where_all_classes_suffer_the_cell_suffers_and_no_class() -> None:
    sick = slow_class("search")
    all_sick = replace(sick, class_risk=dict.fromkeys(sick.class_risk, sick.class_risk["search"]))
    forecast = calm(0.0, eu_1=all_sick)
    assert not class_doubts(forecast, serving=CELLS, thresholds=Thresholds())


def test_a_class_in_a_cell_out_of_service_is_not_doubted() -> None:
    forecast = calm(0.0, eu_1=slow_class("search"))
    assert not class_doubts(forecast, serving=CELLS[1:], thresholds=Thresholds())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (220.0, "3 min 40 s"),
        (7_500.0, "2 h 5 min"),
        (inf, "never"),
    ],
)
def test_durations_are_said_in_plain_words(seconds: float, words: str) -> None:
    assert describe_s(seconds) == words


def test_an_unknown_time_is_not_made_up() -> None:
    never = TimeToLimit(q10_s=30.0, q50_s=inf, q90_s=inf)
    assert describe_span(None) == describe_span(never) == "some time within the horizon"


@pytest.mark.parametrize(
    "changes", [{"relent_p": 0.5}, {"relent_p": 0.0}, {"doubt_p": 1.1}, {"doubt_s": -1.0}]
)
def test_thresholds_without_hysteresis_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match="thresholds: "):
        Thresholds(**changes)
