from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from foreshard.model.errors import PlanningError
from foreshard.planning.problem import (
    LoadRisk,
    Problem,
    reference_shares,
    work_of,
    work_per_request,
)
from tests.planning.samples import problems, shop

NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eligible": np.zeros((3, 6), dtype=bool)}, "checkout from edge: no cell is eligible"),
        ({"needs": np.array([[0.1], [-0.2], [0.1]])}, "needs has -0.2"),
        ({"demand_rps": np.array([1.0, NAN, 1.0])}, "demand_rps has nan"),
        ({"capacity": np.zeros((6, 1))}, "capacity has 0.0, must be > 0"),
        ({"standing_risk": np.full(6, 1.5)}, "standing_risk ranges 1.5"),
        ({"lower": np.full((3, 6), 0.3)}, "least_shed sum to 1.8"),
        (
            {"lower": np.full((3, 6), 0.1), "upper": np.full((3, 6), 0.05)},
            "cell eu-1: lower bound 0.1 is above upper bound 0.05",
        ),
        ({"reference": np.full((3, 6), 0.1)}, "reference sums to 0.6"),
        ({"weight": np.ones(2)}, "weight has shape"),
        ({"keyed": np.ones(2, dtype=bool)}, "keyed has shape"),
        ({"soft_utilisation": 0.99}, "soft_utilisation is 0.99"),
        ({"risk_floor": 1.0}, "risk_floor is 1.0"),
        ({"cells": ()}, "0 cells"),
    ],
)
def test_a_problem_without_meaning_is_refused_in_words(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(PlanningError, match=words):
        shop(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loads": np.array([0.5, 1.0])}, "rise strictly from 0"),
        ({"p": np.array([[0.5, 0.1]])}, "must not fall"),
        ({"p": np.array([[0.5, 1.1]])}, "must lie in"),
        ({"p": np.array([[0.5]])}, "p has shape"),
        ({"present_work": np.array([-1.0])}, "present_work"),
    ],
)
def test_a_risk_curve_without_meaning_is_refused(changes: dict[str, Any], words: str) -> None:
    risk = LoadRisk(
        loads=np.array([0.0, 1.0]), p=np.array([[0.0, 0.5]]), present_work=np.array([1.0])
    )
    with pytest.raises(PlanningError, match=words):
        replace(risk, **changes)


def test_load_risk_for_other_cells_is_refused() -> None:
    risk = LoadRisk(loads=np.array([0.0, 1.0]), p=np.zeros((2, 2)), present_work=np.ones(2))
    with pytest.raises(PlanningError, match="one row for every cell"):
        shop(load_risk=risk)


def test_an_ineligible_cell_is_bounded_by_zero() -> None:
    eligible = np.ones((3, 6), dtype=bool)
    eligible[0, 2] = False
    assert shop(eligible=eligible).upper[0].tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]


def test_arrays_are_copied_and_frozen() -> None:
    demand = np.array([1.0, 2.0, 3.0])
    problem = shop(demand_rps=demand)
    demand[0] = 99.0
    assert problem.demand_rps[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        problem.demand_rps[0] = 5.0


def test_the_reference_follows_capacity_of_the_scarcest_resource() -> None:
    capacity = np.array([[2.0, 10.0], [2.0, 5.0], [4.0, np.inf]])
    eligible = np.array([[True, True, True], [True, True, False]])
    takes = np.ones(3, dtype=bool)
    shares = reference_shares(capacity, eligible, takes)
    assert np.allclose(shares.sum(axis=1), 1.0)
    # Means are 2.67 and 7.5: sizes .75, .667 and 1.5.
    assert np.allclose(shares[1], [0.75 / (0.75 + 2 / 3), (2 / 3) / (0.75 + 2 / 3), 0.0])


def test_a_cell_that_takes_nothing_has_no_reference() -> None:
    takes = np.array([True, False])
    shares = reference_shares(np.ones((2, 1)), np.array([[True, True], [False, True]]), takes)
    assert shares.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_work_is_the_largest_need_of_a_mean_cell() -> None:
    needs, capacity = np.array([[1.0, 1.0], [0.5, 4.0]]), np.array([[10.0, 20.0], [10.0, 20.0]])
    assert work_per_request(needs, capacity).tolist() == [0.1, 0.2]
    assert work_of(needs, capacity, np.array([[5.0, 0.0], [0.0, 5.0]])).tolist() == [0.5, 1.0]


@given(problems())
def test_a_resource_without_limit_bounds_nothing(problem: Problem) -> None:
    boundless = replace(problem, capacity=np.full(problem.capacity.shape, np.inf))
    assert (boundless.utilisation(problem.reference) == 0.0).all()
