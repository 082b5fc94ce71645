"""This module is a cell's quote: its price at its load, compiled.

A quote is the price, its slopes to both sides, and the room to the next kink on both sides; inside
the room the price is linear, so whoever stays there knows it exactly. `plain.quote` is the same
in NumPy.
"""

from __future__ import annotations

from numba import njit

from foreshard.planning.descent.market import BOUNDLESS, Curves
from foreshard.planning.problem import Floats

__all__ = [
    "AT_KINK",
    "DOWN",
    "PRICE",
    "ROOM_DOWN",
    "ROOM_UP",
    "UP",
    "quote",
    "quote_all",
    "requote",
]

# Columns of a quote.
PRICE = 0
UP = 1
DOWN = 2
ROOM_UP = 3
ROOM_DOWN = 4
# Nearer than this part of a load, or than this share, is at the kink.
AT_KINK = 1e-12
# A step of more than this part of the room is looked up.
INSIDE = 0.999


@njit(cache=True)
def quote(load: float, curves: Curves, c: int, r: int, quotes: Floats) -> None:
    """Write price, slopes and rooms of one cell and resource at a load into quotes [C, R, 5]."""
    at, price, tails = curves.at, curves.price, curves.tail
    count = at.shape[2]
    near = AT_KINK * max(abs(load), abs(at[c, r, 0]))
    k = 0
    while k < count and at[c, r, k] <= load + near:
        k += 1
    # Kinks before k lie at or under the load.
    j = k
    while j > 0 and at[c, r, j - 1] >= load - near:
        j -= 1
    room = curves.limit[c, r] - load
    if k == 0:
        quotes[c, r, PRICE], quotes[c, r, UP] = price[c, r, 0], 0.0
    elif k == count:
        beyond = tails[c, r] * (load - at[c, r, count - 1])
        quotes[c, r, PRICE] = price[c, r, count - 1] + beyond
        quotes[c, r, UP] = tails[c, r]
    else:
        rise = price[c, r, k] - price[c, r, k - 1]
        slope = rise / (at[c, r, k] - at[c, r, k - 1])
        quotes[c, r, PRICE] = price[c, r, k - 1] + slope * (load - at[c, r, k - 1])
        quotes[c, r, UP] = slope
    if k < count:
        room = min(room, at[c, r, k] - load)
    quotes[c, r, ROOM_UP] = max(0.0, room)
    if j == 0:
        quotes[c, r, DOWN], quotes[c, r, ROOM_DOWN] = 0.0, BOUNDLESS
    else:
        quotes[c, r, ROOM_DOWN] = load - at[c, r, j - 1]
        if j == k:
            quotes[c, r, DOWN] = quotes[c, r, UP]
        else:
            rise = price[c, r, j] - price[c, r, j - 1]
            quotes[c, r, DOWN] = rise / (at[c, r, j] - at[c, r, j - 1])


@njit(cache=True)
def quote_all(load: Floats, curves: Curves, quotes: Floats) -> None:
    """Quotes [C, R, 5] of all cells at loads [C, R]."""
    for c in range(load.shape[0]):
        for r in range(load.shape[1]):
            quote(load[c, r], curves, c, r, quotes)


@njit(cache=True)
def requote(step: float, load: float, curves: Curves, c: int, r: int, quotes: Floats) -> None:
    """Bring a quote up to a load that has just changed by a step.

    Inside the room the price is linear, so the curve need not be searched.
    """
    if 0.0 < step < INSIDE * quotes[c, r, ROOM_UP]:
        if quotes[c, r, DOWN] != quotes[c, r, UP]:
            # It was at a kink and has left it.
            quotes[c, r, DOWN], quotes[c, r, ROOM_DOWN] = quotes[c, r, UP], 0.0
        quotes[c, r, PRICE] += quotes[c, r, UP] * step
    elif 0.0 > step > -INSIDE * quotes[c, r, ROOM_DOWN]:
        if quotes[c, r, DOWN] != quotes[c, r, UP]:
            quotes[c, r, UP], quotes[c, r, ROOM_UP] = quotes[c, r, DOWN], 0.0
        quotes[c, r, PRICE] += quotes[c, r, DOWN] * step
    else:
        quote(load, curves, c, r, quotes)
        return
    quotes[c, r, ROOM_UP] -= step
    quotes[c, r, ROOM_DOWN] += step
