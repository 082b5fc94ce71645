"""What it costs to move, as a part of the plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.planning.exact import ExactSolver
from foreshard.planning.formulation import Prices
from foreshard.planning.problem import Custody, Flags, Floats, Problem
from foreshard.planning.solver import SolveStatus
from tests.planning.samples import CELLS, shop

SOLVER = ExactSolver()
DATA_S, KEY_S, FREE_S = 120.0, 3.0, 1.0
EVERY_WAY = ~np.eye(len(CELLS), dtype=bool)


def owning(problem: Problem, held: Floats, *, ways: Flags | None = None) -> Problem:
    """The shop, whose checkouts own data and are live as they are held."""
    previous = np.array(problem.reference)
    previous[0] = held
    permitted = EVERY_WAY if ways is None else ways
    custody = Custody(
        flows=(0,), held=held, ways=permitted, least=problem.lower[0], most=problem.upper[0]
    )
    return replace(
        problem,
        previous=previous,
        custody=(custody,),
        lower=np.zeros_like(previous),
        upper=np.ones_like(previous),
        move_cost=np.array([DATA_S, FREE_S, FREE_S]),
    )


def uneven(rise: float) -> Floats:
    held = np.full(6, 1 / 6)
    held[0] += rise
    held[1] -= rise
    return held


def test_the_price_of_moving_data_is_over_all_that_looks_can_gain() -> None:
    """The figures of decision 0008."""
    prices = Prices()
    gain = 2.0 * prices.deviation * 2.0 + prices.spread
    assert gain == pytest.approx(0.084)
    assert 2.0 * prices.churn * DATA_S == pytest.approx(0.12)
    assert 2.0 * prices.churn * KEY_S == pytest.approx(0.003)
    assert prices.short / (2.0 * prices.churn) == pytest.approx(500.0)


@given(st.floats(0.0, 0.16))
def test_data_is_not_moved_for_looks(rise: float) -> None:
    held = uneven(rise)
    solution = SOLVER.solve(owning(shop(0.5), held))
    assert solution.status is SolveStatus.OPTIMAL
    assert solution.shares[0] == pytest.approx(held, abs=1e-6)


def test_keys_without_data_are() -> None:
    problem = shop(0.5)
    previous = np.array(problem.reference)
    previous[0] = uneven(0.05)
    solution = SOLVER.solve(replace(problem, previous=previous))
    assert solution.shares[0] == pytest.approx(problem.reference[0], abs=1e-6)


def test_a_hot_cell_is_relieved_by_the_free_classes_first() -> None:
    capacity = np.full((6, 1), 3.0)
    capacity[0] = 2.0
    problem = replace(shop(0.66), capacity=capacity)
    solution = SOLVER.solve(owning(problem, np.full(6, 1 / 6)))
    assert solution.shares[0] == pytest.approx(np.full(6, 1 / 6), abs=1e-6)
    assert solution.shares[1:, 0].min() < 1 / 6 - 0.02


def test_risk_moves_data_whatever_it_costs() -> None:
    problem = shop(0.62, standing_risk=np.array([0.9, 0, 0, 0, 0, 0]))
    solution = SOLVER.solve(
        replace(owning(problem, np.full(6, 1 / 6)), move_cost=np.array([10_000.0, FREE_S, FREE_S]))
    )
    assert solution.shares[0, 0] == pytest.approx(0.0, abs=1e-6)
    bad_once = 10.0 * problem.demand_rps[0] / 6.0 * 10_000.0
    assert solution.costs["moving"] >= bad_once * 0.999


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 1.4))
def test_shares_stay_where_data_can_be_and_a_plan_is_always_found(seed: int, load: float) -> None:
    rng = np.random.default_rng(seed)
    held = rng.multinomial(64, np.full(6, 1 / 6)) / 64.0
    ways = (rng.random((6, 6)) < 0.3) & EVERY_WAY
    risk = np.where(rng.random(6) < 0.4, rng.random(6), 0.0)
    problem = owning(shop(load, standing_risk=risk), held, ways=ways)
    out = rng.random(6) < 0.3
    custody = replace(problem.custody[0], most=np.where(out, 0.0, 1.0))
    solution = SOLVER.solve(replace(problem, custody=(custody,)))
    assert solution.status is SolveStatus.OPTIMAL
    gained = np.maximum(solution.shares[0] - held, 0.0)
    for target in np.flatnonzero(gained > 1e-6).tolist():
        sources = ways[:, target]
        assert sources.any(), "no declared way leads there"
        # A cell between may pass on no more than it had.
        assert gained[target] <= held[sources].sum() + 1e-6


def test_a_cell_back_in_service_gets_its_least_if_that_is_worth_the_move() -> None:
    held = np.array([0.0, 0.2, 0.2, 0.2, 0.2, 0.2])
    problem = owning(shop(0.5), held)
    least = np.full(6, 1 / 12)
    custody = (replace(problem.custody[0], least=least),)
    solution = SOLVER.solve(replace(problem, custody=custody))
    assert solution.shares[0, 0] == pytest.approx(1 / 12, abs=1e-6)
    dear = replace(problem, custody=custody, move_cost=np.array([2_000.0, FREE_S, FREE_S]))
    assert SOLVER.solve(dear).shares[0, 0] == pytest.approx(0.0, abs=1e-6)
