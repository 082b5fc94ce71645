"""This module is the descent itself, compiled: one flow's best step against the cells' prices.

Inside the box of rooms that the cells quote, the objective is separable over a flow's edges and
each part is known exactly; so the best step in the box is *exact* and the objective cannot rise:
no line search is needed, and a descent may be stopped after any visit. (Checking the directional
derivative at the new point, the usual way, is needed where a step is taken on a model.) Where the
box binds, the next box is opened.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.descent.filling import (
    COLUMNS,
    G_DOWN,
    G_UP,
    H_DOWN,
    H_UP,
    HIGH,
    JUMP_DOWN,
    JUMP_UP,
    LAST_DOWN,
    LAST_UP,
    LOW,
    NEXT_DOWN,
    NEXT_UP,
    STEP_DOWN,
    STEP_UP,
    waterfill,
)
from foreshard.planning.descent.market import (
    AWAY,
    BOUNDLESS,
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
from foreshard.planning.descent.quoting import (
    AT_KINK,
    DOWN,
    PRICE,
    ROOM_DOWN,
    ROOM_UP,
    UP,
    requote,
)
from foreshard.planning.problem import Floats

__all__ = ["State", "descend", "look", "own_price", "sweep", "visit"]

# Shares [E], shed [F], load [C, R] and quotes [C, R, 5]; kept up to date by every visit.
State = tuple[Floats, Floats, Floats, Floats]

# Boxes that one visit opens at most; the next sweep goes on.
BOXES = 3
# What a split may miss of the best one, per request or as a part of what is to be gained.
EVEN = 1e-6
FAR = 0.01


@njit(cache=True)
def own_price(terms: Floats, e: int, churn: float, x: float) -> tuple[float, float]:
    """What a share costs by itself at the margin, to the left and to the right of x."""
    off, new = x - terms[e, HOME], x - terms[e, LIVE]
    left = right = terms[e, HARM] + terms[e, PULL] * off
    left += terms[e, AWAY] if off > AT_KINK else -terms[e, LEAVE]
    right += terms[e, AWAY] if off >= -AT_KINK else -terms[e, LEAVE]
    if terms[e, LIVE] >= 0.0:
        left += churn if new > AT_KINK else 0.0
        right += churn if new >= -AT_KINK else 0.0
    return left, right


@njit(cache=True)
def _set_kinks(
    edges: Floats, e: int, x: float, home: tuple[float, float], live: tuple[float, float]
) -> None:
    """Put the edge's own kinks (where, jump) in order, seen from x."""
    near, far = home, live
    if live[0] < home[0]:
        near, far = live, home
    edges[e, NEXT_UP] = edges[e, LAST_UP] = BOUNDLESS
    edges[e, NEXT_DOWN] = edges[e, LAST_DOWN] = -BOUNDLESS
    if near[0] > x + AT_KINK:
        edges[e, NEXT_UP], edges[e, JUMP_UP] = near
        edges[e, LAST_UP], edges[e, STEP_UP] = far
    elif far[0] > x + AT_KINK:
        edges[e, NEXT_UP], edges[e, JUMP_UP] = far
    if far[0] < x - AT_KINK:
        edges[e, NEXT_DOWN], edges[e, JUMP_DOWN] = far
        edges[e, LAST_DOWN], edges[e, STEP_DOWN] = near
    elif near[0] < x - AT_KINK:
        edges[e, NEXT_DOWN], edges[e, JUMP_DOWN] = near


@njit(cache=True)
def look(market: Market, f: int, plan: State, edges: Floats) -> tuple[float, float, float]:
    """Marginals, curvatures, bounds and kinks of the next step of one flow into edges [n, 14].

    Returns:
        The cheapest marginal price at which the flow can get more, the dearest it pays now, and
        how much its sum can gain at most, per request.
    """
    # Taken out of their tuple once: each access would count references anew.
    x, shed, _, quotes = plan
    terms, cells, needs = market.terms, market.cell, market.need
    a, churn = market.start[f], market.churn[f]
    n = market.start[f + 1] - a
    shed_price = market.shed_price[f]
    refused = shed[f] - market.least_shed[f]
    cheapest = shed_price
    dearest = shed_price if refused > AT_KINK else -BOUNDLESS
    for i in range(n):
        e = a + i
        c = cells[e]
        left, right = own_price(terms, e, churn, x[e])
        price, room = 0.0, BOUNDLESS
        for r in range(needs.shape[1]):
            if needs[f, r] > 0.0:
                price += needs[f, r] * quotes[c, r, PRICE]
                room = min(room, quotes[c, r, ROOM_UP])
        edges[i, G_DOWN], edges[i, G_UP] = left + price, right + price
        if x[e] > terms[e, LOWER]:
            dearest = max(dearest, left + price)
        if x[e] < terms[e, UPPER] and room > 0.0:
            cheapest = min(cheapest, right + price)
    gain = (shed_price - cheapest) * refused
    for i in range(n):
        if edges[i, G_DOWN] > cheapest:
            gain += (edges[i, G_DOWN] - cheapest) * (x[a + i] - terms[a + i, LOWER])
    return cheapest, dearest, gain


@njit(cache=True)
def _open(market: Market, f: int, x: Floats, quotes: Floats, edges: Floats) -> None:
    """Curvatures, bounds and kinks of the next step into edges [n, 14]; marginals are there."""
    terms, cells, needs = market.terms, market.cell, market.need
    a, scale, churn = market.start[f], market.scale[f], market.churn[f]
    for i in range(market.start[f + 1] - a):
        e = a + i
        c = cells[e]
        up = down = terms[e, PULL]
        low, high = terms[e, LOWER], terms[e, UPPER]
        for r in range(needs.shape[1]):
            need = needs[f, r]
            if need == 0.0:
                continue
            step = need * scale
            up += need * step * quotes[c, r, UP]
            down += need * step * quotes[c, r, DOWN]
            if quotes[c, r, ROOM_UP] < step:
                high = min(high, x[e] + quotes[c, r, ROOM_UP] / step)
            if quotes[c, r, ROOM_DOWN] < step:
                low = max(low, x[e] - quotes[c, r, ROOM_DOWN] / step)
        edges[i, H_DOWN], edges[i, H_UP] = down, up
        edges[i, LOW], edges[i, HIGH] = min(low, x[e]), max(high, x[e])
        home = (terms[e, HOME], terms[e, AWAY] + terms[e, LEAVE])
        _set_kinks(edges, i, x[e], home, (terms[e, LIVE], churn))


@njit(cache=True)
def _apply(market: Market, curves: Curves, f: int, plan: State, filled: Floats) -> None:
    """Take the step to the shares [n]."""
    x, shed, load, quotes = plan
    cells, needs = market.cell, market.need
    a, scale = market.start[f], market.scale[f]
    total = 0.0
    for i in range(market.start[f + 1] - a):
        e = a + i
        step = filled[i] - x[e]
        total += filled[i]
        if step == 0.0:
            continue
        c = cells[e]
        x[e] = filled[i]
        for r in range(needs.shape[1]):
            if needs[f, r] > 0.0:
                change = scale * needs[f, r] * step
                load[c, r] += change
                requote(change, load[c, r], curves, c, r, quotes)
    shed[f] = max(market.least_shed[f], 1.0 - total)


@njit(cache=True)
def visit(
    market: Market,
    curves: Curves,
    f: int,
    plan: State,
    tol: float,
    desk: tuple[Floats, Floats],
) -> float:
    """Split one flow anew against the prices of the moment; the objective never rises.

    Args:
        market: See there.
        curves: Of all cells.
        f: The flow.
        plan: Shares [E], shed [F], load [C, R], quotes [C, R, 5]; all are kept up to date.
        tol: Possible gain per request that is worth no step.
        desk: Room to work in, [most edges of a flow, 14] and [most edges of a flow].

    Returns:
        What was to be gained before, per request.
    """
    x, terms = plan[0], market.terms
    a, b = market.start[f], market.start[f + 1]
    edges, filled = desk[0][: b - a], desk[1][: b - a]
    before = 0.0
    for box in range(BOXES):
        cheapest, dearest, gain = look(market, f, plan, edges)
        if box == 0:
            before = gain
        if gain <= tol + 1e-13 * abs(dearest):
            break
        _open(market, f, x, plan[3], edges)
        # Nobody pays more than shedding costs.
        most = 1.0 - market.least_shed[f]
        slack = max(EVEN, FAR * gain)
        bracket = (cheapest, min(dearest, market.shed_price[f]))
        waterfill(x[a:b], edges, bracket, most, slack, filled)
        bound = False
        for i in range(b - a):
            if filled[i] >= edges[i, HIGH] > x[a + i]:
                bound = bound or filled[i] < terms[a + i, UPPER]
            elif filled[i] <= edges[i, LOW] < x[a + i]:
                bound = bound or filled[i] > terms[a + i, LOWER]
        _apply(market, curves, f, plan, filled)
        if not bound:
            break
    return before


@njit(cache=True)
def sweep(market: Market, curves: Curves, plan: State, tol: float) -> float:
    """Visit every flow once; returns what was to be gained, as met on the way."""
    most = 1
    for f in market.order:
        most = max(most, market.start[f + 1] - market.start[f])
    desk = (np.empty((most, COLUMNS)), np.empty(most))
    total = 0.0
    for f in market.order:
        total += market.scale[f] * visit(market, curves, f, plan, tol, desk)
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
