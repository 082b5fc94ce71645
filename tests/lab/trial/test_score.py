from __future__ import annotations

import pytest

from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import Family
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.world import Life, LifeEvent
from foreshard.lab.trial.moment import onset_s
from foreshard.lab.trial.score import Companions, score
from foreshard.lab.trial.toll import toll_of
from tests.lab.trial.sample import EVEN, LEAK, RATE, SECONDS, record, scenario

GONE = (0.5, 0.0, 0.5, 0.0)
HURT = dict.fromkeys(range(60, 66), 10.0)


def test_bad_requests_are_weighted_and_the_warm_up_is_not_scored() -> None:
    of = scenario()
    toll = toll_of(record(of, bad={5: 50.0, 20: 3.0}, fate=Fate.SLOW).ledger, of)
    assert toll.bad == pytest.approx(6.0)
    assert toll.of(Fate.SLOW) == pytest.approx(6.0)
    assert toll.of(Fate.FAILED) == 0.0
    assert toll.demand == pytest.approx(2.0 * RATE * (SECONDS - 10))
    assert toll.error == pytest.approx((3.0 * 4.0) ** 0.5)


def test_onset_is_when_it_first_hurts_where_nobody_was_relieved() -> None:
    of = scenario(LEAK)
    assert onset_s(LEAK, of, record(of, bad=HURT), None) == pytest.approx(59.0, abs=1.0)


def test_what_is_bad_in_calm_too_is_no_onset() -> None:
    of = scenario(LEAK)
    always = dict.fromkeys(range(SECONDS), 5.0)
    hurt = always | dict.fromkeys(HURT, 15.0)
    assert onset_s(LEAK, of, record(of, bad=always), record(of, bad=always)) is None
    found = onset_s(LEAK, of, record(of, bad=hurt), record(of, bad=always))
    assert found == pytest.approx(59.0, abs=1.0)


def test_one_straggler_is_no_onset_but_a_death_is() -> None:
    of = scenario(LEAK)
    assert onset_s(LEAK, of, record(of, bad={50: 1.0}), None) is None
    died = LifeEvent(at_s=58.5, cell="b", what=Life.DIED)
    assert onset_s(LEAK, of, record(of, lives=[died]), None) == 58.5
    elsewhere = LifeEvent(at_s=58.5, cell="a", what=Life.DIED)
    assert onset_s(LEAK, of, record(of, lives=[elsewhere]), None) is None


def test_lead_drain_and_return_are_read_from_the_shares() -> None:
    of = scenario(LEAK)
    half = (0.4, 0.2, 0.4, 0.0)
    lives = [
        LifeEvent(at_s=50.0, cell="b", what=Life.ASKED),
        LifeEvent(at_s=55.0, cell="b", what=Life.STARTED),
    ]
    run = record(of, shares=[(-1.0, EVEN), (40.0, half), (46.0, GONE), (70.0, EVEN)], lives=lives)
    own = score(
        run,
        of,
        Companions(calm=record(of), unrelieved=record(of, bad=HURT), unrelieved_calm=record(of)),
    )
    (course,) = own.courses
    assert course.relieved_s == 40.0
    assert course.drain_s == 6.0
    assert course.return_s == 15.0
    assert own.lead_s == pytest.approx(19.0, abs=1.0)
    assert own.evacuations == 0
    assert own.own_harm == pytest.approx(-2.0 * 60.0)


def test_one_class_that_left_a_slow_dependency_counts_as_relief() -> None:
    slow = FaultLine(kind=Kind.SLOW_DEPENDENCY, cells=("b",), at_s=30.0, request_class="search")
    of = scenario(slow)
    own = score(record(of, shares=[(-1.0, EVEN), (44.0, GONE)]), of, Companions(calm=record(of)))
    assert own.courses[0].relieved_s == 44.0


def test_what_no_companion_tells_is_unknown_and_not_nothing() -> None:
    of = scenario(LEAK)
    own = score(record(of), of, Companions())
    assert own.displaced_ratio is None
    assert own.evacuations is None
    assert own.own_harm is None
    assert own.bound is None
    assert own.lead_s is None


def test_capacity_used_is_useful_work_by_what_there_is() -> None:
    of = scenario()
    own = score(record(of), of, Companions())
    assert own.used_ratio == pytest.approx(RATE * 0.01 / 3.0)
    assert own.busiest_ratio == pytest.approx(own.used_ratio)
    assert own.cell_days == pytest.approx(3 * 90.0 / 86_400.0)
    assert own.p50_ms == pytest.approx(own.mean_ms)


def test_a_false_evacuation_in_a_trap_is_counted_and_its_traffic_too() -> None:
    lie = FaultLine(kind=Kind.ZERO_METRICS, cells=("b",), at_s=20.0, holds_s=30.0)
    of = scenario(lie, family=Family.TRAP)
    own = score(
        record(of, shares=[(-1.0, EVEN), (40.0, GONE), (58.0, EVEN)]),
        of,
        Companions(calm=record(of)),
    )
    assert own.evacuations == 1
    assert own.displaced_ratio == pytest.approx(18.0 / 90.0 / 3.0)
