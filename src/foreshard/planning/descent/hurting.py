"""This module is the price of risk that load brings: a curve a cell, all at once, compiled.

A cell's harm is the lower convex hull of load x P(load) (`planning.risk`), so its price is a
staircase: flat along each side of the hull, with a jump at each vertex. A jump is a wall to
whoever steps along prices; here it is a ramp, `BLUR` of the narrower side wide.
`plain.harm_price` is the same in NumPy, one cell at a time (70 us each: at 1,000 cells a third of
a tick).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.descent.tariff import BAD
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = ["BLUR", "harm_prices"]

BLUR = 0.1


@njit(cache=True)
def _hull(x: Floats, y: Floats, kept: Ints) -> int:
    """Write the indices of the lower hull's vertices; returns how many."""
    count = 0
    for i in range(x.size):
        while count >= 2:
            a, b = kept[count - 2], kept[count - 1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            count -= 1
        kept[count] = i
        count += 1
    return count


@njit(cache=True)
def _drop_flattest(at: Floats, price: Floats, count: int) -> int:
    """Take out the pair of kinks that rises least: it tells least."""
    flattest = 0
    for i in range(0, count, 2):
        if price[i + 1] - price[i] < price[flattest + 1] - price[flattest]:
            flattest = i
    for i in range(flattest, count - 2):
        at[i], price[i] = at[i + 2], price[i + 2]
    return count - 2


@njit(cache=True)
def harm_prices(loads: Floats, excess: Floats, kinks: int) -> tuple[Floats, Floats]:
    """Price per work over load multiples of every cell.

    Args:
        loads: [L] load multiples, rising from 0.
        excess: [C, L] P(failure) that relief cures; 0 throughout = no price.
        kinks: As many as are returned.

    Returns:
        [C, kinks] load multiples, rising, and the price at each; inf and 0 without a price.
    """
    c, n = excess.shape
    at, price = np.full((c, kinks), np.inf), np.zeros((c, kinks))
    kept = np.empty(n, dtype=np.int64)
    ramps, levels = np.empty(2 * n), np.empty(2 * n)
    for cell in range(c):
        if excess[cell].max() <= 0.0:
            continue
        y = loads * excess[cell]
        vertices = _hull(loads, y, kept)
        count = 0
        for i in range(1, vertices):
            a, b = kept[i - 1], kept[i]
            slope = (y[b] - y[a]) / (loads[b] - loads[a])
            if i < vertices - 1:
                after = kept[i + 1]
                width = loads[after] - loads[b]
                beyond = (y[after] - y[b]) / width
            else:
                width, beyond = loads[b] - loads[a], max(slope, excess[cell, n - 1])
            ramp = BLUR * min(loads[b] - loads[a], width)
            ramps[count], ramps[count + 1] = loads[b] - ramp / 2.0, loads[b] + ramp / 2.0
            levels[count], levels[count + 1] = BAD * slope, BAD * beyond
            count += 2
        while count > kinks:
            count = _drop_flattest(ramps, levels, count)
        for k in range(kinks):
            last = min(k, count - 1)
            at[cell, k] = ramps[last] + max(0, k - last)
            price[cell, k] = levels[last]
    return at, price
