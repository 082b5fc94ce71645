"""This module is water-filling: one marginal price at which a flow's edges take all of it.

Each edge answers a marginal price with a share: it stays where it is between the marginals of
taking less and taking more, and beyond them its marginal price is linear, with jumps at kinks of
its own. The sum of the answers never falls with the price; where it meets the demand is found by
Newton steps inside a bracket. `plain.response` and `plain.waterfill` are the same in NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.problem import Floats

__all__ = [
    "COLUMNS",
    "FLEX_DOWN",
    "FLEX_UP",
    "G_DOWN",
    "G_UP",
    "HIGH",
    "JUMP_DOWN",
    "JUMP_UP",
    "LAST_DOWN",
    "LAST_UP",
    "LOW",
    "NEXT_DOWN",
    "NEXT_UP",
    "STEP_DOWN",
    "STEP_UP",
    "response",
    "waterfill",
]

# Columns of an edge: marginals, how far it gives for a price, and bounds of the step.
G_DOWN = 0
G_UP = 1
FLEX_DOWN = 2
FLEX_UP = 3
LOW = 4
HIGH = 5
# The edge's own kinks on both sides, nearer and farther, and how much more it asks beyond.
NEXT_UP = 6
JUMP_UP = 7
LAST_UP = 8
STEP_UP = 9
NEXT_DOWN = 10
JUMP_DOWN = 11
LAST_DOWN = 12
STEP_DOWN = 13
COLUMNS = 14
# Steps of the search for the marginal price. Shares are at last mixed from both ends of the
# bracket, so that sums are exact; that costs at most the width of the bracket times what the sums
# at its ends differ by, so the search may end when that is little.
STEPS = 60
# A sum that is off by this is off by rounding.
EXACT = 1e-12
WIDE = 10.0
# The first stride, absolutely and as a part of the price, and how much longer each next one is.
FIRST_STRIDE = 0.01
NARROW = 1e-6
WIDER = 4.0


@njit(cache=True)
def response(mu: float, x: float, edges: Floats, e: int) -> float:
    """The share at which an edge's marginal price is mu, within the step's bounds.

    Beyond a kink of its own the edge asks a jump more; it rests at the kink in between.
    """
    if mu > edges[e, G_UP]:
        y = x + (mu - edges[e, G_UP]) * edges[e, FLEX_UP]
        if y > edges[e, NEXT_UP]:
            y = max(edges[e, NEXT_UP], y - edges[e, JUMP_UP] * edges[e, FLEX_UP])
            if y > edges[e, LAST_UP]:
                y = max(edges[e, LAST_UP], y - edges[e, STEP_UP] * edges[e, FLEX_UP])
        more: float = min(edges[e, HIGH], y)
        return more
    if mu < edges[e, G_DOWN]:
        y = x - (edges[e, G_DOWN] - mu) * edges[e, FLEX_DOWN]
        if y < edges[e, NEXT_DOWN]:
            y = min(edges[e, NEXT_DOWN], y + edges[e, JUMP_DOWN] * edges[e, FLEX_DOWN])
            if y < edges[e, LAST_DOWN]:
                y = min(edges[e, LAST_DOWN], y + edges[e, STEP_DOWN] * edges[e, FLEX_DOWN])
        less: float = max(edges[e, LOW], y)
        return less
    return x


@njit(cache=True)
def _filled(mu: float, x: Floats, edges: Floats) -> tuple[float, float]:
    """Sum of the responses at a price, and about how fast it rises there."""
    total, slope = 0.0, 0.0
    for e in range(x.size):
        y = response(mu, x[e], edges, e)
        total += y
        if y > x[e]:
            slope += edges[e, FLEX_UP] if y < edges[e, HIGH] else 0.0
        elif y < x[e]:
            slope += edges[e, FLEX_DOWN] if y > edges[e, LOW] else 0.0
    return total, slope


@njit(cache=True)
def waterfill(  # noqa: C901, PLR0912 - one search, with its ways out
    x: Floats,
    edges: Floats,
    bracket: tuple[float, float],
    total: float,
    slack: float,
    guess: float,
    filled: Floats,
) -> float:
    """Write shares [n] at one marginal price within the bracket, summing to the total.

    Args:
        x: [n] shares now.
        edges: [n, 14].
        bracket: Prices at which the responses sum to at most, and at least, the total.
        total: Of the shares; when even the dear end of the bracket gives less, so be it.
        slack: Per request, that the mix of two ends may cost.
        guess: The price that is tried first; that of the visit before is near.
        filled: [n] out.

    Returns:
        The price.
    """
    low, high = bracket
    at_low, at_high, has_low, has_high = total, total, False, False
    mu = guess if low < guess < high else low
    stride = FIRST_STRIDE * max(1.0, NARROW * abs(mu))
    for step in range(STEPS):
        there, slope = _filled(mu, x, edges)
        short = total - there
        if short >= 0.0:
            low, at_low, has_low = mu, there, True
        else:
            high, at_high, has_high = mu, there, True
        if abs(short) <= EXACT or (short > 0.0 and mu >= bracket[1]):
            _settle(mu, x, edges, short if abs(short) <= EXACT else 0.0, filled)
            return mu
        known = has_low and has_high
        if known and (high - low) * (at_high - at_low) <= slack + 1e-12 * abs(mu):
            break
        after = mu + short / slope if slope > 0.0 else np.inf * short
        if not known:
            # Towards an end that is not known, by ever longer strides at least: edges that rest
            # at a kink answer nothing until its jump is paid, and Newton would creep.
            if short > 0.0:
                after = min(high, max(after, mu + stride))
            else:
                after = max(low, min(after, mu - stride))
            stride *= WIDER
        elif not low < after < high or step % 3 == 2:
            # Prices span ten orders of magnitude: halve their logarithm while they do.
            width = high - low
            after = low + (width**0.5 if width > WIDE and step % 2 else 0.5 * width)
            if not low < after < high:
                break
        mu = after
    if not has_low:
        at_low, _ = _filled(low, x, edges)
    if not has_high:
        at_high, _ = _filled(high, x, edges)
    if at_high <= total or at_low >= total:
        # No bracket, so nothing to mix: beyond its ends nobody said what a share costs.
        mu, short = (high, 0.0) if at_high <= total else (low, total - at_low)
        _settle(mu, x, edges, short, filled)
        return mu
    part = (total - at_low) / (at_high - at_low)
    for e in range(x.size):
        y = response(low, x[e], edges, e)
        filled[e] = y + part * (response(high, x[e], edges, e) - y)
    return mu


@njit(cache=True)
def _settle(mu: float, x: Floats, edges: Floats, short: float, filled: Floats) -> None:
    """Write the responses at a price; what rounding left goes to the first edge with room.

    Else it would count as shed, at the price of shedding.
    """
    for e in range(x.size):
        y = response(mu, x[e], edges, e)
        if short != 0.0 and edges[e, LOW] < y + short < edges[e, HIGH]:
            y, short = y + short, 0.0
        filled[e] = y
