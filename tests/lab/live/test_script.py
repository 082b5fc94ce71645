from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.config.scenario import load_scenario
from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.live.script import script_of
from foreshard.lab.scenario.fault import FaultLine, Kind, Shape
from foreshard.lab.simulation.load import day, mean_rps
from foreshard.lab.simulation.weather import Weather
from foreshard.lab.traffic import arrivals
from foreshard.model.errors import LabError


def test_a_leak_grows_until_the_kill_and_is_not_cleared_before() -> None:
    (spec,) = script_of(load_scenario("live-leak")).faults
    assert (spec.fault.kind, spec.cells, spec.fault.magnitude) == (FaultKind.LEAK, ("eu-2",), 1.0)
    assert (spec.at_s, spec.fault.duration_s, spec.lasts_s) == (30.0, 40.0, 40.0)


def test_a_fault_of_several_cells_befalls_each_in_its_turn() -> None:
    rolling = FaultLine(
        kind=Kind.THROTTLE,
        cells=("eu-1", "us-2"),
        at_s=10.0,
        holds_s=20.0,
        magnitude=0.5,
        shape=Shape.STEP,
        stagger_s=5.0,
    )
    script = script_of(replace(load_scenario("live-leak"), faults=(rolling,)))
    assert [(s.cells, s.at_s, s.ends_s) for s in script.faults] == [
        (("eu-1",), 10.0, 30.0),
        (("us-2",), 15.0, 35.0),
    ]
    assert all(spec.fault.duration_s < 0.1 for spec in script.faults)


def test_maintenance_is_off_for_as_long_as_it_holds_and_is_told_before() -> None:
    planned = FaultLine(
        kind=Kind.MAINTENANCE, cells=("eu-1",), at_s=40.0, holds_s=12.0, known_s=10.0
    )
    (spec,) = script_of(replace(load_scenario("live-leak"), faults=(planned,))).faults
    assert (spec.fault.duration_s, spec.lasts_s, spec.known_s) == (12.0, 12.0, 10.0)


def test_what_never_ends_ends_with_the_run() -> None:
    slow = FaultLine(kind=Kind.THROTTLE, cells=("eu-1",), at_s=40.0, magnitude=0.5)
    (spec,) = script_of(replace(load_scenario("live-leak"), faults=(slow,))).faults
    assert spec.ends_s == 100.0


@pytest.mark.parametrize("name", ["live-leak", "measured-surge"])
def test_real_demand_is_the_simulations(name: str) -> None:
    scenario = load_scenario(name)
    schedule = arrivals(script_of(scenario).demand, seed=1)
    weather, nothing = Weather(scenario, seed=1), np.zeros((6, 3))
    expected = np.zeros(3)
    for moment_s in np.arange(0.0, scenario.duration_s, 0.1).tolist():
        demand = weather.at(moment_s, nothing).demand
        expected += 0.1 * (mean_rps(scenario) * day(scenario, moment_s) * demand)[0]
    found = np.bincount(schedule.request_class, minlength=3)
    assert np.abs(found - expected).max() < 4.0 * np.sqrt(expected.max())
    surge_s = (schedule.t_s > 16.0) & (schedule.t_s < 18.0) & (schedule.request_class == 2)
    if name == "measured-surge":
        # A slope from 1 to 2.5 of 45 a second.
        assert 45.0 * 2.0 < surge_s.sum() < 2.5 * 45.0 * 2.0


def test_what_cannot_be_played_has_no_script() -> None:
    with pytest.raises(LabError, match="cannot be played live"):
        script_of(load_scenario("packet-loss"))
