from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.model.errors import PlanningError
from foreshard.planning.exact import ExactSolver
from foreshard.planning.formulation import Prices
from foreshard.planning.problem import LoadRisk, Problem
from foreshard.planning.solver import SolveStatus
from foreshard.planning.true_cost import expected_bad, surrogate_bad
from foreshard.testing.conformance.solver import check_solver
from tests.planning.samples import LOADS, problems, shop

SOLVER = ExactSolver()
CHECKOUT, SEARCH, REPORT = range(3)
FIRST = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def class_risk(*cells: int, p: float = 0.9) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    risk = np.zeros((3, 6))
    risk[SEARCH, list(cells)] = p
    return risk


def test_it_keeps_the_contract_of_solvers() -> None:
    check_solver(SOLVER)


@pytest.mark.parametrize("load", [0.0, 0.3, 0.62, 0.8, 0.85])
def test_a_quiet_fleet_gets_exactly_the_reference(load: float) -> None:
    problem = shop(load, previous=np.full((3, 6), 1.0 / 6.0))
    assert np.array_equal(SOLVER.solve(problem).shares, problem.reference)


def test_risk_under_the_floor_moves_nothing() -> None:
    noise = np.array([0.04, 0.01, 0.0, 0.03, 0.02, 0.05])
    problem = shop(standing_risk=noise)
    assert np.array_equal(SOLVER.solve(problem).shares, problem.reference)


def test_a_failing_cell_is_emptied_and_the_others_share_alike() -> None:
    shares = SOLVER.solve(shop(standing_risk=0.5 * FIRST)).shares
    assert np.allclose(shares, [0.0, 0.2, 0.2, 0.2, 0.2, 0.2])


def test_a_failing_cell_loses_only_what_its_bounds_allow() -> None:
    lower = np.zeros((3, 6))
    lower[:, 0] = 1.0 / 12.0
    shares = SOLVER.solve(shop(standing_risk=0.5 * FIRST, lower=lower)).shares
    assert np.allclose(shares[:, 0], 1.0 / 12.0)
    assert np.allclose(shares[:, 1:], (1.0 - 1.0 / 12.0) / 5.0)


@pytest.mark.parametrize("load", [0.71, 0.75, 0.8, 0.84])
def test_an_evacuation_does_not_lead_the_rest_over_the_soft_ceiling(load: float) -> None:
    solution = SOLVER.solve(shop(load, standing_risk=0.5 * FIRST))
    assert solution.utilisation.max() <= 0.85 + 1e-6
    assert solution.shed.max() == 0.0
    # What has to stay is what counts least.
    assert np.allclose(solution.shares[[CHECKOUT, SEARCH], 0], 0.0, atol=1e-6)


def test_a_creeping_cell_is_lightened_and_not_emptied() -> None:
    capacity = np.full((6, 1), 3.0)
    capacity[0] = 1.5
    used = SOLVER.solve(shop(capacity=capacity)).utilisation[:, 0]
    assert np.allclose(used[1:], used[1])
    assert used[1] <= used[0] <= used[1] + 0.1


@pytest.mark.parametrize("load", [0.5, 0.62, 0.71])
def test_a_class_that_suffers_in_a_cell_is_moved_alone(load: float) -> None:
    problem = shop(load, class_risk=class_risk(0), previous=np.full((3, 6), 1.0 / 6.0))
    shares = SOLVER.solve(problem).shares
    assert np.allclose(shares[SEARCH], [0.0, 0.2, 0.2, 0.2, 0.2, 0.2])
    assert np.array_equal(shares[[CHECKOUT, REPORT]], problem.reference[[CHECKOUT, REPORT]])


def test_load_dependent_risk_is_relieved_and_the_keys_stay() -> None:
    p = np.zeros((6, LOADS.size))
    p[0] = np.clip(LOADS - 0.7, 0.0, 1.0)
    risk = LoadRisk(loads=LOADS, p=p, present_work=np.full(6, 0.62))
    shares = SOLVER.solve(shop(load_risk=risk)).shares
    assert np.allclose(shares[CHECKOUT], 1.0 / 6.0)
    assert 0.0 < shares[SEARCH:, 0].sum() < 2.0 / 6.0


@pytest.mark.parametrize(
    ("load", "shed"),
    [(0.93, (0, 0, 0)), (0.95, (0, 0, 1)), (1.0, (0, 0, 1)), (2.0, (0, 1, 1)), (6.0, (1, 1, 1))],
)
def test_sheddable_work_goes_first_and_before_queues_form(
    load: float, shed: tuple[int, int, int]
) -> None:
    solution = SOLVER.solve(shop(load))
    assert tuple(int(x > 0.0) for x in solution.shed) == shed
    assert solution.utilisation.max() <= 0.97 + 1e-9


def test_evacuation_at_high_load_keeps_sheddable_work_rather_than_shedding() -> None:
    solution = SOLVER.solve(shop(0.8, standing_risk=0.5 * FIRST))
    assert solution.shed.max() == 0.0
    assert solution.shares[REPORT, 0] > 0.0


def test_a_flow_that_no_cell_takes_is_shed_whole() -> None:
    upper = np.ones((3, 6))
    upper[REPORT] = 0.0
    solution = SOLVER.solve(shop(upper=upper))
    assert solution.shed.tolist() == [0.0, 0.0, 1.0]


def test_traffic_stays_near_unless_queues_are_worse() -> None:
    latency = np.zeros((3, 6))
    latency[:, 3:] = 0.08
    near = np.tile([1 / 3, 1 / 3, 1 / 3, 0.0, 0.0, 0.0], (3, 1))
    calm = SOLVER.solve(shop(0.3, latency_s=latency, reference=near))
    assert np.array_equal(calm.shares, near)
    busy = SOLVER.solve(shop(0.6, latency_s=latency, reference=near))
    assert busy.shares[:, 3:].sum() > 0.5
    assert busy.utilisation.max() <= 0.85 + 1e-6


def test_bounds_that_force_overload_are_kept_and_priced() -> None:
    lower = np.zeros((3, 6))
    lower[:, 0] = 1.0
    solution = SOLVER.solve(shop(lower=lower))
    assert solution.status is SolveStatus.OPTIMAL
    assert solution.costs["overload"] > 2.0


def test_a_solve_that_runs_out_of_time_says_so_and_has_no_plan() -> None:
    solution = ExactSolver(time_limit_s=1e-9).solve(shop(1.2))
    assert solution.status is SolveStatus.OUT_OF_TIME
    assert not solution.has_plan


def test_prices_that_are_negative_are_refused() -> None:
    with pytest.raises(PlanningError, match="must be >= 0"):
        Prices(churn=-1.0)


@settings(max_examples=150, deadline=None)
@given(problems())
def test_every_plan_is_feasible(problem: Problem) -> None:
    solution = SOLVER.solve(problem)
    assert solution.status is SolveStatus.OPTIMAL
    assert np.allclose(solution.shares.sum(axis=1) + solution.shed, 1.0, atol=1e-9)
    assert (solution.shares >= problem.lower).all()
    assert (solution.shares <= problem.upper).all()
    assert (solution.shares[~problem.eligible] == 0.0).all()
    assert (solution.shed >= 0.0).all()
    forced = problem.utilisation(problem.lower)
    over = solution.utilisation > np.maximum(problem.hard_utilisation, forced) + 1e-5
    assert not over.any()


@settings(max_examples=100, deadline=None)
@given(problems())
def test_nothing_important_is_shed_while_something_lesser_is_served_in_its_place(
    problem: Problem,
) -> None:
    """Trading a served, lesser request for a shed one in the same cell never fits."""
    solution = SOLVER.solve(problem)
    load = problem.load_per_share
    rank = np.clip(problem.priority, 0, 2)
    for f in np.flatnonzero(solution.shed > 1e-3):
        able = solution.shares[f] < problem.upper[f] - 1e-3
        for g in np.flatnonzero((rank > rank[f]) & (problem.demand_rps > 0.0)):
            spare = solution.shares[g] - problem.lower[g]
            for c in np.flatnonzero(able & (spare > 1e-3)):
                used = load[f, c] > 0.0
                helps = (load[g, c][used] > 0.0).all()
                assert not helps or problem.demand_rps[f] <= 0.0


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(0, 6), st.floats(0.0, 1.0))
def test_more_risk_never_attracts_work(problem: Problem, cell: int, p: float) -> None:
    cell %= len(problem.cells)
    risk = problem.standing_risk.copy()
    risk[cell] = max(risk[cell], p)
    calm = replace(problem, load_risk=None, class_risk=np.empty(0))
    before = SOLVER.solve(calm).shares[:, cell]
    after = SOLVER.solve(replace(calm, standing_risk=risk)).shares[:, cell]
    rate = calm.weight * calm.demand_rps
    assert rate @ after <= rate @ before + 1e-4 * rate.sum()


@settings(max_examples=60, deadline=None)
@given(problems())
def test_no_random_split_is_better_than_the_proven_one(problem: Problem) -> None:
    """Among splits that neither shed nor pass the soft ceiling, the surrogate is the least."""
    solution = SOLVER.solve(problem)
    if solution.shed.max() > 0.0 or solution.utilisation.max() > problem.soft_utilisation:
        return
    rng = np.random.default_rng(1)
    best = surrogate_bad(problem, solution.shares)
    for _ in range(20):
        other = rng.dirichlet(np.full(len(problem.cells), 0.5), len(problem.flows))
        shares = solution.shares + rng.random() * (other - solution.shares)
        inside = (shares >= problem.lower).all() and (shares <= problem.upper).all()
        if inside and problem.utilisation(shares).max() <= problem.soft_utilisation:
            assert best <= surrogate_bad(problem, shares) + 1e-4 * (1.0 + best)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_solving_twice_gives_the_same_plan_bit_for_bit(problem: Problem) -> None:
    first, second = SOLVER.solve(problem), ExactSolver().solve(problem)
    assert np.array_equal(first.shares, second.shares)
    assert np.array_equal(first.shed, second.shed)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_true_cost_never_exceeds_all_traffic(problem: Problem) -> None:
    shares = SOLVER.solve(problem).shares
    whole = float(problem.weight @ problem.demand_rps)
    assert 0.0 <= expected_bad(problem, shares) <= 2.0 * whole + 1e-9
