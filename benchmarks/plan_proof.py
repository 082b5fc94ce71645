"""This module is what no plan may do, tried on as many random fleets as asked for.

    python benchmarks/plan_proof.py --problems 100000

Each problem is a fleet of 2 to 30 cells at a random load, some cells barred or with bounds, after
a random event. Exit status 1, and the seed, at the first plan that gives a share to a barred
cell, leaves its bounds, passes the ceiling, does not sum to 1, costs less than its own bound or
is not the same bits again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import numpy as np

from foreshard.planning.descent.solver import Descent, DescentSolver
from foreshard.planning.edges import Edges
from foreshard.planning.instance import EVENTS, Size, after, instance

__all__ = ["faults", "main", "problem"]

SUMS = 1e-9


def problem(seed: int) -> Edges:
    """A random fleet after a random event."""
    rng = np.random.default_rng(seed)
    size = Size(
        cells=int(rng.integers(2, 31)),
        classes=int(rng.integers(1, 7)),
        regions=int(rng.integers(1, 4)),
        resources=int(rng.integers(1, 4)),
        utilisation=float(rng.uniform(0.2, 1.2)),
        risky=float(rng.choice([0.0, 0.03, 0.3])),
    )
    edges = instance(size, seed)
    barred = rng.random(size.cells) < 0.1
    upper = np.where(barred[edges.cell], 0.0, np.where(rng.random(edges.cell.size) < 0.1, 0.2, 1))
    edges = replace(edges, upper=upper)
    event = str(rng.choice(sorted(EVENTS)))
    return after(edges, event, edges.reference, seed)


def faults(edges: Edges, found: Descent, again: Descent) -> list[str]:
    """What is wrong with a plan; empty = nothing."""
    sums = edges.sums(found.shares) + found.shed
    outside = (found.shares < edges.lower) | (found.shares > edges.upper)
    checks = {
        "a share leaves its bounds, or is on a barred cell": bool(outside.any()),
        "shares and shed do not sum to 1": float(np.abs(sums - 1.0).max()) > SUMS,
        "a cell is over the ceiling": bool(
            (edges.utilisation(found.shares) > edges.hard_utilisation + SUMS).any()
        ),
        "it costs less than its bound": found.objective
        < found.bound - SUMS * (1.0 + abs(found.bound)),
        "the same input gave other bits": not (
            np.array_equal(found.shares, again.shares) and np.array_equal(found.shed, again.shed)
        ),
    }
    return [text for text, is_so in checks.items() if is_so]


def main() -> None:
    """Try them; exit 1 at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    solver = DescentSolver()
    for seed in range(given.first, given.first + given.problems):
        edges = problem(seed)
        wrong = faults(edges, solver.split(edges), solver.split(edges))
        if wrong:
            sys.exit(f"seed {seed}: {'; '.join(wrong)}")
    print(f"{given.problems} problems from seed {given.first}: nothing wrong")  # noqa: T201 - told


if __name__ == "__main__":
    main()
