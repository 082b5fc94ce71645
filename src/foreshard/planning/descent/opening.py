"""This module is what a flow sees before it steps: marginals, and the box in which they are exact.

Inside the box of rooms that the cells quote, the objective is separable over a flow's edges and
each part is known exactly.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.descent.filling import (
    COLUMNS,
    FLEX_DOWN,
    FLEX_UP,
    G_DOWN,
    G_UP,
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
    Market,
)
from foreshard.planning.descent.quoting import (
    AT_KINK,
    DOWN,
    PRICE,
    ROOM_DOWN,
    ROOM_UP,
    UP,
)
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = ["Desk", "State", "desk_for", "look", "open_edges", "own_price", "pick"]

# Shares [E], shed [F], load [C, R] and quotes [C, R, 5]; kept up to date by every visit.
State = tuple[Floats, Floats, Floats, Floats]
# Of one visit: edges [n, 14], indices, shares before and after [n], and
# cells to quote anew.
Desk = tuple[Floats, Ints, Floats, Floats, Ints]


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
    """Marginals of one flow's edges into edges [n, 14].

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
def pick(x: Floats, edges: Floats, bracket: tuple[float, float], desk: Desk) -> tuple[int, float]:
    """Bring the edges that answer to a price within the bracket to the front.

    Most of a flow's edges answer to none: what is asked of them is too dear, or they are empty.
    Neither are their rooms looked up, nor are they asked again and again by the water-filling.

    Returns:
        How many there are, and the sum of the others' shares.
    """
    _, picked, now, _, _ = desk
    low, high = bracket
    count, rest = 0, 0.0
    for i in range(x.size):
        if edges[i, G_UP] < high or (edges[i, G_DOWN] > low and x[i] > 0.0):
            edges[count, G_DOWN], edges[count, G_UP] = edges[i, G_DOWN], edges[i, G_UP]
            picked[count], now[count] = i, x[i]
            count += 1
        else:
            rest += x[i]
    return count, rest


@njit(cache=True)
def open_edges(market: Market, f: int, quotes: Floats, desk: Desk, count: int) -> None:
    """Flexibilities, bounds and kinks of the picked edges; their marginals are there."""
    edges, picked, now, _, _ = desk
    terms, cells, needs = market.terms, market.cell, market.need
    a, scale, churn = market.start[f], market.scale[f], market.churn[f]
    for i in range(count):
        e, x = a + picked[i], now[i]
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
                high = min(high, x + quotes[c, r, ROOM_UP] / step)
            if quotes[c, r, ROOM_DOWN] < step:
                low = max(low, x - quotes[c, r, ROOM_DOWN] / step)
        edges[i, FLEX_DOWN], edges[i, FLEX_UP] = 1.0 / down, 1.0 / up
        edges[i, LOW], edges[i, HIGH] = min(low, x), max(high, x)
        home = (terms[e, HOME], terms[e, AWAY] + terms[e, LEAVE])
        _set_kinks(edges, i, x, home, (terms[e, LIVE], churn))


@njit(cache=True)
def desk_for(market: Market) -> Desk:
    """Edges [n, 14], indices, shares before and after [n] for the flow with the most edges."""
    most = 1
    for f in range(market.scale.size):
        most = max(most, market.start[f + 1] - market.start[f])
    places = np.empty(most, dtype=np.int64)
    spots = np.empty(most * market.need.shape[1], dtype=np.int64)
    return np.empty((most, COLUMNS)), places, np.empty(most), np.empty(most), spots
