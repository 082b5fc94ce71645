"""This module is better prices for a bound than those that cells quote at the moment."""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.descent.filling import COLUMNS, G_DOWN, G_UP
from foreshard.planning.descent.market import Market
from foreshard.planning.descent.quoting import PRICE, UP
from foreshard.planning.descent.visiting import State, look
from foreshard.planning.problem import Floats

__all__ = ["raised"]

# Of a flow, what may pay more than its level.
FEW = 0.05
HALVINGS = 24


@njit(cache=True)
def _level(edges: Floats, free: Floats, bracket: tuple[float, float]) -> float:
    """What all but a small part of a flow pays at most, between the ends of the bracket."""
    low, high = bracket
    whole = free.sum()
    for _ in range(HALVINGS):
        level = 0.5 * (low + high)
        above = 0.0
        for e in range(free.size):
            if edges[e, G_DOWN] > level:
                above += free[e]
        if above > FEW * whole:
            low = level
        else:
            high = level
    return high


@njit(cache=True)
def raised(market: Market, state: State) -> Floats:
    """[C, R] prices near those of a plan at which no cell is a bargain.

    A cell on a steep ramp quotes a price that the next small step would change; taken at its
    word, all of a flow would go there and the bound would be loose. So each flow's level is found
    (what all but a twentieth of it pays at most), and where a cell asks less than the level its
    price is raised to it, on the resource that is steepest.

    Args:
        market: See there.
        state: Shares [E], shed [F], load [C, R], quotes [C, R, 5].
    """
    x, _, _, quotes = state
    cells, needs, lower, upper = market.cell, market.need, market.lower, market.upper
    most = 1
    for f in range(market.scale.size):
        most = max(most, market.start[f + 1] - market.start[f])
    edges = np.empty((most, COLUMNS))
    prices = quotes[:, :, PRICE].copy()
    for f in range(market.scale.size):
        cheapest, dearest, _ = look(market, f, state, edges)
        a, b = market.start[f], market.start[f + 1]
        high = min(max(cheapest, dearest), market.shed_price[f])
        free = x[a:b] - lower[a:b]
        level = _level(edges, free, (cheapest, high))
        for e in range(a, b):
            short = level - edges[e - a, G_UP]
            if short <= 0.0 or x[e] >= upper[e]:
                continue
            c, steepest, at = cells[e], 0.0, -1
            for r in range(needs.shape[1]):
                if needs[f, r] * quotes[c, r, UP] > steepest:
                    steepest, at = needs[f, r] * quotes[c, r, UP], r
            if at >= 0:
                price = quotes[c, at, PRICE] + short / needs[f, at]
                prices[c, at] = max(prices[c, at], price)
    return prices
