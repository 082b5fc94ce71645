"""This module is what a split costs: the sum of `market`, term by term."""

from __future__ import annotations

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
from foreshard.planning.problem import Floats

__all__ = [
    "LEAST_BASE",
    "cells_cost",
    "conjugate",
    "gap_ratio",
    "load_of",
    "objective",
    "own_cost",
    "settled",
]

# Ratios are taken of at least this: 1 ms more round trip for all traffic.
LEAST_BASE = 0.01


@njit(cache=True)
def load_of(market: Market, x: Floats) -> Floats:
    """[C, R] load under shares [E]."""
    load = np.zeros(market.unit.shape)
    start, cells, needs = market.start, market.cell, market.need
    for f in range(start.size - 1):
        scale = market.scale[f]
        for e in range(start[f], start[f + 1]):
            for r in range(needs.shape[1]):
                load[cells[e], r] += scale * needs[f, r] * x[e]
    return load


@njit(cache=True)
def own_cost(market: Market, x: Floats, shed: Floats) -> float:
    """What flows pay whatever the others do, and what is shed."""
    terms, start = market.terms, market.start
    total = 0.0
    for f in range(start.size - 1):
        paid = market.shed_price[f] * shed[f]
        churn = market.churn[f]
        for e in range(start[f], start[f + 1]):
            off = x[e] - terms[e, HOME]
            paid += terms[e, HARM] * x[e] + 0.5 * terms[e, PULL] * off * off
            paid += terms[e, AWAY] * max(0.0, off) + terms[e, LEAVE] * max(0.0, -off)
            if terms[e, LIVE] >= 0.0:
                paid += churn * max(0.0, x[e] - terms[e, LIVE])
        total += market.scale[f] * paid
    return total


@njit(cache=True)
def cells_cost(load: Floats, curves: Curves) -> float:
    """Integral of every cell's price from 0 to its load."""
    total = 0.0
    for c in range(load.shape[0]):
        for r in range(load.shape[1]):
            at, price = curves.at[c, r], curves.price[c, r]
            left = load[c, r]
            total += price[0] * min(left, at[0])
            for k in range(1, at.size):
                if left <= at[k - 1]:
                    break
                part = min(left, at[k]) - at[k - 1]
                if part <= 0.0:
                    continue
                slope = (price[k] - price[k - 1]) / (at[k] - at[k - 1])
                total += part * (price[k - 1] + 0.5 * slope * part)
            part = left - at[-1]
            if part > 0.0:
                total += part * (price[-1] + 0.5 * curves.tail[c, r] * part)
    return total


@njit(cache=True)
def conjugate(prices: Floats, curves: Curves) -> float:
    """Sum over cells of the largest price x load - cost(load), over loads of at least 0."""
    total = 0.0
    for c in range(prices.shape[0]):
        for r in range(prices.shape[1]):
            at, price = curves.at[c, r], curves.price[c, r]
            asked, tail = prices[c, r], curves.tail[c, r]
            # The area between the price curve and what is asked.
            if asked <= price[0]:
                continue
            total += (asked - price[0]) * at[0]
            for k in range(1, at.size):
                if asked <= price[k - 1]:
                    break
                rise = price[k] - price[k - 1]
                climbed = min(asked, price[k]) - price[k - 1]
                width = at[k] - at[k - 1]
                # What is asked beyond the segment counts over its whole width.
                total += (asked - price[k - 1] - climbed) * width
                if rise > 0.0:
                    total += 0.5 * climbed * climbed / rise * width
            if asked > price[-1] and tail > 0.0:
                total += 0.5 * (asked - price[-1]) ** 2 / tail
    return total


def objective(market: Market, curves: Curves, x: Floats, shed: Floats) -> float:
    """The whole of what a split costs."""
    return float(own_cost(market, x, shed) + cells_cost(load_of(market, x), curves))


def settled(market: Market, curves: Curves) -> float:
    """The part of the bill that bounds on shares settle: what they shed, and where they overload.

    No plan can do anything about it; as a part of the whole bill it would hide all that a plan
    can do (one flow of five that may use a fourth of one cell only: three sweeps were proven to
    .1 % and left a cell in a queue that nobody needed).
    """
    terms, start = market.terms, market.start
    most = np.add.reduceat(terms[:, UPPER], start[:-1])
    refused = np.maximum(market.least_shed, 1.0 - most)
    forced = float((market.scale * market.shed_price) @ np.maximum(refused, 0.0))
    if not terms[:, LOWER].any():
        return forced
    return forced + float(cells_cost(load_of(market, terms[:, LOWER].copy()), curves))


def gap_ratio(market: Market, curves: Curves, cost: float, bound: float) -> float:
    """How far a cost is from the bound at most, relative to the bill that can be chosen."""
    whole = max(bound - settled(market, curves), 0.0) + market.round_trips
    return max(0.0, cost - bound) / max(whole, LEAST_BASE)
