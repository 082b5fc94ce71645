from __future__ import annotations

import numpy as np
import pytest
from benchmarks.plan_proof import faults, problem, twinned

from foreshard.planning.descent.solver import Descent, DescentSolver
from foreshard.planning.edges import Edges
from foreshard.planning.problem import Floats

SOLVER = DescentSolver()


# The same fleets every time: the search for others is `benchmarks/plan_proof.py`.
@pytest.mark.parametrize("first", range(0, 300, 50))
def test_no_plan_of_a_random_fleet_does_what_no_plan_may(first: int) -> None:
    found = {seed: faults(problem(seed), SOLVER) for seed in range(first, first + 50)}
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}


def test_a_twin_is_like_its_cell_in_everything() -> None:
    edges = problem(3)
    pair = twinned(edges, 1)
    one, two = pair.cell == 1, pair.cell == len(edges.cells)
    assert pair.sums(pair.reference) == pytest.approx(edges.sums(edges.reference))
    assert np.array_equal(pair.flow[one], pair.flow[two])
    assert np.array_equal(pair.latency_s[one], pair.latency_s[two])
    assert np.array_equal(pair.capacity[1], pair.capacity[-1])


def test_a_planner_that_prefers_the_first_cell_is_found_out() -> None:
    class Biased(DescentSolver):
        def split(self, edges: Edges, kept: Floats | None = None) -> Descent:
            found = DescentSolver.split(self, edges, kept)
            object.__setattr__(found, "shares", np.where(edges.cell == 0, 1.0, found.shares))
            return found

    assert faults(problem(3), Biased())
