from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab.scenario.fault import FaultLine, Kind, Shape
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.load import mean_rps
from foreshard.lab.simulation.weather import Weather
from foreshard.model.errors import LabError
from tests.lab.simulation.playing import faults, line, play, same, scenario, weather

CHECKOUT, SEARCH, REPORT = range(3)


@settings(max_examples=12, deadline=None)
@given(st.lists(faults(), max_size=4))
def test_what_is_foreseen_at_the_start_is_what_happens_when_nobody_acts(
    told: list[FaultLine],
) -> None:
    if any(fault.shape is Shape.LOAD for fault in told):
        # Foreseen by its mean only.
        return
    played = weather(*told)
    truth = Foresight(played)
    foreseen = {to_s: truth.effects(to_s) for to_s in (80.0, 20.0, 50.0)}
    for to_s in (20.0, 50.0, 80.0):
        assert same(foreseen[to_s], play(played, to_s, step_s=0.1))


def test_a_leak_that_grows_with_load_is_foreseen_to_a_few_seconds() -> None:
    played = weather(line(Kind.LEAK, shape=Shape.LOAD, holds_s=math.inf))
    truth = Foresight(played)
    # The day's first half asks for more than the mean.
    ups = [bool(truth.effects(float(at_s)).is_up[1]) for at_s in (180, 195, 200, 207)]
    assert ups[:2] == [True, False]
    assert ups[3]


def test_the_truth_knows_what_a_restart_has_cured_and_plays_nothing_itself() -> None:
    played = weather(line(Kind.LEAK, holds_s=math.inf))
    truth = Foresight(played)
    assert not truth.effects(201.0).is_up[1]
    play(played, 150.0)
    played.restart("eu-2", 150.0)
    assert truth.effects(201.0).is_up[1]
    assert played.now_s == 150.0
    with pytest.raises(LabError, match="ask for now or later"):
        truth.effects(100.0)


def test_the_truth_tells_mean_demand_with_its_day_and_its_surges() -> None:
    fault = line(Kind.SURGE, magnitude=3.0, request_class="report")
    told = scenario(fault, origins=("eu", "us"))
    truth = Foresight(Weather(told, seed=1))
    mean = mean_rps(told)
    assert mean.sum() == pytest.approx(told.rate_rps())
    start = truth.demand_rps(0.0)
    assert start["us", "search"] == pytest.approx(mean[1, SEARCH])
    later = truth.demand_rps(200.0)
    swing = 1.0 + told.load.swing_ratio * math.sin(2.0 * math.pi * 200.0 / told.load.period_s)
    assert later["eu", "report"] == pytest.approx(3.0 * swing * mean[0, REPORT])
    assert later["eu", "checkout"] == pytest.approx(swing * mean[0, CHECKOUT])
