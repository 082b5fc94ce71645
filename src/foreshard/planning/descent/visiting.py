"""This module is the descent itself, compiled: one flow's best step against the cells' prices.

Inside the box of rooms that the cells quote, the objective is separable over a flow's edges and
each part is known exactly; so the best step in the box is *exact* and the objective cannot rise
by more than the search leaves open (`EVEN` per request):
no line search is needed, and a descent may be stopped after any visit. (Checking the directional
derivative at the new point, the usual way, is needed where a step is taken on a model.) Where the
box binds, the next box is opened.
"""

from __future__ import annotations

from numba import njit

from foreshard.planning.descent.filling import HIGH, LOW, waterfill
from foreshard.planning.descent.market import LOWER, UPPER, Curves, Market
from foreshard.planning.descent.opening import Desk, State, desk_for, look, open_edges, pick
from foreshard.planning.descent.quoting import (
    DOWN,
    PRICE,
    ROOM_DOWN,
    ROOM_UP,
    UP,
    quote_some,
)

__all__ = ["descend", "sweep", "visit"]

# Boxes that one visit opens at most; the next sweep goes on.
BOXES = 2
# What a split may miss of the best one, per request.
EVEN = 1e-6
# A step of more than this part of the room to the next kink is looked up on the curve.
INSIDE = 0.999


@njit(cache=True)
def _apply(market: Market, curves: Curves, f: int, plan: State, desk: Desk, count: int) -> bool:
    """Take the step; returns whether the box, and nothing else, ended it."""
    x, _, load, quotes = plan
    edges, picked, now, filled, spots = desk
    cells, needs, terms = market.cell, market.need, market.terms
    a, scale, resources = market.start[f], market.scale[f], market.need.shape[1]
    is_bound, out = False, 0
    for i in range(count):
        step = filled[i] - now[i]
        if step == 0.0:
            continue
        e = a + picked[i]
        c = cells[e]
        if step > 0.0:
            is_bound = is_bound or edges[i, HIGH] <= filled[i] < terms[e, UPPER]
        else:
            is_bound = is_bound or edges[i, LOW] >= filled[i] > terms[e, LOWER]
        x[e] = filled[i]
        for r in range(resources):
            change = scale * needs[f, r] * step
            if change == 0.0:
                continue
            load[c, r] += change
            to = UP if change > 0.0 else DOWN
            room = quotes[c, r, ROOM_UP] if change > 0.0 else quotes[c, r, ROOM_DOWN]
            if abs(change) >= INSIDE * room:
                spots[out] = c * resources + r
                out += 1
                continue
            # Inside the room the price is linear, so the curve need not be searched.
            slope = quotes[c, r, to]
            if quotes[c, r, UP] != quotes[c, r, DOWN]:
                # It was at a kink and has left it.
                quotes[c, r, UP] = quotes[c, r, DOWN] = slope
                quotes[c, r, ROOM_DOWN if change > 0.0 else ROOM_UP] = 0.0
            quotes[c, r, PRICE] += slope * change
            quotes[c, r, ROOM_UP] -= change
            quotes[c, r, ROOM_DOWN] += change
    if out > 0:
        quote_some(load, curves, spots[:out], quotes)
    return is_bound


@njit(cache=True)
def visit(
    market: Market,
    curves: Curves,
    f: int,
    plan: State,
    tol: float,
    part: float,
    desk: Desk,
) -> float:
    """Split one flow anew against the prices of the moment.

    Args:
        market: See there.
        curves: Of all cells.
        f: The flow.
        plan: Shares [E], shed [F], load [C, R], quotes [C, R, 5]; all are kept up to date.
        tol: Possible gain per request that is worth no step.
        part: What the split may miss of the best one, as a part of what could be gained at most.
            At 0 the objective never rises by more than `EVEN` per request.
        desk: Room to work in, see `desk_for`.

    Returns:
        What was to be gained before, per request.
    """
    shares, shed = plan[0], plan[1]
    x = shares[market.start[f] : market.start[f + 1]]
    edges, _, now, filled, _ = desk
    before = 0.0
    for box in range(BOXES):
        cheapest, dearest, gain = look(market, f, plan, edges)
        if box == 0:
            before = gain
        if gain <= tol + 1e-13 * abs(dearest):
            break
        # Nobody pays more than shedding costs.
        bracket = (cheapest, min(dearest, market.shed_price[f]))
        count, rest = pick(x, edges, bracket, desk)
        open_edges(market, f, plan[3], desk, count)
        most = 1.0 - market.least_shed[f] - rest
        slack = max(EVEN, part * gain)
        guess = market.level[f]
        market.level[f] = waterfill(now[:count], edges, bracket, most, slack, guess, filled)
        is_bound = _apply(market, curves, f, plan, desk, count)
        shed[f] = max(market.least_shed[f], 1.0 - x.sum())
        if not is_bound:
            break
    return before


@njit(cache=True)
def sweep(market: Market, curves: Curves, plan: State, tol: float, part: float = 0.0) -> float:
    """Visit every flow once; returns what was to be gained, as met on the way."""
    desk = desk_for(market)
    total = 0.0
    for f in market.order:
        total += market.scale[f] * visit(market, curves, f, plan, tol, part, desk)
    return total


@njit(cache=True)
def descend(
    market: Market,
    curves: Curves,
    plan: State,
    sweeps: int,
    tol: float,
) -> int:
    """Sweep until nothing is to be gained, at most so often; returns how often."""
    for done in range(sweeps):
        if sweep(market, curves, plan, tol) <= tol:
            return done + 1
    return sweeps
