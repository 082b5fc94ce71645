"""This module is shares as whole slots: largest remainder, to the last bit and for large fleets.

A slot that goes to the wrong cell because of rounding is a key that moves for nothing, so who
gets one is settled exactly. Almost all of it can be told from floats whose error is bounded; only
quotas that lie within that error of a whole number, or of the last remainder that still gets a
slot, are worked out in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from foreshard.model.weights import divided
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.seating import Ints

__all__ = ["whole_slots"]

# Three roundings (sum, product, quotient) of half a unit in the last place each, and some room.
ERROR = 2.0**-50
# Within these a product of a share and a number of slots neither overflows nor loses bits.
SMALL, LARGE = 2.0**-900, 2.0**900


def whole_slots(shares: Floats, held: Ints, *, total: int) -> Ints:
    """[C] whole slots: the whole part of every quota, then one more each until the sum is met.

    Who already holds more than the whole part comes first, then the largest remainder, then the
    first. A share of zero gets none.

    Args:
        shares: [C] in any common unit; finite, >= 0, not all zero.
        held: [C] slots now.
        total: Of all; >= 1.

    Raises:
        InvalidValueError: A share is negative or not finite, or all are zero.
    """
    positive = shares[shares > 0.0]
    if not (np.isfinite(shares).all() and (shares >= 0.0).all() and positive.size) or not (
        positive.min() > SMALL and positive.max() < LARGE
    ):
        counts, rest = _exactly(shares, total)
        counts[_order(rest, held <= counts)[: total - int(counts.sum())]] += 1
        return counts
    quota = shares * total / math.fsum(shares.tolist())
    count = np.floor(quota)
    rest, doubt = quota - count, quota * ERROR
    exact = _exact(shares, total)
    unsure = np.flatnonzero((shares > 0.0) & (np.minimum(rest, 1.0 - rest) <= doubt))
    values, which = np.unique(shares[unsure], return_inverse=True)
    if values.size:
        known = [exact(value) for value in values.tolist()]
        count[unsure] = np.array([whole for whole, _ in known], dtype=float)[which]
        rest[unsure] = np.array([float(part) for _, part in known])[which]
    counts = count.astype(np.int64)
    left = total - int(counts.sum())
    order = _order(rest, held <= counts)
    if 0 < left < order.size:
        order = _settled(order, left, rest, held <= counts, (shares, doubt.max(), exact))
    counts[order[:left]] += 1
    return counts


def _order(rest: Floats, last: Flags) -> Ints:
    """Who gets one more, the first first: `last` are those who hold no more than that already."""
    groups = [np.flatnonzero((rest > 0.0) & (last == late)) for late in (False, True)]
    return np.concatenate([able[np.argsort(-rest[able], kind="stable")] for able in groups])


def _settled(
    order: Ints,
    left: int,
    rest: Floats,
    group: Flags,
    by: tuple[Floats, float, Callable[[float], tuple[int, Fraction]]],
) -> Ints:
    """The order in which those too near to the last that gets a slot are sorted exactly."""
    shares, doubt, exact = by
    last = order[left - 1]
    near = (group[order] == group[last]) & (np.abs(rest[order] - rest[last]) <= 2.0 * doubt)
    rivals = order[near]
    if np.unique(shares[rivals]).size == 1:
        return order
    order[near] = sorted(rivals.tolist(), key=lambda i: (-exact(float(shares[i]))[1], i))
    return order


def _exact(shares: Floats, total: int) -> Callable[[float], tuple[int, Fraction]]:
    """What a share is worth, as whole slots and what remains; the sum is made when needed."""
    known: dict[float, tuple[int, Fraction]] = {}
    summed: list[Fraction] = []

    def worth(share: float) -> tuple[int, Fraction]:
        if not summed:
            summed.append(_sum(shares))
        if share not in known:
            quota = Fraction(share) * total / summed[0]
            known[share] = quota.__floor__(), quota - quota.__floor__()
        return known[share]

    return worth


def _sum(shares: Floats) -> Fraction:
    """The exact sum: what `fsum` leaves over is summed again until nothing is left."""
    terms = shares.tolist()
    found = Fraction(0)
    while part := math.fsum(terms):
        found += Fraction(part)
        terms.append(-part)
    return found


def _exactly(shares: Floats, total: int) -> tuple[Ints, Floats]:
    """Whole slots, and the rank of what remains: for shares that floats cannot be trusted with."""
    exact = divided({str(i): share for i, share in enumerate(shares.tolist())}, total)
    ranks = {part: rank for rank, part in enumerate(sorted({part for _, part in exact.values()}))}
    first = 0 if 0 in ranks else -1
    counts = np.array([count for count, _ in exact.values()], dtype=np.int64)
    return counts, np.array([float(ranks[part] - first) for _, part in exact.values()])
