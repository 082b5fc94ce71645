"""This module is the choice of a planner by size: exact where that is quick, descent above.

Both answer the same question in the same order of goals; the exact one's answer is proven. Times
of one solve, exact against descent, median of three seeds in a normal tick (with demand doubled),
one region, three resources: 80 cells x classes 5 (9) ms against 4 (9); 256: 24 (46) against 6
(13); 1,000: 162 (242) against 19 (29). A tick is a second: up to `EXACT_PAIRS` exactness costs
nothing that anybody waits for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from foreshard.planning.descent.solver import DescentSolver
from foreshard.planning.exact import ExactSolver
from foreshard.planning.problem import Problem
from foreshard.planning.solver import Solution, Solver

__all__ = ["EXACT_PAIRS", "EXACT_PAIRS_WITH_DATA", "FleetSolver"]

EXACT_PAIRS = 256
# Descent leaves traffic with its data and asks for no hand-over; so the exact planner, which
# moves slots along declared ways, is worth a longer wait where a class owns data.
EXACT_PAIRS_WITH_DATA = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSolver:
    """Plans fleets of every size.

    Attributes:
        exact: For small fleets, and for moderate ones with classes that own data.
        fast: For the others.
        pairs: Flows x cells up to which the exact one plans.
        pairs_with_data: The same when a class owns data.
    """

    exact: Solver = field(default_factory=ExactSolver)
    fast: Solver = field(default_factory=DescentSolver)
    pairs: int = EXACT_PAIRS
    pairs_with_data: int = EXACT_PAIRS_WITH_DATA

    def solve(self, problem: Problem) -> Solution:
        """Split every flow."""
        return self.choose(problem).solve(problem)

    def choose(self, problem: Problem) -> Solver:
        """Who plans this one."""
        flows, cells, _ = problem.shape
        most = self.pairs_with_data if problem.custody else self.pairs
        return self.exact if flows * cells <= most else self.fast
