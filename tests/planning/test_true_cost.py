from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from foreshard.planning.exact import ExactSolver
from foreshard.planning.problem import LoadRisk, Problem, work_of
from foreshard.planning.risk import above_floor, bad_per_share, load_segments, lower_hull
from foreshard.planning.true_cost import expected_bad, load_multiples, surrogate_bad
from tests.planning.samples import LOADS, problems, shop


def with_load_risk(p_first: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Problem:
    p = np.zeros((6, LOADS.size))
    p[0] = p_first
    quiet = shop(risk_floor=0.0)
    present = work_of(quiet.needs, quiet.capacity, quiet.reference * quiet.demand_rps[:, None])
    return shop(risk_floor=0.0, load_risk=LoadRisk(loads=LOADS, p=p, present_work=present))


def test_standing_risk_is_rate_times_probability() -> None:
    problem = shop(risk_floor=0.0, standing_risk=np.array([0.5, 0, 0, 0, 0, 0]))
    weighted = float(problem.weight @ problem.demand_rps)
    assert expected_bad(problem, problem.reference) == pytest.approx(0.5 * weighted / 6.0)


def test_the_present_split_is_load_one() -> None:
    problem = with_load_risk(LOADS / 2.0)
    assert np.allclose(load_multiples(problem, problem.reference), 1.0)


def test_a_convex_curve_costs_the_same_in_truth_and_surrogate_at_the_mean_mix() -> None:
    problem = with_load_risk(LOADS / 2.0)
    truth = expected_bad(problem, problem.reference)
    assert truth == pytest.approx(0.5 * float(problem.weight @ problem.demand_rps) / 6.0)
    assert surrogate_bad(problem, problem.reference) == pytest.approx(truth)


def test_standing_risk_within_the_curve_is_not_counted_twice() -> None:
    p = np.full((6, LOADS.size), 0.4)
    curve = LoadRisk(loads=LOADS, p=p, present_work=np.full(6, 0.6))
    problem = shop(standing_risk=np.full(6, 0.4), load_risk=curve)
    assert load_segments(problem) == {}


def test_a_curve_of_a_cell_without_work_means_nothing() -> None:
    p = np.ones((6, LOADS.size))
    curve = LoadRisk(loads=LOADS, p=p, present_work=np.zeros(6))
    assert load_segments(shop(load_risk=curve)) == {}


def test_the_floor_takes_noise_off_and_leaves_certainty() -> None:
    priced = above_floor(np.array([0.0, 0.05, 0.525, 1.0]), 0.05)
    assert np.allclose(priced, [0.0, 0.0, 0.5, 1.0])


def test_risks_of_cell_and_class_are_independent() -> None:
    problem = shop(risk_floor=0.0, standing_risk=np.full(6, 0.5), class_risk=np.full((3, 6), 0.5))
    rate = problem.weight * problem.demand_rps
    assert np.allclose(bad_per_share(problem), 0.75 * rate[:, None])


def test_the_hull_is_below_the_points_and_convex() -> None:
    x, y = lower_hull(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 2.0, 1.0, 3.0]))
    assert x.tolist() == [0.0, 2.0, 3.0]
    assert y.tolist() == [0.0, 1.0, 3.0]


@settings(deadline=None)
@given(problems())
def test_slopes_of_the_surrogate_never_fall(problem: Problem) -> None:
    for segments in load_segments(problem).values():
        slopes = [slope for _, slope in segments]
        assert slopes == sorted(slopes)
        assert segments[-1][0] == float("inf")


@settings(max_examples=60, deadline=None)
@given(problems())
def test_without_load_response_surrogate_and_truth_agree(problem: Problem) -> None:
    shares = ExactSolver().solve(problem).shares
    if problem.load_risk is None:
        assert surrogate_bad(problem, shares) == pytest.approx(expected_bad(problem, shares))
