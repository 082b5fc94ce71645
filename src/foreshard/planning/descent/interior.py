"""This module is where an interior-point method stands, and where it begins.

It begins on the central path of the prices that it is given: bounds are in balance there, and only
sums are wrong. `pressing` takes the steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from foreshard.planning.descent.market import HARM, Market
from foreshard.planning.descent.pieces import Pieces
from foreshard.planning.problem import Floats

__all__ = ["Inside", "begin_inside", "central", "earned", "filled", "filling_cost"]

# Search for the levels to begin with: so far around the cheapest place, and how finely.
SEARCHED = 10.0
HALVINGS = 24


class Inside(NamedTuple):
    """A point inside all bounds.

    Attributes:
        fill: [P] of every piece, > 0.
        left: [P] the rest of its width, > 0; kept apart, for a difference would round it to 0.
        under: [P] price of the bound at 0.
        over: [P] price of the bound at the width.
        level: [F] price that a flow pays for its last request, per unit of demand.
        price: [C, R] of load.
        low: [P] what fill x under is to be after the step.
        high: [P] what left x over is to be after the step.
        flex: [P] how far each piece gives for a price of 1.
    """

    fill: Floats
    left: Floats
    under: Floats
    over: Floats
    level: Floats
    price: Floats
    low: Floats
    high: Floats
    flex: Floats


@njit(cache=True)
def earned(market: Market, level: Floats, price: Floats, asked: Floats) -> None:
    """[G] what a quantity earns at the prices, per unit."""
    count, resources = market.scale.size, price.shape[1]
    edges = market.cell.size
    for f in range(count):
        for e in range(market.start[f], market.start[f + 1]):
            c, paid = market.cell[e], 0.0
            for r in range(resources):
                paid += market.need[f, r] * price[c, r]
            asked[e] = level[f] - paid
        asked[edges + f] = level[f]
    for c in range(price.shape[0]):
        for r in range(resources):
            asked[edges + count + c * resources + r] = price[c, r]


@njit(cache=True)
def central(cost: float, width: float, centre: float) -> float:
    """How full a piece is that balances its cost against both bounds, in (0, width).

    The root of cost = centre / fill - centre / (width - fill), for costs >= 0; that of a cost < 0
    is the rest of the width of the opposite.
    """
    half = 0.5 * (cost * width + 2.0 * centre)
    root: float = centre * width / (half + np.sqrt(half * half - cost * centre * width))
    return root


@njit(cache=True)
def _rate(pieces: Pieces, g: int, earned: float, centre: float) -> float:
    """A quantity on the central path, at what it earns per unit."""
    total: float = pieces.base[g]
    for k in range(pieces.start[g], pieces.start[g + 1]):
        width = pieces.width[k]
        cost = pieces.price[k] + 0.5 * pieces.slope[k] * width - earned
        root = central(abs(cost), width, centre)
        total += root if cost >= 0.0 else width - root
    return total


@njit(cache=True)
def _levels(market: Market, pieces: Pieces, asked: Floats, centre: float) -> Floats:
    """[F] levels at which flows have all their demand on the central path, about."""
    edges, start = market.cell.size, market.start
    levels = np.empty(market.scale.size)
    for f in range(levels.size):
        cheapest = market.shed_price[f]
        for e in range(start[f], start[f + 1]):
            if pieces.start[e + 1] > pieces.start[e]:
                cheapest = min(cheapest, market.terms[e, HARM] - asked[e])
        around = SEARCHED * (1.0 + abs(cheapest))
        low, high = cheapest - around, cheapest + around
        for _ in range(HALVINGS):
            mid = 0.5 * (low + high)
            total = _rate(pieces, edges + f, mid, centre)
            for e in range(start[f], start[f + 1]):
                total += _rate(pieces, e, mid + asked[e], centre)
            if total < market.scale[f]:
                low = mid
            else:
                high = mid
        levels[f] = 0.5 * (low + high)
    return levels


@njit(cache=True)
def begin_inside(market: Market, pieces: Pieces, price: Floats, spread: float) -> Inside:
    """The point of the central path at given prices [C, R] of cells.

    Args:
        market: See there.
        pieces: See there.
        price: Taken in.
        spread: Sum over all bounds of what is left to a bound times its price.
    """
    count, centre = pieces.width.size, 0.5 * spread / max(1, pieces.width.size)
    fill, left = np.empty(count), np.empty(count)
    under, over = np.empty(count), np.empty(count)
    asked = np.empty(pieces.base.size)
    earned(market, np.zeros(market.scale.size), price, asked)
    level = _levels(market, pieces, asked, centre)
    earned(market, level, price, asked)
    for g in range(asked.size):
        for k in range(pieces.start[g], pieces.start[g + 1]):
            width = pieces.width[k]
            cost = pieces.price[k] + 0.5 * pieces.slope[k] * width - asked[g]
            root = central(abs(cost), width, centre)
            fill[k], left[k] = (root, width - root) if cost >= 0.0 else (width - root, root)
            under[k], over[k] = centre / fill[k], centre / left[k]
    low, high, flex = np.empty(count), np.empty(count), np.empty(count)
    return Inside(fill, left, under, over, level, price.copy(), low, high, flex)


@njit(cache=True)
def filled(pieces: Pieces, fill: Floats) -> Floats:
    """[G] every quantity."""
    amount = pieces.base.copy()
    for g in range(amount.size):
        for k in range(pieces.start[g], pieces.start[g + 1]):
            amount[g] += fill[k]
    return amount


@njit(cache=True)
def filling_cost(pieces: Pieces, fill: Floats) -> float:
    """What fills [P] cost."""
    total = 0.0
    for k in range(fill.size):
        total += (pieces.price[k] + 0.5 * pieces.slope[k] * fill[k]) * fill[k]
    return total
