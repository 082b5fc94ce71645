"""This module is the descent in plain NumPy: slow, readable, and what the kernels are held to."""

from __future__ import annotations

import numpy as np

from foreshard.planning.descent.market import Curves, Market
from foreshard.planning.descent.quoting import AT_KINK
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = [
    "best_split",
    "bound_gap",
    "cells_cost",
    "conjugate",
    "load_of",
    "own_cost",
    "own_marginal",
    "price_at",
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
    off, new = shares - market.home, shares - market.live
    slope = market.harm + market.pull * off
    left = slope + np.where(off > AT_KINK, market.away, -market.leave)
    right = slope + np.where(off >= -AT_KINK, market.away, -market.leave)
    churn = market.churn[_flow(market)]
    known = market.live >= 0.0
    left += np.where(known & (new > AT_KINK), churn, 0.0)
    right += np.where(known & (new >= -AT_KINK), churn, 0.0)
    return left, right


def own_cost(market: Market, shares: Floats, shed: Floats) -> float:
    """What flows pay whatever the others do, and what is shed."""
    off = shares - market.home
    flow = _flow(market)
    moved = np.where(market.live >= 0.0, np.maximum(0.0, shares - market.live), 0.0)
    paid = (
        market.harm * shares
        + 0.5 * market.pull * off**2
        + market.away * np.maximum(0.0, off)
        + market.leave * np.maximum(0.0, -off)
        + market.churn[flow] * moved
    )
    per_flow = np.add.reduceat(paid, market.start[:-1]) + market.shed_price * shed
    return float(market.scale @ per_flow)


def bound_gap(market: Market, shares: Floats, shed: Floats, prices: Floats) -> float:
    """How far the flows' own sums can be from their optimum at given cell prices [C, R]."""
    flow = _flow(market)
    asked = (market.need[flow] * prices[market.cell]).sum(axis=1)
    left, right = own_marginal(market, shares)
    left, right = left + asked, right + asked
    open_ = np.where(shares < market.upper, right, np.inf)
    level = np.minimum(market.shed_price, np.minimum.reduceat(open_, market.start[:-1]))
    mine = level[flow]
    gain = np.maximum(0.0, left - mine) * (shares - market.lower)
    gain += np.maximum(0.0, mine - right) * (market.upper - shares)
    excess = np.maximum(0.0, shed - market.least_shed) * (market.shed_price - level)
    return float(market.scale @ (np.add.reduceat(gain, market.start[:-1]) + excess))


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
    low, high = float(market.lower[e]), float(market.upper[e])
    # No step leads over a limit; who is there already may stay.
    high = max(low, min(high, float(room.min())))
    one = Curves(*(a[c : c + 1] for a in curves))
    for _ in range(60):
        mid = 0.5 * (low + high)
        asked = market.need[f] @ price_at(rest[c : c + 1] + per_share * mid, one)[0]
        shares = np.array(market.home)
        shares[e] = mid
        left, _ = own_marginal(market, shares)
        low, high = (mid, high) if left[e] + asked <= level else (low, mid)
    return low


def _flow(market: Market) -> Ints:
    return np.repeat(np.arange(market.scale.size), np.diff(market.start))
