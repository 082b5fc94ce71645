"""This module is water-filling: one marginal price at which a flow's edges take all of it.

Each edge answers a marginal price with a share: it stays where it is between the marginals of
taking less and taking more, and beyond them its marginal price is linear, with jumps at kinks of
its own. The sum of the answers never falls with the price; where it meets the demand is found by
Newton steps inside a bracket. `plain.response` and `plain.waterfill` are the same in NumPy.
"""

from __future__ import annotations

from numba import njit

from foreshard.planning.problem import Floats

__all__ = [
    "COLUMNS",
    "G_DOWN",
    "G_UP",
    "HIGH",
    "H_DOWN",
    "H_UP",
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

# Columns of an edge: marginals, curvatures and bounds of the step.
G_DOWN = 0
G_UP = 1
H_DOWN = 2
H_UP = 3
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
WIDE = 10.0


@njit(cache=True)
def response(mu: float, x: float, edges: Floats, e: int) -> float:
    """The share at which an edge's marginal price is mu, within the step's bounds.

    Beyond a kink of its own the edge asks a jump more; it rests at the kink in between.
    """
    if mu > edges[e, G_UP]:
        y = x + (mu - edges[e, G_UP]) / edges[e, H_UP]
        if y > edges[e, NEXT_UP]:
            y = max(edges[e, NEXT_UP], y - edges[e, JUMP_UP] / edges[e, H_UP])
            if y > edges[e, LAST_UP]:
                y = max(edges[e, LAST_UP], y - edges[e, STEP_UP] / edges[e, H_UP])
        more: float = min(edges[e, HIGH], y)
        return more
    if mu < edges[e, G_DOWN]:
        y = x - (edges[e, G_DOWN] - mu) / edges[e, H_DOWN]
        if y < edges[e, NEXT_DOWN]:
            y = min(edges[e, NEXT_DOWN], y + edges[e, JUMP_DOWN] / edges[e, H_DOWN])
            if y < edges[e, LAST_DOWN]:
                y = min(edges[e, LAST_DOWN], y + edges[e, STEP_DOWN] / edges[e, H_DOWN])
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
            slope += 1.0 / edges[e, H_UP] if y < edges[e, HIGH] else 0.0
        elif y < x[e]:
            slope += 1.0 / edges[e, H_DOWN] if y > edges[e, LOW] else 0.0
    return total, slope


@njit(cache=True)
def waterfill(
    x: Floats,
    edges: Floats,
    bracket: tuple[float, float],
    total: float,
    slack: float,
    filled: Floats,
) -> None:
    """Write shares [n] at one marginal price within the bracket, summing to the total.

    Args:
        x: [n] shares now.
        edges: [n, 14].
        bracket: Prices at which the responses sum to at most, and at least, the total.
        total: Of the shares; when even the dear end of the bracket gives less, so be it.
        slack: Per request, that the mix of two ends may cost.
        filled: [n] out.
    """
    n = x.size
    low, high = bracket
    at_low, slope_low = _filled(low, x, edges)
    at_high, _ = _filled(high, x, edges)
    if at_high > total and at_low < total:
        # Newton from an end, kept inside the bracket; every third step halves it.
        mu = low + (total - at_low) / slope_low if slope_low > 0.0 else high
        for step in range(STEPS):
            if step % 3 == 2 or not low < mu < high:
                # Prices span ten orders of magnitude: halve their logarithm while they do.
                width = high - low
                mu = low + (width**0.5 if width > WIDE and step % 2 else 0.5 * width)
                if not low < mu < high:
                    break
            there, slope = _filled(mu, x, edges)
            if there <= total:
                low, at_low = mu, there
            else:
                high, at_high = mu, there
            if (high - low) * (at_high - at_low) <= slack + 1e-12 * abs(mu):
                break
            mu = mu + (total - there) / slope if slope > 0.0 else high
    part = 1.0
    if at_high > total:
        part = (total - at_low) / (at_high - at_low) if at_high > at_low else 0.0
    for e in range(n):
        y = response(low, x[e], edges, e)
        filled[e] = y + part * (response(high, x[e], edges, e) - y)
