"""This module is what no plan may do, tried on as many random fleets as asked for.

    python benchmarks/plan_proof.py --problems 100000

Each problem is a fleet of 2 to 30 cells at a random load, some cells barred or with bounds, after
a random event. Exit status 1, and the seed, at the first plan that

- gives a share to a barred cell, leaves its bounds, passes the ceiling, does not sum to 1, costs
  less than its own bound or is not the same bits again;
- refuses a request of a higher priority in whose place, in a cell that it may use, a lower one is
  served (within the tolerance of the tiers, see `planning.descent.tariff`);
- cold, is worse for more capacity or for less demand (`WORSE`);
- cold, treats a cell and its twin differently (`UNLIKE`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import numpy as np

from foreshard.planning.descent.solver import Descent, DescentSolver
from foreshard.planning.edges import Edges
from foreshard.planning.instance import EVENTS, Size, after, instance

__all__ = ["faults", "main", "problem", "twinned"]

SUMS = 1e-9
# Of all weighted requests: what a plan may refuse more than one with less capacity.
WORSE = 5e-3
# Of utilisation, and of all requests: how far a cell and its twin may be apart.
UNLIKE = 5e-2
# What a request must free of what is scarce, per unit of its largest need, to make room.
TOLERANCE = 1.0 / 16.0
# A share that matters.
SOME = 1e-2


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


def twinned(edges: Edges, which: int) -> Edges:
    """The same fleet with a twin of one cell, the last; the reference is shared between both."""
    cells = len(edges.cells)
    mine = np.flatnonzero(edges.cell == which)
    order = np.argsort(np.append(np.arange(edges.cell.size), mine + 0.5), kind="stable")
    double = np.append(np.arange(edges.cell.size), mine)[order]
    cell = np.append(edges.cell, np.full(mine.size, cells))[order]
    each = np.append(np.arange(cells), which)
    risk = edges.load_risk
    if risk is not None:
        risk = replace(risk, p=risk.p[each], present_work=risk.present_work[each])
    flow = edges.flow[double]
    count = np.bincount(flow, minlength=len(edges.flows))
    half = np.where(edges.cell[double] == which, 0.5, 1.0)
    return replace(
        edges,
        cells=(*edges.cells, "twin"),
        start=np.concatenate([[0], np.cumsum(count)]),
        cell=cell,
        capacity=edges.capacity[each],
        reference=edges.reference[double] * half,
        latency_s=edges.latency_s[double],
        standing_risk=edges.standing_risk[each],
        class_risk=edges.class_risk[double],
        load_risk=risk,
        previous=None,
        lower=edges.lower[double] * half,
        upper=edges.upper[double],
        zone=edges.zone[each],
        loss_p=edges.loss_p[each],
    )


def faults(edges: Edges, solver: DescentSolver) -> list[str]:
    """What is wrong with the plan of a fleet; empty = nothing."""
    found, again = solver.split(edges), solver.split(edges)
    return [*_broken(edges, found, again), *_turned_round(edges, found), *_uneven(edges, solver)]


def _broken(edges: Edges, found: Descent, again: Descent) -> list[str]:
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


def _turned_round(edges: Edges, found: Descent) -> list[str]:
    """Whether somebody is served in the place of somebody more important."""
    rank = np.clip(edges.priority, 0, 2)
    cells = len(edges.cells)
    need = edges.needs[:, None, :] / edges.capacity[None]
    shares, able = np.zeros((rank.size, cells)), np.zeros((rank.size, cells), dtype=bool)
    shares[edges.flow, edges.cell] = found.shares - edges.lower
    able[edges.flow, edges.cell] = found.shares < edges.upper - SOME
    for f in np.flatnonzero((found.shed > SOME) & (edges.demand_rps > 0.0)):
        for g in np.flatnonzero((rank > rank[f]) & (edges.demand_rps > 0.0)):
            for c in np.flatnonzero(able[f] & (shares[g] > SOME)):
                used = need[f, c] > TOLERANCE * need[f, c].max()
                if (need[g, c][used] > TOLERANCE * need[g, c].max()).all():
                    return [f"flow {f} is refused in cell {c}, flow {g} is served there"]
    return []


def _uneven(edges: Edges, solver: DescentSolver) -> list[str]:
    """Whether more is worse, and whether equals are treated alike; without churn."""
    cold = replace(edges, previous=None)
    refused = _refused(cold, solver.split(cold))
    wrong = []
    for text, other in (
        ("more capacity", replace(cold, capacity=1.25 * cold.capacity)),
        ("less demand", replace(cold, demand_rps=0.8 * cold.demand_rps)),
    ):
        worse = _refused(other, solver.split(other)) - refused
        if worse > WORSE:
            wrong.append(f"{text} refuses {worse} more")
    which = int(edges.cell[edges.cell.size // 2])
    pair = twinned(cold, which)
    found = solver.split(pair)
    one, two = pair.cell == which, pair.cell == len(edges.cells)
    part = (pair.demand_rps / pair.demand_rps.sum())[pair.flow[one]]
    apart = float((np.abs(found.shares[one] - found.shares[two]) * part).max())
    used = pair.utilisation(found.shares)
    apart = max(apart, float(np.abs(used[which] - used[-1]).max()))
    if apart > UNLIKE:
        wrong.append(f"cell {which} and its twin are {apart} apart")
    return wrong


def _refused(edges: Edges, found: Descent) -> float:
    worth = edges.weight * edges.demand_rps
    return float(worth @ found.shed) / float(worth.sum())


def main() -> None:
    """Try them; exit 1 at the first that fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    solver = DescentSolver()
    for seed in range(given.first, given.first + given.problems):
        wrong = faults(problem(seed), solver)
        if wrong:
            sys.exit(f"seed {seed}: {'; '.join(wrong)}")
    print(f"{given.problems} problems from seed {given.first}: nothing wrong")  # noqa: T201 - told


if __name__ == "__main__":
    main()
