"""This module is the contract of solvers: what no plan may do, however it was found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from foreshard.model.workload import Flow
from foreshard.planning.problem import Floats, Problem
from foreshard.planning.solver import Solution, Solver
from foreshard.testing.conformance.verdict import require

__all__ = ["check_solver"]

CELLS = ("a", "b", "c", "d")
FLOWS = (Flow("here", "critical"), Flow("here", "normal"), Flow("here", "sheddable"))
# Shares of a planner that stops early are near, not at, the optimum.
SUM_TOLERANCE = 1e-6
SHARE_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    name: str
    problem: Problem
    solution: Solution

    def require(self, kept: object, sentence: str) -> None:
        require(kept, f"{self.name}: {sentence}")


def check_solver(solver: Solver) -> None:
    """Hold a `Solver` to its contract, on problems of four cells and three flows.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    _check_quiet(_solve(solver, "a quiet fleet", _problem()))
    _check_failing(_solve(solver, "a failing cell", _problem(standing_risk=(0.9, 0.0, 0.0, 0.0))))
    _check_barred(_solve(solver, "a cell nobody may use", _without(_problem(), cell=1)))
    _check_bounded(_solve(solver, "bounds on shares", _bounded(_problem())))
    _check_overload(_solve(solver, "twice what the fleet can carry", _problem(load=2.0)))


def _problem(
    *, load: float = 0.6, standing_risk: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
) -> Problem:
    """Four equal cells of 100 cpu seconds a second, three flows with a third of the work each."""
    flows, cells = len(FLOWS), len(CELLS)
    return Problem(
        cells=CELLS,
        resources=("cpu",),
        flows=FLOWS,
        demand_rps=np.full(flows, load * 400.0 / 3.0),
        needs=np.ones((flows, 1)),
        capacity=np.full((cells, 1), 100.0),
        eligible=np.ones((flows, cells), dtype=bool),
        weight=np.array([10.0, 3.0, 1.0]),
        priority=np.array([0, 1, 2]),
        keyed=np.array([True, False, False]),
        reference=np.full((flows, cells), 0.25),
        standing_risk=np.array(standing_risk),
    )


def _without(problem: Problem, *, cell: int) -> Problem:
    eligible = problem.eligible.copy()
    eligible[:, cell] = False
    reference = np.where(eligible, problem.reference, 0.0)
    return replace(
        problem,
        eligible=eligible,
        reference=reference / reference.sum(axis=1, keepdims=True),
        upper=np.where(eligible, 1.0, 0.0),
    )


def _bounded(problem: Problem) -> Problem:
    """Cell a may hold at most a tenth of each flow, cell b has to hold four tenths."""
    upper, lower = np.ones_like(problem.reference), np.zeros_like(problem.reference)
    upper[:, 0], lower[:, 1] = 0.1, 0.4
    return replace(problem, lower=lower, upper=upper)


def _solve(solver: Solver, name: str, problem: Problem) -> _Case:
    solution = solver.solve(problem)
    case = _Case(name=name, problem=problem, solution=solution)
    case.require(solution.has_plan, f"ended {solution.status} without a plan; there is one")
    flows, cells, resources = problem.shape
    shapes = (solution.shares.shape, solution.shed.shape, solution.utilisation.shape)
    case.require(
        shapes == ((flows, cells), (flows,), (cells, resources)),
        f"shares, shed and utilisation have shapes {shapes}",
    )
    low = min(float(solution.shares.min()), float(solution.shed.min()))
    case.require(low >= -SUM_TOLERANCE, f"a share is {low}, must be 0 or more")
    totals = solution.shares.sum(axis=1) + solution.shed
    off = float(np.abs(totals - 1.0).max())
    case.require(off <= SUM_TOLERANCE, f"shares and shed sum to {totals}, must sum to 1")
    outside = _most(problem.lower - solution.shares, solution.shares - problem.upper)
    case.require(outside <= SUM_TOLERANCE, f"a share is outside its bounds by {outside}")
    said, true = solution.utilisation, problem.utilisation(solution.shares)
    case.require(
        _most(said - true, true - said) <= SUM_TOLERANCE,
        f"utilisation is given as {said.ravel()}, its shares make {true.ravel()}",
    )
    case.require(solution.gap_ratio >= 0.0, f"gap_ratio is {solution.gap_ratio}, must be >= 0")
    again = solver.solve(problem)
    case.require(
        np.array_equal(again.shares, solution.shares)
        and np.array_equal(again.shed, solution.shed),
        "solved twice, gave two plans; it must be deterministic",
    )
    return case


def _check_quiet(case: _Case) -> None:
    shares, shed = case.solution.shares, case.solution.shed
    case.require(float(shed.max()) <= SUM_TOLERANCE, f"sheds {shed} though there is room")
    off = float(np.abs(shares - case.problem.reference).max())
    case.require(off <= SUM_TOLERANCE, f"leaves the reference by {off} without any reason")


def _check_failing(case: _Case) -> None:
    left = float(case.solution.shares[:, 0].max())
    case.require(left <= SHARE_TOLERANCE, f"leaves a share of {left} on a cell with P 0.9")
    case.require(
        float(case.solution.shed.max()) <= SHARE_TOLERANCE,
        f"sheds {case.solution.shed} though three cells have room at 80 %",
    )


def _check_barred(case: _Case) -> None:
    given = float(case.solution.shares[:, 1].max())
    case.require(given == 0.0, f"gives it {given}; it must get nothing at all")


def _check_bounded(case: _Case) -> None:
    case.require(
        float(case.solution.shed.max()) <= SUM_TOLERANCE, "sheds though every flow has room"
    )


def _check_overload(case: _Case) -> None:
    shed, used = case.solution.shed, case.solution.utilisation
    case.require(
        float(used.max()) <= case.problem.hard_utilisation + SHARE_TOLERANCE,
        f"fills a cell to {used.max()}, the ceiling is {case.problem.hard_utilisation}",
    )
    case.require(
        float(shed[2]) >= 1.0 - SHARE_TOLERANCE,
        f"sheds {shed}: more important flows may only be shed once sheddable ones are gone",
    )
    case.require(
        bool(shed[0] <= SHARE_TOLERANCE) or bool(shed[1] >= 1.0 - SHARE_TOLERANCE),
        f"sheds {shed}: a critical request while a normal one is served",
    )


def _most(*arrays: Floats) -> float:
    return max(float(array.max()) for array in arrays)
