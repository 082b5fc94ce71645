from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import PlanningError
from foreshard.planning.bounds import takes_work
from foreshard.planning.phases import (
    TRANSITIONS,
    CellState,
    Phase,
    Trigger,
    Why,
    advance,
    allows,
)


def test_every_phase_can_be_reached_and_left() -> None:
    assert {phase for phase, _ in TRANSITIONS} == set(Phase)
    assert set(TRANSITIONS.values()) == set(Phase)


def test_every_trigger_does_something() -> None:
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


@given(st.sampled_from(Phase), st.sampled_from(Trigger))
def test_what_is_not_in_the_table_is_refused_in_words(phase: Phase, trigger: Trigger) -> None:
    state = CellState(phase=phase)
    if allows(phase, trigger):
        assert advance(state, trigger, now_s=1.0).since_s == 1.0
    else:
        with pytest.raises(PlanningError, match=f"is {phase} cannot be {trigger}"):
            advance(state, trigger, now_s=1.0)


@given(st.lists(st.sampled_from(Trigger), max_size=30))
def test_a_cell_gets_its_full_share_only_after_warming(triggers: list[Trigger]) -> None:
    state = CellState()
    for at, trigger in enumerate(triggers):
        if not allows(state.phase, trigger):
            continue
        before, state = state, advance(state, trigger, now_s=float(at), why=Why.DOWN)
        if state.phase is Phase.ACTIVE:
            assert before.phase is Phase.WARMING
            assert (state.why, state.restarts, state.evidence) == (Why.NOTHING, 0, "")
        if not takes_work(before) and takes_work(state):
            assert state.phase is Phase.WARMING


def test_restarts_are_counted_and_proof_begins_anew_with_each() -> None:
    state = CellState(phase=Phase.RECYCLING, proved_since_s=3.0)
    for _ in range(2):
        state = advance(state, Trigger.RESTART_ASKED, now_s=5.0)
    assert state.restarts == 2
    assert state.proved_since_s != state.proved_since_s  # NaN
