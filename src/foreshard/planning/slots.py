"""This module is where keyed work sits: slots, moved as seldom as possible.

`xxh64(key, seed 0) % slot_count` names a key's slot, in this library and in the balancers. A
slot that changes its owner costs every key in it a cold start, so the number of moved slots is
the least possible, and those that move leave from the donor's highest slots: what is given up
last comes back first. Slots start as one run per cell and stay close to that: a freed stretch
goes to a neighbour that wants it before anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm

import numpy as np
import xxhash
from numpy.typing import NDArray

from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import SlotRow, SlotRun
from foreshard.model.weights import divided

__all__ = [
    "Ints",
    "assign_slots",
    "counts_of",
    "owners_of",
    "quota_of",
    "row_of",
    "slot_count_for",
    "slot_of",
    "whole_slots",
]

Ints = NDArray[np.int64]

# 4,096 slots resolve a share to .025 %; 128 a cell keep rounding under 1 % of a cell's share.
LEAST_SLOTS = 4_096
SLOTS_PER_CELL = 128


def slot_of(key: str, slot_count: int) -> int:
    """The slot of a key, the same everywhere: `xxh64(UTF-8 of key, seed 0) % slot_count`."""
    return xxhash.xxh64_intdigest(key.encode(), 0) % slot_count


def slot_count_for(active_cells: int) -> int:
    """Slots for so many cells: a power of two, >= 4,096 and >= 128 a cell."""
    return max(LEAST_SLOTS, 1 << max(0, SLOTS_PER_CELL * active_cells - 1).bit_length())


def owners_of(row: SlotRow, index: Mapping[str, int]) -> Ints:
    """[N] the owner of every slot; -1 = one that is not in the index, such as "": shed."""
    named = np.array([index.get(run.owner, -1) for run in row.runs], dtype=np.int64)
    return np.repeat(named, [run.length for run in row.runs])


def row_of(owners: Ints, names: Sequence[str]) -> SlotRow:
    """The runs of an array of owners; -1 = shed."""
    cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), owners.size]
    return SlotRow(
        runs=tuple(
            SlotRun(owner=names[owners[a]] if owners[a] >= 0 else "", length=b - a)
            for a, b in pairwise(cuts)
        )
    )


def counts_of(owners: Ints, cells: int) -> Ints:
    """[C] slots of every cell."""
    return np.bincount(owners[owners >= 0], minlength=cells)


def quota_of(exact: Sequence[Fraction], held: Ints) -> Ints:
    """[C] whole slots for exact quotas: whole parts, then one more each until the sum is met.

    Who already holds more than the whole part comes first, then the largest remainder.

    Args:
        exact: [C] quotas; their sum is whole.
        held: [C] slots now.
    """
    unit = lcm(*(quota.denominator for quota in exact))
    parts = [divmod(q.numerator * (unit // q.denominator), unit) for q in exact]
    return whole_slots(parts, held, total=int(sum(exact)))


def whole_slots(parts: Sequence[tuple[int, int]], held: Ints, *, total: int) -> Ints:
    """[C] `quota_of` quotas as `divided` gives them.

    Args:
        parts: [C] whole slots, and what remains in a unit common to all.
        held: [C] slots now.
        total: Of all quotas.
    """
    counts = [count for count, _ in parts]
    had = held.tolist()
    order = sorted(
        (i for i, (_, remainder) in enumerate(parts) if remainder > 0),
        key=lambda i: (had[i] <= counts[i], -parts[i][1], i),
    )
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return np.array(counts, dtype=np.int64)


def assign_slots(
    previous: SlotRow | None, shares: Mapping[str, float], slot_count: int
) -> SlotRow:
    """Give every slot an owner, in proportion to shares, moving as few slots as possible.

    Every owner gets the whole part of its quota; slots that are left go first to owners that
    already hold more than that, then to the largest remainder, then by name. Counts therefore
    lie within one slot of the exact quota, and equal `apportion` where nothing was assigned
    before. A share of zero gets nothing.

    Args:
        previous: The live row. A row with another (power of two) count is carried over: a key
            stays with its cell as far as the counts allow.
        shares: By cell, in any common unit; owner "" is what is shed.
        slot_count: A power of two.

    Raises:
        InvalidValueError: A share is negative or not finite, only "" has a share, or
            `slot_count` is not a power of two.
    """
    if slot_count < 1 or slot_count & (slot_count - 1):
        raise InvalidValueError(f"slot_count is {slot_count}, must be a power of two")
    exact = divided(shares, slot_count)
    names = sorted(shares)
    if previous is None:
        owners = np.full(slot_count, -1, dtype=np.int64)
    else:
        names += sorted(set(previous.counts()) - set(names))
        owners = _resized(owners_of(previous, {n: i for i, n in enumerate(names)}), slot_count)
    held = counts_of(owners, len(names))
    parts = [exact.get(name, (0, 0)) for name in names]
    target = whole_slots(parts, held, total=slot_count)
    freed = _release(owners, held - target)
    _hand_out(owners, freed, np.maximum(target - held, 0))
    return row_of(owners, names)


def _release(owners: Ints, surplus: Ints) -> Ints:
    """Slots without an owner, rising: those that had none and the donors' highest."""
    for donor in np.flatnonzero(surplus > 0):
        owners[np.flatnonzero(owners == donor)[-surplus[donor] :]] = -1
    return np.flatnonzero(owners == -1)


def _hand_out(owners: Ints, freed: Ints, wanted: Ints) -> None:
    """Give freed slots away: to a neighbour that wants them, else to the lowest name."""
    gaps = np.split(freed, np.flatnonzero(np.diff(freed) > 1) + 1) if freed.size else []
    for gap in gaps:
        start, end = int(gap[0]), int(gap[-1]) + 1
        while start < end:
            left = int(owners[start - 1]) if start else -1
            right = int(owners[end]) if end < owners.size else -1
            if left >= 0 and wanted[left] > 0:
                taker, size = left, min(end - start, int(wanted[left]))
            elif right >= 0 and wanted[right] > 0:
                taker, size = right, min(end - start, int(wanted[right]))
                owners[end - size : end] = taker
                wanted[taker] -= size
                end -= size
                continue
            else:
                taker = _best_fit(wanted, end - start)
                size = min(end - start, int(wanted[taker]))
            owners[start : start + size] = taker
            wanted[taker] -= size
            start += size


def _best_fit(wanted: Ints, size: int) -> int:
    """Who wants exactly so many, else the first who wants any."""
    fits = np.flatnonzero(wanted == size)
    return int(fits[0]) if fits.size else int(np.flatnonzero(wanted > 0)[0])


def _resized(owners: Ints, slot_count: int) -> Ints:
    """The same keys at the same owners: slot s of twice as many holds a part of slot s % N."""
    if slot_count >= owners.size:
        return np.tile(owners, slot_count // owners.size)
    return owners[:slot_count].copy()
