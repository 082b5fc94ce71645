"""This module is the honest bill: rate x p(load) as it is, beside the surrogate."""

from __future__ import annotations

import numpy as np

from foreshard.planning.problem import Floats, Problem, work_of
from foreshard.planning.risk import bad_per_share, excess_risk, load_segments

__all__ = ["expected_bad", "load_multiples", "surrogate_bad", "weight_per_work"]


def load_multiples(problem: Problem, shares: Floats) -> Floats:
    """[C] load that shares [F, C] put on each cell, in multiples of its present load.

    0 for a cell whose present work is 0 or unknown.
    """
    if problem.load_risk is None:
        return np.zeros(len(problem.cells))
    work = work_of(problem.needs, problem.capacity, shares * problem.demand_rps[:, None])
    present = problem.load_risk.present_work
    return np.where(present > 0.0, work / np.where(present > 0.0, present, 1.0), 0.0)


def weight_per_work(problem: Problem) -> float:
    """Weighted requests behind one unit of work, in the fleet's mean mix."""
    work = float(work_of(problem.needs, problem.capacity, problem.demand_rps))
    return float(problem.weight @ problem.demand_rps) / work if work > 0.0 else 0.0


def expected_bad(problem: Problem, shares: Floats) -> float:
    """Weighted bad requests a second, with each cell's own mix and its curve as given.

    Risk up to the problem's floor counts as none, as it does for the planner.
    """
    total = float((bad_per_share(problem) * shares).sum())
    risk = problem.load_risk
    if risk is None:
        return total
    excess = excess_risk(problem)
    loads = load_multiples(problem, shares)
    p = np.array([np.interp(loads[c], risk.loads, excess[c]) for c in range(loads.size)])
    rate = (problem.weight * problem.demand_rps) @ shares
    return total + float(rate @ p)


def surrogate_bad(problem: Problem, shares: Floats) -> float:
    """The same as the planner prices it: convex per cell, at the fleet's mean mix."""
    total = float((bad_per_share(problem) * shares).sum())
    if problem.load_risk is None:
        return total
    loads = load_multiples(problem, shares)
    per_work = weight_per_work(problem)
    for c, segments in load_segments(problem).items():
        left, harm = float(loads[c]), 0.0
        for width, slope in segments:
            part = min(left, width)
            harm += part * slope
            left -= part
        total += harm * per_work * float(problem.load_risk.present_work[c])
    return total
