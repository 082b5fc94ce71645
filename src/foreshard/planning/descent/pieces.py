"""This module is a market as pieces: every cost is a row of stretches along which prices rise.

A convex piecewise quadratic cost of one quantity (an edge's rate, what a flow sheds, a cell's
load) is the cost of filling its stretches one after the other; and since prices only rise, whoever
pays least fills them in that order by himself. So the whole market is a quadratic program with
nothing but bounds on each stretch, one row a flow and one a cell and resource: what an
interior-point method wants. `plain_interior.split_cost` is the cost of a filling in NumPy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from foreshard.planning.descent.market import (
    AWAY,
    HARM,
    HOME,
    LEAVE,
    LIVE,
    LOWER,
    PULL,
    UPPER,
    Curves,
    Market,
)
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = ["Pieces", "pieces_of"]

# Loads that no split reaches need no pieces; what bounds allow, and so much more, has them.
ROOM = 2.0
# Pieces an edge and a flow have at most; a cell's curve has one more than kinks, and its tail.
EDGE_PIECES = 3
# Stretches of shares that are shorter are none.
LEAST_SHARE = 1e-6


class Pieces(NamedTuple):
    """Stretches of quantities; G = E edges, then F flows' shed, then C x R cells' loads.

    Attributes:
        start: [G + 1] where a quantity's pieces begin.
        base: [G] what the quantity is at least, with none of its pieces filled.
        width: [P] in fleet work, or in parts of all demand.
        price: [P] at the beginning of the piece, per unit of its width.
        slope: [P] by which the price rises along it.
    """

    start: Ints
    base: Floats
    width: Floats
    price: Floats
    slope: Floats


@njit(cache=True)
def _most_load(market: Market) -> Floats:
    """[C, R] load if every edge were as full as it may be."""
    most = np.zeros(market.unit.shape)
    for f in range(market.scale.size):
        for e in range(market.start[f], market.start[f + 1]):
            for r in range(market.need.shape[1]):
                most[market.cell[e], r] += (
                    market.scale[f] * market.need[f, r] * market.terms[e, UPPER]
                )
    return most


@njit(cache=True)
def _cut_edges(market: Market, pieces: Pieces, count: int) -> int:
    start, base, width, price, slope = pieces
    terms = market.terms
    for f in range(market.scale.size):
        scale = market.scale[f]
        for e in range(market.start[f], market.start[f + 1]):
            home, live = terms[e, HOME], terms[e, LIVE]
            low, high = terms[e, LOWER], terms[e, UPPER]
            first, second = min(home, live), max(home, live)
            x = low
            for end in (first, second, high):
                to = min(end, high)
                if to <= x + LEAST_SHARE:
                    continue
                width[count] = scale * (to - x)
                price[count] = terms[e, HARM] + terms[e, PULL] * (x - home)
                price[count] += terms[e, AWAY] if x + LEAST_SHARE >= home else -terms[e, LEAVE]
                if live >= 0.0 and x + LEAST_SHARE >= live:
                    price[count] += market.churn[f]
                slope[count] = terms[e, PULL] / scale
                count += 1
                x = to
            base[e] = scale * low
            start[e + 1] = count
    return count


@njit(cache=True)
def _cut_cells(
    curves: Curves, most: Floats, dearest: float, pieces: Pieces, first: int, count: int
) -> int:
    start, _, width, price, slope = pieces
    cells, resources, kinks = curves.at.shape
    for c in range(cells):
        for r in range(resources):
            at, levels = curves.at[c, r], curves.price[c, r]
            end = ROOM * most[c, r]
            # What asks nothing at any load that could be is no row at all.
            k = 0
            while k < kinks and levels[k] <= 0.0:
                k += 1
            if most[c, r] > 0.0 and k < kinks and (k == 0 or at[k - 1] < end):
                x, beyond, tail = 0.0, levels[-1], curves.tail[c, r]
                for k in range(kinks):
                    if k > 0 and levels[k - 1] >= dearest:
                        beyond, tail = levels[k - 1], 0.0
                        break
                    to = min(at[k], end)
                    if to <= x * (1.0 + LEAST_SHARE):
                        continue
                    rise = 0.0
                    if k > 0:
                        rise = (levels[k] - levels[k - 1]) / (at[k] - at[k - 1])
                    width[count], slope[count] = to - x, rise
                    price[count] = levels[0] if k == 0 else levels[k - 1] + rise * (x - at[k - 1])
                    count += 1
                    x = to
                if end > x:
                    width[count], price[count], slope[count] = end - x, beyond, tail
                    count += 1
            start[first + c * resources + r + 1] = count
    return count


@njit(cache=True)
def pieces_of(market: Market, curves: Curves, dearest: float) -> Pieces:
    """Cut every cost of a market into pieces.

    Args:
        market: See there.
        curves: See there.
        dearest: A cell that asks this asks no more for any load; inf = as it does.
    """
    flows, edges = market.scale.size, market.cell.size
    cells, resources, kinks = curves.at.shape
    groups = edges + flows + cells * resources
    most = EDGE_PIECES * edges + flows + (kinks + 1) * cells * resources
    start, base = np.zeros(groups + 1, dtype=np.int64), np.zeros(groups)
    pieces = Pieces(start, base, np.empty(most), np.empty(most), np.empty(most))
    count = _cut_edges(market, pieces, 0)
    for f in range(flows):
        scale, least = market.scale[f], market.least_shed[f]
        base[edges + f] = scale * least
        if least < 1.0:
            pieces.width[count] = scale * (1.0 - least)
            pieces.price[count], pieces.slope[count] = market.shed_price[f], 0.0
            count += 1
        start[edges + f + 1] = count
    count = _cut_cells(curves, _most_load(market), dearest, pieces, edges + flows, count)
    return Pieces(
        start,
        base,
        pieces.width[:count].copy(),
        pieces.price[:count].copy(),
        pieces.slope[:count].copy(),
    )
