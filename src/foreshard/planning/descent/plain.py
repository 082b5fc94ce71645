"""This module is the descent in plain NumPy: slow, readable, and what the kernels are held to."""

from __future__ import annotations

import numpy as np

from foreshard.planning.descent.filling import (
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
from foreshard.planning.descent.hurting import BLUR
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
from foreshard.planning.descent.quoting import AT_KINK
from foreshard.planning.descent.tariff import BAD
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = [
    "best_split",
    "cells_cost",
    "conjugate",
    "flows_bound",
    "harm_price",
    "load_of",
    "own_cost",
    "own_marginal",
    "price_at",
    "repaired",
    "response",
    "waterfill",
]

HALVINGS = 200


def load_of(market: Market, shares: Floats) -> Floats:
    """[C, R] load under shares [E]."""
    flow = _flow(market)
    load = np.zeros(market.unit.shape)
    np.add.at(load, market.cell, market.need[flow] * (market.scale[flow] * shares)[:, None])
    return load


def price_at(load: Floats, curves: Curves) -> Floats:
    """[C, R] what cells ask at loads [C, R]."""
    price = np.empty(load.shape)
    for c, r in np.ndindex(*load.shape):
        at, levels = curves.at[c, r], curves.price[c, r]
        beyond = max(0.0, load[c, r] - at[-1]) * curves.tail[c, r]
        price[c, r] = np.interp(load[c, r], at, levels) + beyond
    return price


def cells_cost(load: Floats, curves: Curves) -> float:
    """Integral of every cell's price from 0 to its load."""
    total = 0.0
    for c, r in np.ndindex(*load.shape):
        at, levels = curves.at[c, r], curves.price[c, r]
        inner = at[(at > 0.0) & (at < load[c, r])]
        points = np.concatenate([[0.0], inner, [load[c, r]]])
        beyond = np.maximum(0.0, points - at[-1]) * curves.tail[c, r]
        total += float(np.trapezoid(np.interp(points, at, levels) + beyond, points))
    return total


def conjugate(prices: Floats, curves: Curves) -> float:
    """Sum over cells of the largest price x load - cost(load), over loads of at least 0."""
    best = np.zeros(prices.shape)
    for c, r in np.ndindex(*prices.shape):
        at, levels = curves.at[c, r], curves.price[c, r]
        asked, tail = prices[c, r], curves.tail[c, r]
        top = at[-1] + (max(0.0, asked - levels[-1]) / tail if tail > 0.0 else 0.0)
        # The best load is where the price is what is asked.
        low, high = 0.0, float(top)
        for _ in range(HALVINGS):
            mid = 0.5 * (low + high)
            now = np.interp(mid, at, levels) + max(0.0, mid - at[-1]) * tail
            low, high = (mid, high) if now < asked else (low, mid)
        one = Curves(*(a[c : c + 1, r : r + 1] for a in curves))
        best[c, r] = max(0.0, float(asked) * low - cells_cost(np.full((1, 1), low), one))
    return float(best.sum())


def own_marginal(market: Market, shares: Floats) -> tuple[Floats, Floats]:
    """[E] what a share costs by itself at the margin, to the left and to the right."""
    terms = market.terms
    off, new = shares - terms[:, HOME], shares - terms[:, LIVE]
    slope = terms[:, HARM] + terms[:, PULL] * off
    left = slope + np.where(off > AT_KINK, terms[:, AWAY], -terms[:, LEAVE])
    right = slope + np.where(off >= -AT_KINK, terms[:, AWAY], -terms[:, LEAVE])
    churn = market.churn[_flow(market)]
    known = terms[:, LIVE] >= 0.0
    left += np.where(known & (new > AT_KINK), churn, 0.0)
    right += np.where(known & (new >= -AT_KINK), churn, 0.0)
    return left, right


def own_cost(market: Market, shares: Floats, shed: Floats) -> float:
    """What flows pay whatever the others do, and what is shed."""
    terms, flow = market.terms, _flow(market)
    off, live = shares - terms[:, HOME], terms[:, LIVE]
    moved = np.where(live >= 0.0, np.maximum(0.0, shares - live), 0.0)
    paid = (
        terms[:, HARM] * shares
        + 0.5 * terms[:, PULL] * off**2
        + terms[:, AWAY] * np.maximum(0.0, off)
        + terms[:, LEAVE] * np.maximum(0.0, -off)
        + market.churn[flow] * moved
    )
    per_flow = np.add.reduceat(paid, market.start[:-1]) + market.shed_price * shed
    return float(market.scale @ per_flow)


def flows_bound(market: Market, prices: Floats) -> float:
    """What flows pay at least at cell prices [C, R], each free to split as it likes.

    By bisection on each flow's level, and on all shares at it.
    """
    flow, terms = _flow(market), market.terms
    asked = (market.need[flow] * prices[market.cell]).sum(axis=1)
    dearest, least = market.shed_price, market.least_shed
    low, high = np.full(dearest.size, -1e6) - 10.0 * np.abs(asked).max(), dearest

    def answers(level: Floats) -> Floats:
        under, over = terms[:, LOWER], terms[:, UPPER]
        for _ in range(80):
            mid = 0.5 * (under + over)
            left, _ = own_marginal(market, mid)
            takes = left + asked <= level[flow]
            under, over = np.where(takes, mid, under), np.where(takes, over, mid)
        return under

    for _ in range(120):
        mid = 0.5 * (low + high)
        full = np.add.reduceat(answers(mid), market.start[:-1]) > 1.0 - least
        low, high = np.where(full, low, mid), np.where(full, mid, high)
    shares = answers(high)
    level = np.where(np.add.reduceat(shares, market.start[:-1]) > 1.0 - least, low, dearest)
    shares = answers(level)
    missing = 1.0 - least - np.add.reduceat(shares, market.start[:-1])
    paid = own_cost(market, shares, least) + float(market.scale[flow] @ (asked * shares))
    return paid + float(market.scale @ (level * missing))


def repaired(market: Market, limit: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Shares [E] and shed [F] near wanted shares [E], feasible; see `beginning`."""
    flow = _flow(market)
    lower, upper = market.terms[:, LOWER], market.terms[:, UPPER]
    shares = np.clip(wanted, lower, upper)
    free = shares - lower
    held = np.add.reduceat(lower, market.start[:-1])
    total = np.add.reduceat(free, market.start[:-1])
    most = np.maximum(0.0, 1.0 - market.least_shed - held)
    free *= np.minimum(1.0, most / np.maximum(total, 1e-300))[flow]
    room = np.maximum(0.0, limit - load_of(market, lower))
    for level in range(3):
        mine = market.rank[flow] == level
        load = load_of(market, np.where(mine, free, 0.0))
        fits = np.where(load > room, room / np.where(load > 0.0, load, 1.0), 1.0).min(axis=1)
        room = np.maximum(0.0, room - load * fits[:, None])
        free = np.where(mine, free * fits[market.cell], free)
    shares = np.minimum(lower + free, upper)
    shed = np.maximum(market.least_shed, 1.0 - np.add.reduceat(shares, market.start[:-1]))
    return shares, shed


def response(mu: float, x: Floats, edges: Floats) -> Floats:
    """[n] the shares at which edges' marginal price is mu; see `filling`."""
    e = edges.T
    up = x + (mu - e[G_UP]) * e[FLEX_UP]
    for kink, jump in ((NEXT_UP, JUMP_UP), (LAST_UP, STEP_UP)):
        up = np.where(up > e[kink], np.maximum(e[kink], up - e[jump] * e[FLEX_UP]), up)
    down = x - (e[G_DOWN] - mu) * e[FLEX_DOWN]
    for kink, jump in ((NEXT_DOWN, JUMP_DOWN), (LAST_DOWN, STEP_DOWN)):
        down = np.where(down < e[kink], np.minimum(e[kink], down + e[jump] * e[FLEX_DOWN]), down)
    less = np.where(mu < e[G_DOWN], np.maximum(e[LOW], down), x)
    return np.where(mu > e[G_UP], np.minimum(e[HIGH], up), less)


def waterfill(
    x: Floats, edges: Floats, bracket: tuple[float, float], total: float
) -> tuple[Floats, float]:
    """Shares [n] at one marginal price that sum to the total, or all that the dear end gives."""
    low, high = bracket
    if response(high, x, edges).sum() <= total:
        return response(high, x, edges), high
    for _ in range(HALVINGS):
        mid = 0.5 * (low + high)
        low, high = (mid, high) if response(mid, x, edges).sum() <= total else (low, mid)
    under, over = response(low, x, edges), response(high, x, edges)
    part = (total - under.sum()) / max(float(over.sum() - under.sum()), 1e-300)
    return under + min(part, 1.0) * (over - under), low


def harm_price(widths: Floats, slopes: Floats, kinks: int) -> tuple[Floats, Floats]:
    """Price per work over load multiples, for a cell's convex harm; see `hurting`.

    Args:
        widths: Of the segments of `risk.load_segments`; the last is inf.
        slopes: Harm per multiple; never falling.
        kinks: As many as are returned.

    Returns:
        [kinks] loads, rising, and the price at each.
    """
    vertices = np.cumsum(widths[:-1])
    lengths = np.append(widths[:-1], widths[-2] if widths.size > 1 else 1.0)
    ramp = BLUR * np.minimum(lengths[:-1], lengths[1:])
    at = np.column_stack([vertices - ramp / 2.0, vertices + ramp / 2.0]).ravel()
    price = BAD * np.column_stack([slopes[:-1], slopes[1:]]).ravel()
    while at.size > kinks:
        # The flattest pair tells least.
        pair = 2 * int(np.argmin(price[1::2] - price[::2]))
        at, price = np.delete(at, [pair, pair + 1]), np.delete(price, [pair, pair + 1])
    if at.size == 0:
        at, price = np.array([0.0]), np.array([BAD * slopes[0]])
    missing = kinks - at.size
    at = np.append(at, at[-1] + 1.0 + np.arange(missing))
    return at, np.append(price, np.full(missing, price[-1]))


def best_split(
    market: Market, curves: Curves, f: int, shares: Floats, load: Floats
) -> tuple[Floats, float]:
    """The shares [n] of one flow that cost least while the others stay, and what it sheds.

    By bisection on the marginal price, and on each edge's share at it; no kink is anything
    special.
    """
    edges = np.arange(market.start[f], market.start[f + 1])
    rest = load.copy()
    per_share = market.scale[f] * market.need[f]
    for e in edges:
        rest[market.cell[e]] -= per_share * shares[e]

    def answers(level: float) -> Floats:
        return np.array([_answer(market, curves, (f, int(e)), rest, level) for e in edges])

    most = 1.0 - float(market.least_shed[f])
    dearest = float(market.shed_price[f])
    if answers(dearest).sum() <= most:
        split = answers(dearest)
        return split, 1.0 - float(split.sum())
    low, high = -1e6, dearest
    for _ in range(HALVINGS):
        mid = 0.5 * (low + high)
        low, high = (mid, high) if answers(mid).sum() <= most else (low, mid)
    under, over = answers(low), answers(high)
    missing = most - float(under.sum())
    width = float(over.sum() - under.sum())
    split = under + (over - under) * (missing / width if width > 0.0 else 0.0)
    return split, 1.0 - float(split.sum())


def _answer(
    market: Market, curves: Curves, edge: tuple[int, int], rest: Floats, level: float
) -> float:
    """The largest share of an edge whose marginal price is at most the level."""
    f, e = edge
    c = market.cell[e]
    per_share = market.scale[f] * market.need[f]
    bound = per_share > 0.0
    room = np.append((curves.limit[c] - rest[c])[bound] / per_share[bound], np.inf)
    low, high = float(market.terms[e, LOWER]), float(market.terms[e, UPPER])
    # No step leads over a limit; who is there already may stay.
    high = max(low, min(high, float(room.min())))
    one = Curves(*(a[c : c + 1] for a in curves))
    for _ in range(60):
        mid = 0.5 * (low + high)
        asked = market.need[f] @ price_at(rest[c : c + 1] + per_share * mid, one)[0]
        shares = np.array(market.terms[:, HOME])
        shares[e] = mid
        left, _ = own_marginal(market, shares)
        low, high = (mid, high) if left[e] + asked <= level else (low, mid)
    return low


def _flow(market: Market) -> Ints:
    return np.repeat(np.arange(market.scale.size), np.diff(market.start))
