"""This module is where a descent starts: the live plan, made feasible.

Shares are brought within bounds; cells that are over their ceiling lose work, sheddable work
first (taking from all in proportion would turn priorities round), never below a lower bound.
What is evicted counts as shed until the first sweep finds it a place. `plain.repaired` is the same
in NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.descent.market import HOME, LIVE, LOWER, UPPER, Market
from foreshard.planning.problem import Floats

__all__ = ["begin", "repaired"]

RANKS = 3


def begin(market: Market, limit: Floats) -> tuple[Floats, Floats]:
    """Shares [E] and shed [F] that keep every bound and, where bounds allow, every limit.

    Args:
        market: See there.
        limit: [C, R] of load.
    """
    live = market.terms[:, LIVE]
    return repaired(market, limit, np.where(live >= 0.0, live, market.terms[:, HOME]))


@njit(cache=True)
def repaired(  # noqa: C901 - three plain loops, a call each would count references
    market: Market, limit: Floats, wanted: Floats
) -> tuple[Floats, Floats]:
    """Shares [E] and shed [F] near wanted shares [E], feasible; see `begin`."""
    start, cells, needs, terms = market.start, market.cell, market.need, market.terms
    cell_count, resources = limit.shape
    shares, shed = np.empty(wanted.size), np.empty(start.size - 1)
    held = np.zeros((cell_count, resources))
    free = np.zeros((cell_count, RANKS, resources))
    for f in range(shed.size):
        total, bound = 0.0, 0.0
        for e in range(start[f], start[f + 1]):
            shares[e] = min(max(wanted[e], terms[e, LOWER]), terms[e, UPPER])
            total += shares[e] - terms[e, LOWER]
            bound += terms[e, LOWER]
        most = max(0.0, 1.0 - market.least_shed[f] - bound)
        fit = most / total if total > most else 1.0
        scale, rank = market.scale[f], market.rank[f]
        for e in range(start[f], start[f + 1]):
            kept = (shares[e] - terms[e, LOWER]) * fit
            shares[e] = terms[e, LOWER] + kept
            for r in range(resources):
                free[cells[e], rank, r] += scale * needs[f, r] * kept
                if terms[e, LOWER] > 0.0:
                    held[cells[e], r] += scale * needs[f, r] * terms[e, LOWER]
    part = np.ones((cell_count, RANKS))
    for c in range(cell_count):
        for level in range(RANKS):
            for r in range(resources):
                room = max(0.0, limit[c, r] - held[c, r])
                if free[c, level, r] > room:
                    part[c, level] = min(part[c, level], room / free[c, level, r])
            for r in range(resources):
                held[c, r] += free[c, level, r] * part[c, level]
    for f in range(shed.size):
        placed = 0.0
        for e in range(start[f], start[f + 1]):
            kept = (shares[e] - terms[e, LOWER]) * part[cells[e], market.rank[f]]
            shares[e] = min(terms[e, LOWER] + kept, terms[e, UPPER])
            placed += shares[e]
        shed[f] = max(market.least_shed[f], 1.0 - placed)
    return shares, shed
