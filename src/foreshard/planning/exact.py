"""This module is the exact planner: one linear program, solved goal after goal.

Goals, each confined to the optima of those above it (see `lexicographic`):

1. nothing above the hard ceiling that bounds on shares do not force there;
2. shed as little as possible, sheddable work first, and before queues form: utilisation above
   the soft ceiling is three bands, and each priority is shed before the band above it is used
   (sheddable over normal queues, normal over long ones, critical only at the hard ceiling);
3. fewest expected bad requests: the convex surrogate of `risk`;
4. comfort, in one currency: latency above the reference's own, imbalance where it hurts,
   distance from the reference (so that a quiet plan *is* the reference), and churn.

The first band of overload outranks expected bad requests on purpose: a false evacuation that
fills the rest past 85 % did more harm in measurements than the failure it feared. Work that
must leave whatever the rest thinks (a dead cell) is a bound on shares, not a risk.

Solving is cold and therefore a pure function of the problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import highspy
import numpy as np

from foreshard.planning.formulation import (
    BANDS,
    LEAST_DEMAND,
    Columns,
    Formulation,
    Prices,
    formulate,
)
from foreshard.planning.lexicographic import Lexicographic
from foreshard.planning.problem import Floats, Problem
from foreshard.planning.solver import Solution, SolveStatus
from foreshard.planning.true_cost import surrogate_bad

__all__ = ["ExactSolver", "costs_of"]

# Shares this close to a bound, the reference or the live plan are meant to be there.
SNAP = 1e-6
# Sums of anchored shares are off by this much without anything being wrong.
FLOAT_DUST = 1e-12

STATUS: Mapping[highspy.HighsModelStatus, SolveStatus] = {
    highspy.HighsModelStatus.kTimeLimit: SolveStatus.OUT_OF_TIME,
    highspy.HighsModelStatus.kInfeasible: SolveStatus.INFEASIBLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSolver:
    """Plans by HiGHS, for small fleets and as the oracle of faster planners.

    Attributes:
        prices: Of comfort.
        time_limit_s: Of wall time, for each goal; a safety net, not a budget: a solve that
            meets it is OUT_OF_TIME and no longer a pure function of the problem.
    """

    prices: Prices = field(default_factory=Prices)
    time_limit_s: float = 5.0

    def solve(self, problem: Problem) -> Solution:
        """Split every flow; see the module for the order of goals."""
        model = formulate(problem, self.prices)
        search = Lexicographic(model.program, time_limit_s=self.time_limit_s)
        status = SolveStatus.OPTIMAL
        for goal in _goals(problem, model, search):
            ended = search.minimise(goal)
            if ended != highspy.HighsModelStatus.kOptimal:
                status = STATUS.get(ended, SolveStatus.FAILED)
                break
        shares, shed = _cleaned(problem, search.values[model.shares], search.values[model.shed])
        return Solution(
            status=status,
            shares=shares,
            shed=shed,
            gap_ratio=0.0 if status is SolveStatus.OPTIMAL else float("inf"),
            costs=costs_of(problem, shares, shed)
            | {"balance": float(search.values[model.balance].sum())},
            utilisation=problem.utilisation(shares),
        )


def _goals(problem: Problem, model: Formulation, search: Lexicographic) -> Iterator[Floats]:
    """Cost vectors, most important first; each is settled when the next is asked for."""
    urgent = np.concatenate([model.over.ravel(), model.bands.ravel(), model.shed])
    yield _sum_of(model, urgent, 1.0)
    if search.values[urgent].max() <= SNAP:
        search.settle()
    else:
        for columns, prices in _relief(problem, model):
            yield _sum_of(model, columns, prices)
            search.settle()
    if model.bad.any():
        yield model.bad
        search.settle()
    yield model.comfort


def _relief(problem: Problem, model: Formulation) -> Iterator[tuple[Columns, Floats | float]]:
    """Overload, then shedding and bands in turn, critical first."""
    weight = problem.weight * problem.demand_rps
    rank = np.clip(problem.priority, 0, len(BANDS) - 1)
    yield model.over.ravel(), 1.0
    for level, band in enumerate(reversed(model.bands)):
        mine = rank == level
        if mine.any():
            share = weight[mine] / max(float(weight[mine].sum()), 1e-12)
            yield model.shed[mine], np.maximum(share, LEAST_DEMAND)
        yield band.ravel(), 1.0


def _sum_of(model: Formulation, columns: Columns, prices: Floats | float) -> Floats:
    cost = np.zeros(model.program.columns)
    cost[columns] = prices
    return cost


def _cleaned(problem: Problem, shares: Floats, shed: Floats) -> tuple[Floats, Floats]:
    """Shares and shed without the solver's rounding: within bounds, summing to 1."""
    if not np.isfinite(shares).all():
        return shares, shed
    shares = np.clip(shares, problem.lower, problem.upper)
    shed = np.where(shed < SNAP, 0.0, np.minimum(shed, 1.0))
    anchors = [problem.upper, problem.lower, (1.0 - shed)[:, None] * problem.reference]
    if problem.previous is not None:
        anchors.insert(0, problem.previous)
    for anchor in anchors:
        inside = np.clip(anchor, problem.lower, problem.upper)
        shares = np.where(np.abs(shares - inside) < SNAP, inside, shares)
    for f in range(shed.size):
        rest = 1.0 - shed[f] - shares[f].sum()
        if abs(rest) <= FLOAT_DUST:
            continue
        room = problem.upper[f] - shares[f] if rest > 0.0 else shares[f] - problem.lower[f]
        roomy = int(np.argmax(room))
        step = float(np.clip(rest, -room[roomy], room[roomy]))
        shares[f, roomy] += step
        shed[f] = max(0.0, shed[f] + rest - step)
    return shares, shed


def costs_of(problem: Problem, shares: Floats, shed: Floats) -> dict[str, float]:
    """What a split costs, by term, as `Solution.costs` names them; without balance."""
    used = problem.utilisation(shares)
    demand = problem.demand_rps
    home = problem.reference
    latency_s = (shares * problem.latency_s).sum(axis=1)
    at_home_s = (1.0 - shed) * (home * problem.latency_s).sum(axis=1)
    whole = max(float(demand.sum()), 1e-12)
    away = np.abs(shares - (1.0 - shed)[:, None] * home).sum(axis=1) / 2.0
    live = shares if problem.previous is None else problem.previous
    moved = np.abs(shares - live).sum(axis=1) / 2.0
    return {
        "overload": float(np.maximum(0.0, used - problem.hard_utilisation).sum()),
        "soft": float(np.maximum(0.0, used - problem.soft_utilisation).sum()),
        "shed": float((problem.weight * demand) @ shed),
        "bad": surrogate_bad(problem, shares),
        "latency": float(demand @ np.maximum(0.0, latency_s - at_home_s)),
        "deviation": float(demand @ away) / whole,
        "churn": float(demand @ moved) / whole,
        "moving": float((problem.weight * demand * problem.move_cost) @ moved),
    }
