from __future__ import annotations

from dataclasses import replace
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.events import SystemEvent
from foreshard.model.plan import Reason, Recycle
from foreshard.model.telemetry import (
    CellMetrics,
    CellReading,
    ClassTraffic,
    Fresh,
    Health,
    Missing,
    Observation,
)
from foreshard.planning.judgement import Doubt, Judgement
from foreshard.planning.lifecycle import Outlook, live_on
from foreshard.planning.phases import TRANSITIONS, CellState, Phase, Why
from tests.engine.shop import POLICY, START_S, maintenance

NAMES = ("a", "b", "c")


def doubt(cell: str, p_long: float = 0.9, p_short: float = 0.1) -> Doubt:
    return Doubt(
        cell=cell, gauge="memory", p_short=p_short, p_long=p_long, span=None, text="memory fills"
    )


def reading(
    health: Health = Health.UP, rate: float = 50.0, failed: float = 0.0, started_s: float = 0.0
) -> CellReading:
    said = CellMetrics(gauges={}, started_at_s=started_s)
    return CellReading(
        health=health,
        reading=Fresh(metrics=said, age_s=0.0) if health is Health.UP else Missing("silent"),
        traffic={"search": ClassTraffic(rate_rps=rate, failed_ratio=failed)},
    )


def tick(
    states: dict[str, CellState],
    at_s: float,
    *,
    readings: dict[str, CellReading] | None = None,
    doubts: tuple[Doubt, ...] | None = (),
    events: tuple[SystemEvent, ...] = (),
    affordable: bool = True,
    panic: bool = False,
    max_evacuations: int = 1,
    holding: frozenset[str] = frozenset(),
) -> tuple[dict[str, CellState], tuple[Reason, ...], tuple[Recycle, ...]]:
    observation = Observation(
        now_s=START_S + at_s,
        interval_s=1.0,
        cells={name: reading() for name in NAMES} | (readings or {}),
        demand_rps={},
        events=events,
    )
    judged = None
    if doubts is not None:
        judged = Judgement(cells={d.cell: d for d in doubts}, classes={}, known=frozenset(NAMES))
    outlook = Outlook(
        observation=observation,
        judgement=judged,
        affordable=lambda _: affordable,
        distrusts_forecast=panic,
        distrusts_deaths=panic,
        max_evacuations=max_evacuations,
        holding=holding,
    )
    after, reasons, recycles = live_on(states, outlook, POLICY)
    return dict(after), reasons, recycles


def fleet(**cells: CellState) -> dict[str, CellState]:
    return {name: CellState(since_s=START_S) for name in NAMES} | cells


def test_a_cell_of_which_nothing_is_news_keeps_its_state() -> None:
    states, _, _ = tick(fleet(), 0)
    after, _, _ = tick(states, 1, readings={"a": reading(Health.DOWN)})
    assert after["a"].phase is Phase.RECYCLING
    assert after["b"] is states["b"]


def test_a_doubt_must_hold_before_it_is_acted_upon() -> None:
    states = fleet()
    for at in range(2):
        states, _, _ = tick(states, at, doubts=(doubt("a"),))
        assert states["a"].phase is Phase.ACTIVE
    states, reasons, _ = tick(states, 2, doubts=(doubt("a"),))
    assert states["a"].phase is Phase.DRAINING
    assert [(r.subject, r.code) for r in reasons] == [("a", "cell.doubted")]


def test_a_doubt_that_was_interrupted_begins_anew() -> None:
    states = fleet()
    for at, doubts in enumerate([(doubt("a"),), (doubt("a"),), (), (doubt("a"),), (doubt("a"),)]):
        states, _, _ = tick(states, at, doubts=doubts)
    assert states["a"].phase is Phase.ACTIVE


def test_no_news_neither_feeds_a_doubt_nor_ends_it() -> None:
    states = fleet()
    for at in range(4):
        states, _, _ = tick(states, at, doubts=None)
    assert all(isnan(s.doubted_since_s) for s in states.values())
    states = fleet(a=CellState(phase=Phase.DRAINING, why=Why.FORECAST, since_s=START_S))
    for at in range(200):
        states, _, _ = tick(states, at, doubts=None)
    assert states["a"].phase is Phase.DRAINING


def test_a_doubt_of_long_ago_does_not_count_as_held_until_now() -> None:
    states, _, _ = tick(fleet(), 0.0, doubts=(doubt("a"),))
    for at_s in range(1, 60):
        states, _, _ = tick(states, at_s, doubts=None)
    states, _, _ = tick(states, 60.0, doubts=(doubt("a"),))
    assert states["a"].phase is Phase.ACTIVE
    states, _, _ = tick(states, 62.0, doubts=(doubt("a"),))
    assert states["a"].phase is Phase.DRAINING


def test_a_cell_the_rest_cannot_afford_to_lose_keeps_its_work() -> None:
    states = fleet()
    reasons: tuple[Reason, ...] = ()
    for at in range(10):
        states, reasons, _ = tick(states, at, doubts=(doubt("a"),), affordable=False)
    assert states["a"].phase is Phase.ACTIVE
    assert [r.code for r in reasons] == ["guard.rest_ceiling"]


def test_of_two_doubted_cells_one_leaves_and_the_other_waits() -> None:
    states = fleet()
    reasons: tuple[Reason, ...] = ()
    for at in range(3):
        states, reasons, _ = tick(states, at, doubts=(doubt("a"), doubt("b")))
    assert [states[n].phase for n in NAMES] == [Phase.DRAINING, Phase.ACTIVE, Phase.ACTIVE]
    assert "guard.one_evacuation" in [r.code for r in reasons]


@pytest.mark.parametrize("most", [0, 1, 2])
def test_no_more_cells_are_evacuated_on_a_forecast_than_the_budget_allows(most: int) -> None:
    states, codes = fleet(), set[str]()
    for at_s in range(20):
        doubts = tuple(doubt(name) for name in NAMES)
        states, reasons, _ = tick(states, at_s, doubts=doubts, max_evacuations=most)
        codes |= {reason.code for reason in reasons}
        assert sum(state.phase is not Phase.ACTIVE for state in states.values()) <= most
    assert sum(state.phase is not Phase.ACTIVE for state in states.values()) == most
    assert "guard.one_evacuation" in codes


def test_panic_takes_nothing_out() -> None:
    states = fleet()
    dead = {name: reading(Health.DOWN) for name in NAMES}
    for at in range(10):
        states, _, _ = tick(states, at, readings=dead, doubts=(doubt("a"),), panic=True)
    assert {s.phase for s in states.values()} == {Phase.ACTIVE}


def test_what_is_observed_comes_before_what_is_announced_and_that_before_a_doubt() -> None:
    window = maintenance("a", known_s=0.0, starts_s=5.0, ends_s=50.0)
    doubted = replace(CellState(since_s=START_S), doubted_since_s=START_S - 60.0)
    dead, _, _ = tick(
        fleet(a=doubted),
        1,
        readings={"a": reading(Health.DOWN)},
        doubts=(doubt("a"),),
        events=(window,),
    )
    assert (dead["a"].phase, dead["a"].why) == (Phase.RECYCLING, Why.DOWN)
    planned, _, _ = tick(fleet(a=doubted), 1, doubts=(doubt("a"),), events=(window,))
    assert (planned["a"].phase, planned["a"].why) == (Phase.DRAINING, Why.MAINTENANCE)


def test_a_cell_is_restarted_only_once_it_is_empty() -> None:
    drained = CellState(phase=Phase.DRAINED, why=Why.FORECAST, since_s=START_S)
    states, _, recycles = tick(fleet(a=drained), 5, doubts=(doubt("a"),))
    assert not recycles
    states, _, recycles = tick(states, 6, readings={"a": reading(rate=0.0)}, doubts=(doubt("a"),))
    assert [r.cell for r in recycles] == ["a"]
    assert states["a"].phase is Phase.RECYCLING


def test_a_cell_that_holds_data_is_not_empty_however_little_is_asked_of_it() -> None:
    drained = CellState(phase=Phase.DRAINED, why=Why.FORECAST, since_s=START_S)
    quiet = {"a": reading(rate=0.1)}
    held, _, recycles = tick(
        fleet(a=drained), 10, readings=quiet, doubts=None, holding=frozenset({"a"})
    )
    assert not recycles
    assert held["a"].phase is Phase.DRAINED
    _, _, recycles = tick(held, 11, readings=quiet, doubts=None, holding=frozenset({"b"}))
    assert [r.cell for r in recycles] == ["a"]


def test_an_emptied_cell_that_dies_is_dead_though_a_window_is_open() -> None:
    """Its work may not all have left: the rest could not carry it."""
    window = maintenance("a", known_s=0.0, starts_s=5.0, ends_s=50.0)
    drained = CellState(phase=Phase.DRAINED, why=Why.FORECAST, since_s=START_S)
    after, reasons, _ = tick(
        fleet(a=drained), 10, readings={"a": reading(Health.DOWN)}, events=(window,)
    )
    assert [r.code for r in reasons] == ["cell.died"]
    assert after["a"].phase is Phase.RECYCLING


def test_a_cell_that_a_forecast_emptied_is_emptied_for_its_window_too() -> None:
    """What the rest could not carry was left to it: not while somebody works on it."""
    window = maintenance("a", known_s=0.0, starts_s=5.0, ends_s=50.0)
    drained = CellState(phase=Phase.DRAINED, why=Why.FORECAST, since_s=START_S)
    states, reasons, recycles = tick(fleet(a=drained), 1, events=(window,))
    assert (states["a"].phase, states["a"].why) == (Phase.DRAINED, Why.MAINTENANCE)
    assert [r.code for r in reasons] == ["maintenance.drained"]
    assert not recycles
    down = {"a": reading(Health.DOWN)}
    states, reasons, _ = tick(states, 10, readings=down, events=(window,))
    assert states["a"].phase is Phase.DRAINED
    assert not reasons, "said once, and expected to be down"


def test_a_cell_whose_traffic_is_unknown_is_not_restarted() -> None:
    drained = CellState(phase=Phase.DRAINED, why=Why.FORECAST, since_s=START_S)
    unseen = replace(reading(), traffic=None)
    _, _, recycles = tick(fleet(a=drained), 50, readings={"a": unseen}, doubts=(doubt("a"),))
    assert not recycles


def test_a_cell_that_was_asked_to_restart_and_did_not_is_not_taken_for_new() -> None:
    asked = CellState(phase=Phase.RECYCLING, why=Why.FORECAST, since_s=START_S, restarts=1)
    states = fleet(a=asked)
    for at in range(10):
        states, _, _ = tick(states, at, doubts=(doubt("a"),))
    assert states["a"].phase is Phase.RECYCLING
    for at in range(10, 13):
        states, _, _ = tick(states, at, readings={"a": reading(started_s=START_S + 9.0)})
    assert states["a"].phase is Phase.WARMING


@pytest.mark.parametrize("why", [Why.FORECAST, Why.DOWN])
def test_a_cell_that_is_back_and_proves_itself_is_not_restarted_once_more(why: Why) -> None:
    asked = CellState(phase=Phase.RECYCLING, why=why, since_s=START_S, restarts=1)
    states, back_s = fleet(a=asked), POLICY.restart_patience_s - 1.0
    for at in range(30):
        up = reading(started_s=START_S + back_s) if at >= back_s else reading(Health.DOWN)
        states, _, recycles = tick(states, at, readings={"a": up})
        assert not recycles
    assert states["a"].phase is Phase.WARMING


def test_a_cell_that_falls_while_it_proves_itself_is_restarted_when_patience_ends() -> None:
    asked = CellState(phase=Phase.RECYCLING, why=Why.DOWN, since_s=START_S, restarts=1)
    states, patience_s = fleet(a=asked), POLICY.restart_patience_s
    states, _, _ = tick(states, patience_s - 1.0, readings={"a": reading()})
    states, _, recycles = tick(states, patience_s, readings={"a": reading(Health.DOWN)})
    assert [r.cell for r in recycles] == ["a"]
    assert states["a"].restarts == 2


def test_the_last_restart_gets_as_much_time_as_the_first() -> None:
    down = {"a": reading(Health.DOWN)}
    state = CellState(
        phase=Phase.RECYCLING, since_s=START_S, why=Why.DOWN, restarts=POLICY.max_restarts
    )
    cells = fleet(a=state)
    for at in range(1, int(POLICY.restart_patience_s)):
        cells, _, recycles = tick(cells, at, readings=down)
        assert cells["a"].phase is Phase.RECYCLING
        assert not recycles
    cells, _, _ = tick(cells, POLICY.restart_patience_s, readings=down)
    assert cells["a"].phase is Phase.QUARANTINED


def test_a_cell_that_the_last_restart_cured_returns() -> None:
    state = CellState(
        phase=Phase.RECYCLING, since_s=START_S, why=Why.DOWN, restarts=POLICY.max_restarts
    )
    cells = fleet(a=state)
    for at in range(1, int(POLICY.prove_s) + 2):
        cells, _, _ = tick(cells, at)
    assert cells["a"].phase is Phase.WARMING


def test_a_return_that_fails_after_the_last_try_is_left_to_a_person() -> None:
    state = CellState(
        phase=Phase.WARMING, since_s=START_S, why=Why.DOWN, restarts=POLICY.max_restarts
    )
    cells, _, _ = tick(fleet(a=state), 1, readings={"a": reading(Health.DOWN)})
    assert cells["a"].phase is Phase.QUARANTINED


def test_a_cell_in_maintenance_may_be_down_and_must_prove_itself_after_it() -> None:
    window = maintenance("a", known_s=0.0, starts_s=5.0, ends_s=20.0)
    drained = CellState(phase=Phase.DRAINED, why=Why.MAINTENANCE, since_s=START_S)
    states = fleet(a=drained)
    down = {"a": reading(Health.DOWN)}
    for at in range(20):
        states, reasons, _ = tick(states, at, readings=down, events=(window,))
        assert not reasons
    assert states["a"].phase is Phase.DRAINED
    states, _, _ = tick(states, 20)
    assert states["a"].phase is Phase.DRAINED
    states, _, _ = tick(states, 22)
    assert states["a"].phase is Phase.WARMING


def test_a_cell_that_stays_down_after_its_window_is_an_ordinary_failure() -> None:
    drained = CellState(phase=Phase.DRAINED, why=Why.MAINTENANCE, since_s=START_S)
    states, _, _ = tick(fleet(a=drained), 5, readings={"a": reading(Health.DOWN)})
    assert (states["a"].phase, states["a"].why) == (Phase.RECYCLING, Why.DOWN)


def test_a_single_failed_request_of_a_silent_cell_is_no_death() -> None:
    silent = {"a": reading(Health.UNKNOWN, rate=1.0, failed=1.0)}
    states, _, _ = tick(fleet(), 1, readings=silent)
    states, _, _ = tick(states, 2)
    states, _, _ = tick(states, 8, readings=silent)
    assert states["a"].phase is Phase.ACTIVE


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Health),
            st.sampled_from([0.0, 50.0]),
            st.sampled_from([0.0, 1.0]),
            st.sampled_from([None, 0.0, 0.3, 0.9]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_every_change_is_in_the_table_and_is_said(
    days: list[tuple[Health, float, float, float | None, bool, bool]],
) -> None:
    window = maintenance("a", known_s=5.0, starts_s=15.0, ends_s=25.0)
    allowed = {(before, after) for (before, _), after in TRANSITIONS.items()}
    states = fleet()
    for at, (health, rate, failed, p, affordable, panic) in enumerate(days):
        before = states["a"]
        doubts = None if p is None else (doubt("a", p),) if p else ()
        states, reasons, recycles = tick(
            states,
            at,
            readings={"a": reading(health, rate, failed)},
            doubts=doubts,
            events=(window,) if START_S + at < window.ends_at_s else (),
            affordable=affordable,
            panic=panic,
        )
        after = states["a"]
        if before.phase is not after.phase:
            assert (before.phase, after.phase) in allowed or len(reasons) > 1
            assert [r.subject for r in reasons if r.subject == "a"]
        assert all(r.because in reasons for r in recycles)
        assert {states[n].phase for n in ("b", "c")} == {Phase.ACTIVE}


def test_a_drain_that_no_forecast_renews_expires() -> None:
    states = {name: CellState(since_s=START_S) for name in NAMES}
    for at_s in range(4):
        states, _, _ = tick(states, float(at_s), doubts=(doubt("a"),))
    assert states["a"].phase is Phase.DRAINING
    states, _, _ = tick(states, POLICY.expire_s, doubts=None)
    assert states["a"].phase is Phase.DRAINING
    states, reasons, _ = tick(states, POLICY.expire_s + 8.0, doubts=None)
    assert states["a"].phase is Phase.WARMING
    assert [reason.code for reason in reasons] == ["cell.expired"]


def test_a_drain_that_forecasts_renew_does_not_expire() -> None:
    states = {name: CellState(since_s=START_S) for name in NAMES}
    at_s = 0.0
    while at_s < 2.5 * POLICY.expire_s:
        # Crowded: it is never empty, and never restarted.
        states, reasons, _ = tick(states, at_s, doubts=(doubt("a"),), holding=frozenset({"a"}))
        assert "cell.expired" not in {reason.code for reason in reasons}
        at_s += 10.0
    assert states["a"].phase is Phase.DRAINED


@pytest.mark.parametrize("phase", [Phase.RECYCLING, Phase.QUARANTINED])
def test_a_cell_that_comes_back_within_its_window_waits_for_the_end_of_it(phase: Phase) -> None:
    states = fleet(a=CellState(phase=phase, since_s=START_S, why=Why.DOWN))
    window = maintenance("a", known_s=0.0, starts_s=0.0, ends_s=2_000.0)
    for at_s in range(1_999):
        states, _, recycles = tick(states, at_s + 1.0, events=(window,))
        assert states["a"].phase is phase
        assert not recycles
    states, reasons, _ = tick(states, 2_000.0)
    assert states["a"].phase is Phase.WARMING, reasons
