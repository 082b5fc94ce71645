"""Classes whose needs nobody declared: they are planned with by what cells use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.engine.workload import Profiler
from foreshard.model.workload import Flow, Needs
from foreshard.planning.exact import ExactSolver, costs_of
from foreshard.planning.problem import Problem
from tests.engine.shop import CELLS, CLASSES, Shop, calm, engine_of, fleet_of

Array = NDArray[np.float64]

TRUE = np.array([[c.declared.per_request["cpu"]] for c in CLASSES])
RATES = {"checkout": 108.0, "search": 135.0, "report": 27.0}
UNDECLARED = tuple(replace(c, declared=Needs()) if c.name == "report" else c for c in CLASSES)


def estimated(seed: int) -> Array:
    """[F, R] needs after two minutes in which nobody said what a report costs."""
    fleet = fleet_of()
    engine = engine_of(fleet, classes=UNDECLARED)
    rng = np.random.default_rng(seed)
    shop = Shop(engine=engine, fleet=fleet, rates=dict(RATES), noise=rng)
    shop.run(120, calm(0.0))
    profiler = Profiler(fleet, UNDECLARED, ("eu",))
    return profiler.estimate(shop.state.workload).needs


def crowded(needs: Array, *, reports_rps: float = 81.0) -> Problem:
    """Three cells at home that a surge of reports fills, three abroad that are idle."""
    home = np.array([name.startswith("eu") for name in CELLS], dtype=float)
    flows = tuple(Flow("eu", c.name) for c in CLASSES)
    at_home = np.tile(home / home.sum(), (len(flows), 1))
    return Problem(
        cells=CELLS,
        resources=("cpu",),
        flows=flows,
        demand_rps=np.array([RATES["checkout"], RATES["search"], reports_rps]),
        needs=needs,
        capacity=np.full((6, 1), 3.0),
        eligible=np.ones((3, 6), dtype=bool),
        weight=np.array([c.weight for c in CLASSES]),
        priority=np.array([int(c.priority) for c in CLASSES]),
        keyed=np.array([c.is_keyed for c in CLASSES]),
        reference=at_home,
        previous=at_home,
        latency_s=np.tile(np.where(home > 0.0, 0.0, 0.08), (3, 1)),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_an_undeclared_class_costs_is_told_by_what_cells_use(seed: int) -> None:
    np.testing.assert_allclose(estimated(seed)[2], TRUE[2], rtol=0.2)


def test_one_undeclared_class_costs_no_resource_that_the_others_declare() -> None:
    both = tuple(
        replace(c, declared=Needs(per_request={"cpu": 0.01, "memory": 1e6})) for c in CLASSES[:2]
    )
    profiler = Profiler(fleet_of(), (*both, UNDECLARED[2]), ("eu",))
    assert profiler.resources == ("cpu", "memory")


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("reports_rps", [81.0, 300.0])
def test_a_plan_by_estimated_needs_is_at_most_two_per_cent_worse(
    seed: int, reports_rps: float
) -> None:
    truth = crowded(TRUE, reports_rps=reports_rps)
    best = ExactSolver().solve(truth)
    ours = ExactSolver().solve(crowded(estimated(seed), reports_rps=reports_rps))
    value = truth.weight * truth.demand_rps
    assert value @ (1.0 - ours.shed) >= 0.98 * (value @ (1.0 - best.shed))
    # By the true costs, no cell is fuller than the true plan's by more than that.
    full = truth.utilisation(ours.shares).max()
    assert full <= 1.02 * max(float(truth.utilisation(best.shares).max()), truth.soft_utilisation)
    late = [costs_of(truth, s.shares, s.shed)["latency"] for s in (ours, best)]
    assert late[0] <= late[1] + 0.02 * 0.08 * float(truth.demand_rps.sum())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hot_heavy_class_alone_is_moved(seed: int) -> None:
    problem = crowded(estimated(seed))
    solution = ExactSolver().solve(problem)
    assert problem.previous is not None
    moved = np.abs(solution.shares - problem.previous).sum(axis=1) / 2.0
    assert moved[2] > 0.2
    assert np.all(moved[:2] < 0.02)
