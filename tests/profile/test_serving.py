"""This module is what cells can really serve: told from cells that really queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.profile.look import Look
from foreshard.profile.serving import ServingState, start_serving, update_serving
from tests.profile.queueing import FULL_RPS, OBJECTIVE_S, WORK_S, Cell, look_at

CELLS = 6
ONES = np.ones(CELLS)
SEARCH = 1


def fleet(seed: int = 0) -> list[Cell]:
    rng = np.random.default_rng(seed)
    return [Cell(rng=rng) for _ in range(CELLS)]


def steered(
    cells: list[Cell],
    load: float,
    seconds: int,
    befalls: Callable[[int], None] = lambda _: None,
    state: ServingState | None = None,
) -> list[tuple[Look, ServingState]]:
    """Every cell gets the load, or nine tenths of what it is thought to serve."""
    state = state or start_serving(OBJECTIVE_S, cells=len(cells))
    seen = []
    for second in range(seconds):
        befalls(second)
        given_to = np.minimum(load, 0.9 * state.effective(np.ones(len(cells))))
        rates = np.minimum(FULL_RPS * given_to[:, None], state.class_ceiling)
        look = look_at(cells, rates)
        state = update_serving(state, look, dt_s=1.0)
        seen.append((look, state))
    return seen


def served(seen: list[tuple[Look, ServingState]], cell: int) -> float:
    """Mean work a second."""
    return float(np.mean([look.rate_rps[cell] @ look.work for look, _ in seen]))


@pytest.mark.parametrize("gauge", [None, 0.5, float("nan")], ids=["true", "frozen", "gone"])
def test_noise_takes_next_to_nothing_from_a_fleet_with_room(gauge: float | None) -> None:
    cells = fleet()
    for cell in cells:
        cell.gauge = gauge
    for load, least in ((0.62, 0.999), (0.8, 0.99)):
        states = [state for _, state in steered(cells, load, 150)]
        assert np.mean([s.effective(ONES).mean() for s in states]) >= least
        assert not any(np.isfinite(s.class_ceiling).any() for s in states)


def busy_look(waits_s: float) -> Look:
    """No cell has an idle moment, and the first one's answers come so much later."""
    quiet = look_at(fleet(), FULL_RPS * 0.9 * ONES[:, None])
    latency_s = np.tile(WORK_S, (CELLS, 1))
    latency_s[0] += waits_s
    rate = np.tile(0.9 * FULL_RPS, (CELLS, 1))
    in_flight = (rate * latency_s).sum(axis=1)
    busy = np.where(np.arange(CELLS) == 0, 1.0, 0.9)
    return replace(quiet, rate_rps=rate, latency_s=latency_s, in_flight=in_flight, busy=busy)


def test_seconds_without_an_idle_moment_are_chance_while_nothing_waits_long() -> None:
    state = start_serving(OBJECTIVE_S, cells=CELLS)
    for _ in range(3):
        state = update_serving(state, busy_look(0.0), dt_s=1.0)
    for _ in range(4):
        state = update_serving(state, busy_look(0.03), dt_s=1.0)
        assert np.isinf(state.ceiling).all()
    state = update_serving(state, busy_look(0.03), dt_s=1.0)
    assert state.ceiling[0] < 1.0, "a fifth look is no chance"
    assert np.isinf(state.ceiling[1:]).all()


def test_a_queue_that_hurts_is_still_believed_at_the_second_look() -> None:
    state = start_serving(OBJECTIVE_S, cells=CELLS)
    for _ in range(3):
        state = update_serving(state, busy_look(0.0), dt_s=1.0)
    state = update_serving(state, busy_look(0.2), dt_s=1.0)
    state = update_serving(state, busy_look(0.2), dt_s=1.0)
    assert state.ceiling[0] < 1.0


@pytest.mark.parametrize("gauge", [0.6, float("nan")], ids=["frozen", "gone"])
def test_lost_capacity_is_found_within_two_looks_whatever_the_gauge_says(gauge: float) -> None:
    cells = fleet(1)
    cells[0].gauge = gauge
    before = steered(cells, 0.8, 20)[-1][1]
    cells[0].speed = 0.5
    found = steered(cells, 0.8, 2, state=before)[-1][1]
    assert 0.4 <= found.ceiling[0] <= 0.6
    assert np.isinf(found.ceiling[1:]).all()


def test_a_cell_is_kept_busy_at_its_knee_and_not_pushed_over_it() -> None:
    cells = fleet(2)
    cells[0].gauge = 0.6

    def halves(second: int) -> None:
        cells[0].speed = 1.0 if second < 10 else 0.5

    seen = steered(cells, 0.8, 120, halves)[20:]
    assert served(seen, 0) >= 0.75 * 0.5, "what is left of it is used"
    late = [float(np.nanmax(look.latency_s[0, :2])) for look, _ in seen]
    assert np.mean(np.array(late) > OBJECTIVE_S[0]) < 0.15


def test_a_cell_that_can_do_more_again_gets_it_back() -> None:
    cells = fleet(3)
    cells[0].gauge, cells[0].speed = 0.6, 0.4
    hurt = steered(cells, 0.8, 30)[-1][1]
    assert hurt.effective(ONES)[0] < 0.6
    cells[0].speed = 1.0
    seen = steered(cells, 0.8, 40, state=hurt)
    assert seen[-1][1].ceiling[0] >= 0.95
    assert served(seen[-10:], 0) >= 0.7


def test_a_queue_is_drained_by_less_work_before_capacity_is_trusted_again() -> None:
    state = replace(start_serving(OBJECTIVE_S, cells=2), queue_s=np.array([0.5, 0.0]))
    assert state.effective(np.ones(2)).tolist() == [0.5, 1.0]


def test_a_class_that_waits_alone_is_bounded_alone_and_comes_back() -> None:
    cells = fleet(4)
    healthy = steered(cells, 0.62, 20)[-1][1]
    cells[0].wait_s[SEARCH] = 1.0
    seen = steered(cells, 0.62, 12, state=healthy)
    hurt = seen[-1][1]
    assert hurt.class_ceiling[0, SEARCH] <= 0.1 * FULL_RPS[SEARCH]
    assert np.isinf(np.delete(hurt.class_ceiling[0], SEARCH)).all()
    assert np.isinf(hurt.class_ceiling[1:]).all()
    assert hurt.effective(ONES)[0] > 0.9, "the cell has done nothing wrong"
    cells[0].wait_s.clear()
    back = steered(cells, 0.62, 60, state=hurt)[-1][1]
    assert np.isinf(back.class_ceiling).all()


def test_a_class_behind_a_small_pool_keeps_what_the_pool_can_serve() -> None:
    cells = fleet(5)
    healthy = steered(cells, 0.8, 20)[-1][1]
    cells[0].wait_s[SEARCH], cells[0].pool[SEARCH] = 0.1, 2
    seen = steered(cells, 0.8, 60, state=healthy)[20:]
    rates = [float(look.rate_rps[0, SEARCH]) for look, _ in seen]
    assert 8.0 <= float(np.mean(rates)) <= 20.0, "the pool serves twenty a second"
    slow = [float(look.latency_s[0, SEARCH]) > OBJECTIVE_S[SEARCH] for look, _ in seen]
    assert np.mean(slow) < 0.4


def test_what_most_cells_suffer_bounds_no_class() -> None:
    cells = fleet(6)
    healthy = steered(cells, 0.62, 20)[-1][1]
    for cell in cells:
        cell.wait_s[SEARCH] = 1.0
    after = steered(cells, 0.62, 20, state=healthy)[-1][1]
    assert np.isinf(after.class_ceiling).all()
    assert after.effective(ONES).min() > 0.9


def test_a_class_that_fails_in_one_cell_leaves_it() -> None:
    cells = fleet(7)
    state = steered(cells, 0.62, 20)[-1][1]
    for _ in range(8):
        look = look_at(cells, np.tile(0.62 * FULL_RPS, (CELLS, 1)))
        failed = np.zeros_like(look.failed_ratio)
        failed[0, SEARCH] = 0.5
        state = update_serving(state, replace(look, failed_ratio=failed), dt_s=1.0)
    assert state.class_ceiling[0, SEARCH] < 0.1 * FULL_RPS[SEARCH]
    assert np.isinf(np.delete(state.class_ceiling.ravel(), SEARCH)).all()


def test_a_cell_that_answers_nothing_is_not_taken_for_an_idle_one() -> None:
    cells = fleet(8)
    state = steered(cells, 0.62, 20)[-1][1]
    look = look_at(cells, np.tile(0.62 * FULL_RPS, (CELLS, 1)))
    hung = np.array([60.0, *look.in_flight[1:]])
    nothing = np.where(np.arange(CELLS)[:, None] == 0, 0.0, look.rate_rps)
    unheard = np.where(nothing > 0.0, look.latency_s, np.nan)
    held = replace(look, rate_rps=nothing, latency_s=unheard, in_flight=hung)
    state = update_serving(state, held, dt_s=1.0)
    assert state.effective(ONES)[0] < 0.1


def test_a_cell_that_is_not_heard_keeps_what_was_known_of_it() -> None:
    cells = fleet(9)
    cells[0].gauge, cells[0].speed = 0.6, 0.4
    hurt = steered(cells, 0.8, 10)[-1][1]
    look = look_at(cells, np.tile(FULL_RPS, (CELLS, 1)))
    rate = look.rate_rps.copy()
    rate[0] = np.nan
    after = update_serving(hurt, replace(look, rate_rps=rate), dt_s=1.0)
    assert after.ceiling[0] == hurt.ceiling[0]
    assert after.queue_s[0] == hurt.queue_s[0]


@given(
    arrays(float, (2, 3), elements=st.floats(0.0, 1e6) | st.just(float("nan"))),
    arrays(float, (2, 3), elements=st.floats(0.0, 1e3) | st.just(float("nan"))),
    arrays(float, 2, elements=st.floats(0.0, 1e6) | st.just(float("nan"))),
    arrays(float, 2, elements=st.floats(0.0, 10.0) | st.just(float("nan"))),
)
def test_whatever_is_told_something_is_left_and_nothing_exceeds_the_gauges(
    rate: np.ndarray, latency: np.ndarray, in_flight: np.ndarray, busy: np.ndarray
) -> None:
    state = start_serving(OBJECTIVE_S, cells=2)
    look = Look(
        rate_rps=rate,
        failed_ratio=np.zeros((2, 3)),
        latency_s=latency,
        in_flight=in_flight,
        busy=busy,
        capacity=np.array([1.0, 0.5]),
        work=WORK_S,
        sent_rps=np.full(3, np.nan),
    )
    for _ in range(4):
        state = update_serving(state, look, dt_s=1.0)
        effective = state.effective(look.capacity)
        assert (effective > 0.0).all()
        assert (effective <= look.capacity).all()
        assert (state.class_ceiling > 0.0).all()
        assert np.isfinite(state.queue_s).all()


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="objectives"):
        start_serving(np.array([0.4, 0.0]), cells=1)
    look = look_at(fleet(), np.tile(FULL_RPS, (CELLS, 1)))
    with pytest.raises(ForecastError, match="capacity"):
        replace(look, capacity=np.zeros(CELLS))
    with pytest.raises(ForecastError, match="busy has shape"):
        replace(look, busy=np.zeros(2))
    with pytest.raises(ForecastError, match="dt_s 0"):
        update_serving(start_serving(OBJECTIVE_S, cells=CELLS), look, dt_s=0.0)
