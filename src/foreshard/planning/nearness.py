"""This module is near before far: where requests go on a quiet day, and where the overflow goes.

A free class is served where its requests arise, as long as there is room: the nearest ring of
regions is filled up to a planned utilisation, what is left goes to the next nearest that has
room, nearer pairs before farther ones and critical work first. Inside a region every cell gets
its part by size. A class whose keys have one home wherever they come from has no nearest cell,
nor has a fleet without distances: there the split is by size alone, and its work takes up room.

The split follows demand only where a region is full, so that it does not move with every reading.
What a link costs counts as delay, the dearest one as `DEAREST_S`: among regions that are about
as near the cheaper one is nearer, and no saving is bought with more than that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.planning.problem import Flags, Floats, reference_shares, size_of, work_per_request

__all__ = ["DEAREST_S", "PLANNED_UTILISATION", "Map", "near_shares", "tolls_s"]

# Up to this a region serves what arises in it: what people plan a cell for, and under the
# utilisation at which queues are felt (.85).
PLANNED_UTILISATION = 0.75
# Regions that differ by less are equally near: zones of one region are 1 to 2 ms apart.
SAME_RING_S = 0.005
# What the dearest link counts as; regions of one continent are further apart than that.
DEAREST_S = 0.010
# Less of a flow than this is no part of it.
DUST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map:
    """Where things stand.

    Attributes:
        region: [C] index of each cell's region, from 0.
        away_s: [F, C] round trip from a flow's origin, tolls included.
        roams: [F] whether the nearest cell is the best one for a flow.
        priority: [F] 0 = critical, placed first.
    """

    region: NDArray[np.int64]
    away_s: Floats
    roams: Flags
    priority: NDArray[np.int64]


def tolls_s(cost: Floats) -> Floats:
    """What links cost, as a delay.

    Args:
        cost: [F, C] of one request, in any currency; >= 0.
    """
    dearest = float(cost.max(initial=0.0))
    return cost * (DEAREST_S / dearest) if dearest > 0.0 else np.zeros_like(cost)


def near_shares(
    work: tuple[Floats, Floats], capacity: Floats, able: Flags, takes: Flags, where: Map
) -> Floats:
    """The quiet split: near cells first.

    Args:
        work: [F] demand, requests a second, and [F, R] what one of them needs.
        capacity: [C, R], > 0; inf = bounds nothing.
        able: [F, C] who may serve what.
        takes: [C] which cells take work.
        where: Distances.

    Returns:
        [F, C]; rows sum to 1, or to 0 where no cell that is able takes work.
    """
    shares = reference_shares(capacity, able, takes)
    open_ = able & takes
    far = np.where(open_, where.away_s, -np.inf).max(axis=1)
    near = np.where(open_, where.away_s, np.inf).min(axis=1)
    roams = where.roams & (far - near >= SAME_RING_S)
    if not roams.any():
        return shares
    size = size_of(capacity) * takes
    regions = int(where.region.max()) + 1
    member = np.eye(regions)[where.region]
    load = work_per_request(work[1], capacity) * work[0]
    filled = max(PLANNED_UTILISATION, float(load.sum() / size.sum()))
    room = filled * (size @ member) - load[~roams] @ (shares[~roams] @ member)
    given = _placed(np.where(roams, load, 0.0), np.maximum(room, 0.0), open_, member, where)
    weight = np.where(open_, size, 0.0)
    whole = weight @ member
    inside = weight / np.where(whole > 0.0, whole, 1.0)[:, where.region]
    return np.where(roams[:, None], given[:, where.region] * inside, shares)


def _placed(load: Floats, room: Floats, open_: Flags, member: Floats, where: Map) -> Floats:
    """[F, G] the part of every flow that each region gets; a flow without load is placed too."""
    able = open_ @ member > 0.0
    away = np.array(
        [np.where(open_ & (of > 0.0), where.away_s, np.inf).min(axis=1) for of in member.T]
    ).T
    nearest = away.min(axis=1, keepdims=True)
    ring = np.floor(
        np.where(able, away - np.where(nearest < np.inf, nearest, 0.0), 0.0) / SAME_RING_S
    )
    ring = np.where(able, ring, np.inf)
    left = np.ones(load.size)
    given = np.zeros_like(away)
    start = room.copy()
    for distance in np.unique(ring[np.isfinite(ring)]):
        for rank in np.unique(where.priority):
            mine = (ring == distance) & (where.priority == rank)[:, None]
            likes = np.where(mine, np.maximum(room, DUST * start), 0.0)
            total = likes.sum(axis=1, keepdims=True)
            likes = likes / np.where(total > 0.0, total, 1.0)
            wanted = (left * load) @ likes
            fits = np.where(wanted > room, room / np.where(wanted > 0.0, wanted, 1.0), 1.0)
            taken = left[:, None] * likes * fits
            given += taken
            left = np.maximum(left - taken.sum(axis=1), 0.0)
            room = np.maximum(room - load @ taken, 0.0)
    likes = np.where(able, start + DUST, 0.0)
    total = likes.sum(axis=1, keepdims=True)
    given += left[:, None] * likes / np.where(total > 0.0, total, 1.0)
    whole = given.sum(axis=1, keepdims=True)
    return np.asarray(given / np.where(whole > 0.0, whole, 1.0))
