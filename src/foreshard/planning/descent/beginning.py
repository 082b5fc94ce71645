"""This module is where a descent starts: the live plan, made feasible.

Shares are brought within bounds; cells that are over their ceiling lose work, sheddable work
first (taking from all in proportion would turn priorities round), never below a lower bound.
What is evicted counts as shed until the first sweep finds it a place.
"""

from __future__ import annotations

import numpy as np

from foreshard.planning.descent.market import Market
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = ["begin", "repaired"]


def begin(market: Market, priority: Ints, limit: Floats) -> tuple[Floats, Floats]:
    """Shares [E] and shed [F] that keep every bound and, where bounds allow, every limit.

    Args:
        market: See there.
        priority: [F].
        limit: [C, R] of load.
    """
    wanted = np.where(market.live >= 0.0, market.live, market.home)
    return repaired(market, priority, limit, wanted)


def repaired(
    market: Market, priority: Ints, limit: Floats, wanted: Floats
) -> tuple[Floats, Floats]:
    """Shares [E] and shed [F] near wanted shares [E], feasible; see `begin`."""
    flow = np.repeat(np.arange(market.scale.size), np.diff(market.start))
    shares = np.clip(wanted, market.lower, market.upper)
    free = shares - market.lower
    held = np.add.reduceat(market.lower, market.start[:-1])
    total = np.add.reduceat(free, market.start[:-1])
    most = np.maximum(0.0, 1.0 - market.least_shed - held)
    free *= np.minimum(1.0, most / np.maximum(total, 1e-300))[flow]
    free *= _kept(market, priority, limit, free)[market.cell, np.clip(priority, 0, 2)[flow]]
    shares = np.minimum(market.lower + free, market.upper)
    shed = np.maximum(market.least_shed, 1.0 - np.add.reduceat(shares, market.start[:-1]))
    return shares, shed


def _kept(market: Market, priority: Ints, limit: Floats, free: Floats) -> Floats:
    """[C, 3] which part of its free work of each priority a cell may keep."""
    c, r = limit.shape
    flow = np.repeat(np.arange(market.scale.size), np.diff(market.start))
    rank = np.clip(priority, 0, 2)[flow]

    def loads(shares: Floats) -> Floats:
        per_share = market.scale[flow] * shares
        work = [
            np.bincount(market.cell, per_share * market.need[flow, k], minlength=c)
            for k in range(r)
        ]
        return np.stack(work, axis=1)

    room = np.maximum(0.0, limit - loads(market.lower))
    kept = np.ones((c, 3))
    for level in range(3):
        load = loads(np.where(rank == level, free, 0.0))
        fits = np.where(load > room, room / np.where(load > 0.0, load, 1.0), 1.0)
        kept[:, level] = fits.min(axis=1)
        room = np.maximum(0.0, room - load * kept[:, level : level + 1])
    return kept
