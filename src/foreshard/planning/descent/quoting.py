"""This module is a cell's quote: its price at its load, compiled.

A quote is the price, its slopes to both sides, and the room to the next kink on both sides; inside
the room the price is linear, so whoever stays there knows it exactly. `plain.price_at` is the
price in NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.descent.market import BOUNDLESS, Curves
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = [
    "AT_KINK",
    "DOWN",
    "PRICE",
    "ROOM_DOWN",
    "ROOM_UP",
    "UP",
    "quote_all",
    "quote_some",
]

# Columns of a quote.
PRICE = 0
UP = 1
DOWN = 2
ROOM_UP = 3
ROOM_DOWN = 4
# Nearer than this part of a load, or than this share, is at the kink.
AT_KINK = 1e-12


@njit(cache=True)
def quote_some(load: Floats, curves: Curves, spots: Ints, quotes: Floats) -> None:
    """Write quotes [C, R, 5] at loads [C, R] for some cells and resources.

    A call hands over arrays, and counting references to them costs more than a quote: so there is
    one call for all.

    Args:
        load: [C, R].
        curves: See there.
        spots: [N] cell x R + resource.
        quotes: [C, R, 5] out.
    """
    at, price, tails, limits = curves.at, curves.price, curves.tail, curves.limit
    learned, flex = curves.learned, curves.flex
    count = at.shape[2]
    for spot in spots:
        c, r = divmod(spot, load.shape[1])
        now, give, around = load[c, r], flex[c, r], learned[c, r]
        near = AT_KINK * max(abs(now), abs(at[c, r, 0]))
        k, last, after = 0, -BOUNDLESS, BOUNDLESS
        while k < count:
            after = at[c, r, k] + (price[c, r, k] - around) * give
            if after > now + near:
                break
            k, last = k + 1, after
        # Kinks before k lie at or under the load.
        room = limits[c, r] - now
        if k == 0:
            quotes[c, r, PRICE], quotes[c, r, UP] = price[c, r, 0], 0.0
        elif k == count:
            slope = tails[c, r] / (1.0 + tails[c, r] * give)
            quotes[c, r, PRICE] = price[c, r, count - 1] + slope * (now - last)
            quotes[c, r, UP] = slope
        else:
            slope = (price[c, r, k] - price[c, r, k - 1]) / (after - last)
            quotes[c, r, PRICE] = price[c, r, k - 1] + slope * (now - last)
            quotes[c, r, UP] = slope
        if k < count:
            room = min(room, after - now)
        quotes[c, r, ROOM_UP] = max(0.0, room)
        j = k
        while j > 0 and last >= now - near:
            j, after = j - 1, last
            last = at[c, r, j - 1] + (price[c, r, j - 1] - around) * give if j > 0 else -BOUNDLESS
        if j == 0:
            quotes[c, r, DOWN], quotes[c, r, ROOM_DOWN] = 0.0, BOUNDLESS
        else:
            quotes[c, r, ROOM_DOWN] = now - last
            if j == k:
                quotes[c, r, DOWN] = quotes[c, r, UP]
            else:
                quotes[c, r, DOWN] = (price[c, r, j] - price[c, r, j - 1]) / (after - last)


@njit(cache=True)
def quote_all(load: Floats, curves: Curves, quotes: Floats) -> None:
    """Quotes [C, R, 5] of all cells at loads [C, R]."""
    quote_some(load, curves, np.arange(load.size), quotes)
