"""This module is time that no cut shortens: slow answers are no queue, and nobody is refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.profile.look import Look
from foreshard.profile.serving import ServingState, start_serving, update_serving

CELLS, USABLE = 6, 0.97
OBJECTIVE_S = np.array([0.4, 0.5, 2.0])
WORK = np.array([0.012, 0.024, 0.08]) / 3.0
FULL_RPS = np.array([48.4, 60.5, 12.1])
QUICK_S = np.full(3, 0.05)
SEARCH = 1


@dataclass
class Service:
    """Any number of requests at once, each of the same duration, split by what cells can serve.

    Attributes:
        load: Of all cells together.
        knows_open: Whether open requests are counted.
        busy: What every gauge shows; None = the truth.
        part: Part of the last second's demand that was let in.
    """

    load: float
    knows_open: bool = True
    busy: float | None = None
    part: float = 1.0
    cells: int = CELLS
    state: ServingState = field(init=False)

    def __post_init__(self) -> None:
        self.state = start_serving(OBJECTIVE_S, cells=self.cells)

    def second(self, latency_s: np.ndarray) -> float:
        """One second in which requests take so long, [K] or [C, K]; the part that was let in."""
        capacity = self.state.effective(np.ones(self.cells))
        room = USABLE * float(capacity.sum())
        self.part = min(1.0, room / (self.load * self.cells))
        asked = self.part * self.load * self.cells * capacity / capacity.sum()
        rate = asked[:, None] * FULL_RPS
        took = np.broadcast_to(latency_s, rate.shape)
        self.state = update_serving(
            self.state,
            Look(
                rate_rps=rate,
                failed_ratio=np.zeros_like(rate),
                latency_s=took,
                in_flight=(rate * took).sum(axis=1) if self.knows_open else self._unknown(),
                busy=np.full(self.cells, np.nan) if self.busy == -1.0 else self._busy(asked),
                capacity=np.ones(self.cells),
                work=WORK,
                sent_rps=rate.sum(axis=0),
            ),
            dt_s=1.0,
        )
        return self.part

    def _unknown(self) -> np.ndarray:
        return np.full(self.cells, np.nan)

    def _busy(self, asked: np.ndarray) -> np.ndarray:
        return asked if self.busy is None else np.full(self.cells, self.busy)


@settings(max_examples=60, deadline=None)
@given(
    load=st.floats(0.05, 0.84),
    first=st.floats(0.02, 0.95),
    second=st.floats(0.02, 0.95),
    knows_open=st.booleans(),
    busy=st.sampled_from([None, 0.3, -1.0]),
    cells=st.sampled_from([1, 2, 6]),
)
def test_a_constant_latency_inside_the_objectives_never_costs_a_request(
    load: float,
    first: float,
    second: float,
    knows_open: bool,
    busy: float | None,
    cells: int,
) -> None:
    service = Service(load, knows_open=knows_open, busy=busy, cells=cells)
    for part_of_objective in (first, second):
        for _ in range(40):
            assert service.second(part_of_objective * OBJECTIVE_S) == 1.0


@pytest.mark.parametrize("knows_open", [True, False])
@pytest.mark.parametrize("slow", [1, 2, 3])
def test_a_dependency_of_some_cells_costs_them_a_moment_and_the_fleet_nothing(
    slow: int,
    knows_open: bool,
) -> None:
    service = Service(0.62, knows_open=knows_open)
    for _ in range(20):
        service.second(QUICK_S)
    latency = np.tile(QUICK_S, (CELLS, 1))
    latency[:slow] += 0.28
    assert min(service.second(latency) for _ in range(120)) == 1.0
    assert np.isinf(service.state.ceiling).all(), "what no cut shortens is no reason for one"


@pytest.mark.parametrize("knows_open", [True, False])
def test_what_misses_every_objective_whatever_is_sent_is_let_in_again(
    knows_open: bool,
) -> None:
    service = Service(0.62, knows_open=knows_open)
    for _ in range(20):
        service.second(QUICK_S)
    parts = [service.second(QUICK_S + 0.7) for _ in range(60)]
    assert min(parts) > 0.3, "no spiral"
    assert min(parts[15:]) == 1.0


def test_a_gauge_at_its_limit_without_a_wait_is_no_evidence() -> None:
    service = Service(0.62)
    for _ in range(20):
        service.second(QUICK_S)
    service.busy = 0.99
    assert min(service.second(QUICK_S) for _ in range(120)) == 1.0
    assert service.state.is_soaked.all()


def test_a_pegged_gauge_and_slow_answers_are_no_spiral_either() -> None:
    service = Service(0.62)
    for _ in range(20):
        service.second(QUICK_S)
    service.busy = 0.99
    parts = [service.second(QUICK_S + 0.28) for _ in range(60)]
    assert min(parts[30:]) == 1.0


def stalled() -> ServingState:
    """Half of what is sent to one class's database is answered, for six seconds."""
    state = start_serving(OBJECTIVE_S, cells=CELLS)
    asked = 0.62 * FULL_RPS
    for second in range(66):
        part = np.array([1.0, 0.5 if second >= 60 else 1.0, 1.0])
        took = np.array([0.05, 1.5 if second >= 60 else 0.05, 0.05])
        state = update_serving(state, look(asked * part, asked, took), dt_s=1.0)
    return state


def look(rate: np.ndarray, sent: np.ndarray, took_s: np.ndarray, **changes: np.ndarray) -> Look:
    rates = np.tile(rate, (CELLS, 1))
    return Look(
        rate_rps=rates,
        failed_ratio=np.zeros_like(rates),
        latency_s=np.tile(took_s, (CELLS, 1)),
        in_flight=(rates * took_s).sum(axis=1),
        busy=rates @ WORK,
        capacity=np.ones(CELLS),
        work=WORK,
        sent_rps=CELLS * sent,
        **changes,
    )


def test_a_class_that_all_cells_held_back_returns_when_it_is_answered_again() -> None:
    state = stalled()
    assert (state.class_ceiling[:, SEARCH] < 0.62 * FULL_RPS[SEARCH]).all()
    for _ in range(30):
        let_in = np.minimum(0.62 * FULL_RPS, state.class_ceiling[0])
        # Slower than ever, and well inside its objective of half a second.
        state = update_serving(state, look(let_in, let_in, np.array([0.05, 0.2, 0.05])), dt_s=1.0)
    assert np.isinf(state.class_ceiling).all()
    assert state.base_s[SEARCH] > 0.06, "what is usual goes on being learned"


def test_a_class_is_never_held_below_what_a_table_can_give_it_and_rises_untried() -> None:
    least = np.array([2.0, 9.0, 1.0])
    state = start_serving(OBJECTIVE_S, cells=CELLS)
    asked = 0.62 * FULL_RPS
    seen = look(asked, asked, QUICK_S, least_rps=least)
    for second in range(60):
        took = seen.latency_s.copy()
        took[0, SEARCH] = 1.5 if second >= 20 else 0.05
        state = update_serving(state, replace(seen, latency_s=took), dt_s=1.0)
    assert state.class_ceiling[0, SEARCH] == 9.0
    rates, took = seen.rate_rps.copy(), seen.latency_s.copy()
    rates[0, SEARCH], took[0, SEARCH] = 0.0, np.nan
    unsent = replace(seen, rate_rps=rates, latency_s=took)
    later = update_serving(state, unsent, dt_s=1.0)
    assert later.class_ceiling[0, SEARCH] > 9.0


def test_a_gap_in_what_is_seen_frees_no_ceiling() -> None:
    state = replace(start_serving(OBJECTIVE_S, cells=CELLS), ceiling=np.full(CELLS, 0.4))
    asked = 0.34 * FULL_RPS
    after = {
        gap: update_serving(state, look(asked, asked, QUICK_S), dt_s=gap).ceiling[0]
        for gap in (1.0, 2.0, 15.0, 300.0)
    }
    assert after[1.0] < after[2.0] == after[15.0] == after[300.0] < 0.6
