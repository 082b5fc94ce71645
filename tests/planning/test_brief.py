from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.model.plan import Plan, Split
from foreshard.model.workload import Flow
from foreshard.planning.brief import (
    Bounds,
    Estimate,
    Ground,
    Risks,
    plan_from,
    problem_of,
    shares_of,
)
from foreshard.planning.exact import ExactSolver
from foreshard.planning.solver import Solution, SolveStatus
from tests.engine.shop import CELLS, CLASSES, fleet_of, request_class

FLOWS = tuple(Flow("eu", c.name) for c in CLASSES)
GROUND = Ground(
    fleet=fleet_of(),
    classes={c.name: c for c in CLASSES},
    flows=FLOWS,
    resources=("cpu",),
)
ALL = np.ones((3, 6), dtype=bool)


def solution(shares: object, shed: object) -> Solution:
    made = ExactSolver().solve(
        problem_of(
            GROUND,
            Estimate(
                demand_rps=np.array([180.0, 225.0, 45.0]),
                needs=np.array([[0.012], [0.024], [0.08]]),
                capacity=np.full((6, 1), 3.0),
            ),
            Bounds(
                takes=np.ones(6, dtype=bool),
                lower=np.zeros((3, 6)),
                upper=np.ones((3, 6)),
                least_shed=np.zeros(3),
            ),
            Risks(standing=np.zeros(6), load=None),
            previous=None,
        )
    )
    assert made.status is SolveStatus.OPTIMAL
    return replace(made, shares=np.asarray(shares), shed=np.asarray(shed))


def test_residency_decides_who_is_eligible() -> None:
    bound = Ground(
        fleet=GROUND.fleet,
        classes={
            **GROUND.classes,
            "checkout": request_class("checkout", regions=frozenset({"us"})),
        },
        flows=FLOWS,
        resources=("cpu",),
    )
    assert bound.eligible[0].tolist() == [False] * 3 + [True] * 3
    assert bound.eligible[1:].all()


def test_a_quiet_problem_is_answered_by_the_reference() -> None:
    quiet = solution(np.full((3, 6), 1.0 / 6.0), np.zeros(3))
    plan = plan_from(quiet, GROUND, ALL)
    assert np.allclose(shares_of(plan, GROUND), 1.0 / 6.0)


def test_rounding_of_the_solver_is_no_share() -> None:
    shares = np.full((3, 6), 1.0 / 6.0)
    shares[0] = [0.99999, 1e-5, 0.0, 0.0, 0.0, 0.0]
    plan = plan_from(solution(shares, [0.0, 0.0, 1e-6]), GROUND, ALL)
    assert plan.splits[FLOWS[0]].shares == {"eu-1": 1.0}
    assert plan.splits[FLOWS[2]].shed == 0.0


def test_a_flow_that_is_shed_whole_keeps_a_trace_where_it_may_go() -> None:
    shares = np.full((3, 6), 1.0 / 6.0)
    shares[2] = 0.0
    able = ALL.copy()
    able[2, 0] = False
    plan = plan_from(solution(shares, [0.0, 0.0, 1.0]), GROUND, able)
    split = plan.splits[FLOWS[2]]
    assert set(split.shares) == set(CELLS[1:])
    assert split.shed == pytest.approx(0.999, abs=1e-3)


def test_a_flow_that_a_plan_does_not_have_has_no_shares() -> None:
    plan = Plan(splits={FLOWS[0]: Split(shares={"eu-1": 1.0})})
    assert shares_of(plan, GROUND).sum(axis=1).tolist() == [1.0, 0.0, 0.0]
