from __future__ import annotations

import numpy as np
import pytest

from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import Family, Scenario
from foreshard.lab.trial.posture import displaced, evacuations, excused, posture_of
from tests.lab.trial.sample import EVEN, LEAK, SECONDS, record, scenario

HALVED = (0.4, 0.2, 0.4, 0.0)
TAKEN = ((-1.0, EVEN), (40.0, HALVED), (50.0, EVEN))
LYING = FaultLine(kind=Kind.SCALED_METRICS, cells=("b",), at_s=30.0, holds_s=30.0, magnitude=1.5)


def falls(of: Scenario, *shares: tuple[float, tuple[float, ...]]) -> int:
    own, calm = posture_of(record(of, shares=shares), of), posture_of(record(of), of)
    return evacuations(own, calm.usual(), excused(of))


def test_a_second_holds_what_was_given_out_before_its_end() -> None:
    share = posture_of(record(scenario(), shares=TAKEN), scenario()).of_cells()
    assert share.shape == (SECONDS, 3)
    assert share[38] == pytest.approx(EVEN[:3])
    assert share[39] == pytest.approx(HALVED[:3])
    assert share[48] == pytest.approx(HALVED[:3])
    assert share[49] == pytest.approx(EVEN[:3])


def test_leaving_a_cell_that_only_lies_is_a_false_evacuation() -> None:
    assert falls(scenario(LYING, family=Family.TRAP), *TAKEN) == 1


def test_leaving_a_cell_that_fails_is_none() -> None:
    assert falls(scenario(LEAK), *TAKEN) == 0


def test_leaving_another_cell_than_the_one_that_fails_is_one() -> None:
    other = ((-1.0, EVEN), (40.0, (0.2, 0.4, 0.4, 0.0)))
    assert falls(scenario(LEAK), *other) == 1


def test_leaving_a_cell_before_its_fault_began_is_one() -> None:
    assert falls(scenario(LEAK), (-1.0, EVEN), (20.0, HALVED)) == 1


def test_a_cell_that_is_gone_may_be_left_even_in_a_trap() -> None:
    crash = FaultLine(kind=Kind.CRASH, cells=("b",), at_s=39.0)
    assert falls(scenario(crash, family=Family.TRAP), *TAKEN) == 0


def test_a_fifth_less_is_no_evacuation_and_trembling_about_it_is_one() -> None:
    fifth, more = EVEN[0] * 0.81, EVEN[0] * 0.79
    trap = scenario(LYING, family=Family.TRAP)
    assert falls(trap, (-1.0, EVEN), (40.0, (0.34, fifth, 0.34, 0.0))) == 0
    trembling = [(40.0 + i, (0.34, (more, fifth)[i % 2], 0.34, 0.0)) for i in range(20)]
    assert falls(trap, (-1.0, EVEN), *trembling) == 1


def test_what_moved_is_counted_for_as_long_as_it_is_away() -> None:
    trap = scenario(LYING, family=Family.TRAP)
    own, usual = posture_of(record(trap, shares=TAKEN), trap), posture_of(record(trap), trap)
    moved = displaced(own, usual.usual(), excused(trap))
    assert moved.sum() == pytest.approx(10.0 * (EVEN[1] - HALVED[1]))
    assert moved[38] == pytest.approx(0.0)


def test_what_is_shed_is_not_moved() -> None:
    trap = scenario(LYING, family=Family.TRAP)
    shed = ((-1.0, EVEN), (40.0, (*np.array(EVEN[:3]) * 0.7, 0.3)))
    own, usual = posture_of(record(trap, shares=shed), trap), posture_of(record(trap), trap)
    assert displaced(own, usual.usual(), excused(trap)).max() == pytest.approx(0.0)


def test_what_befalls_demand_excuses_every_cell_but_not_in_a_trap() -> None:
    surge = FaultLine(kind=Kind.SURGE, at_s=30.0, holds_s=10.0, magnitude=2.0)
    assert excused(scenario(surge))[35].all()
    assert not excused(scenario(surge))[29].any()
    assert not excused(scenario(surge, family=Family.TRAP)).any()
