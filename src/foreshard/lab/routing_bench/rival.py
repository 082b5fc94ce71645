"""This module is the ways in which others bind a key to a cell, in proportion to weights.

*Rendezvous* (Thaler & Ravishankar 1998, weighted as by Schindelhauer & Schomaker 2005): the cell
with the largest `-w / log(u(key, cell))`. Exact shares, fewest moves, and work that grows with the
number of cells. It is compiled here, which is how it is fastest.

*Ring* (Karger et al. 1997): cells stand at many points of a circle, and the next point after the
key's decides; found by bisection. Shares are as even as there are points.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray
from xxhash import xxh64_intdigest

__all__ = ["Choose", "rendezvous", "ring"]

Choose = Callable[[str], int]
"""The number of the cell of a key."""

# As many as the router has slots a cell.
POINTS_PER_CELL = 128


def rendezvous(weights: Sequence[float]) -> Choose:
    """Weighted rendezvous hashing over cells with these weights, > 0."""
    seeds = np.array(
        [xxh64_intdigest(f"cell-{i}".encode()) for i in range(len(weights))], dtype=np.uint64
    )
    weight = np.array(weights, dtype=np.float64)

    def choose(key: str) -> int:
        found: int = _best(xxh64_intdigest(key.encode()), seeds, weight)
        return found

    return choose


def ring(weights: Sequence[float]) -> Choose:
    """A ring of points, so many for each cell as its weight is worth."""
    total = sum(weights)
    points = [
        (xxh64_intdigest(f"cell-{cell}/{point}".encode()), cell)
        for cell, weight in enumerate(weights)
        for point in range(max(1, round(POINTS_PER_CELL * len(weights) * weight / total)))
    ]
    points.sort()
    places = [place for place, _ in points]
    # Behind the last point the circle begins again.
    owners = [cell for _, cell in points] + [points[0][1]]

    def choose(key: str) -> int:
        return owners[bisect(places, xxh64_intdigest(key.encode()))]

    return choose


@njit("int64(uint64, uint64[:], float64[:])", cache=True, nogil=True)
def _best(digest: int, seeds: NDArray[np.uint64], weight: NDArray[np.float64]) -> int:
    best, highest = 0, -1.0
    for i in range(seeds.size):
        # SplitMix64's last steps, and its upper bits as a number in (0, 1).
        bits = np.uint64(digest) ^ seeds[i]
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        u = (np.float64(bits >> np.uint64(12)) + 0.5) * 2.0**-52
        score = -weight[i] / np.log(u)
        if score > highest:
            best, highest = i, score
    return best
