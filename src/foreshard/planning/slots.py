"""This module is where keyed work sits: slots, moved as seldom as possible.

`xxh64(key, seed 0) % slot_count` names a key's slot, in this library and in the balancers. A
slot that changes its owner costs every key in it a cold start, so the number of moved slots is
the least possible, and those that move leave from the donor's highest slots: what is given up
last comes back first. Slots start as one run per cell and stay close to that: a freed stretch
goes to a neighbour that wants it before anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np
import xxhash

from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import SlotRow, SlotRun
from foreshard.planning.problem import Floats
from foreshard.planning.quota import whole_slots
from foreshard.planning.seating import NOBODY, Ints, released, seated, slots_of

__all__ = [
    "assign_slots",
    "counts_of",
    "owners_of",
    "row_of",
    "shed_row",
    "slot_count_for",
    "slot_of",
]

_Was = tuple[tuple[SlotRun, ...], Ints, Ints]
"""The runs of a row of as many slots, and their owners and lengths as arrays."""

# 4,096 slots resolve a share to .025 %; 128 a cell keep rounding under 1 % of a cell's share.
LEAST_SLOTS = 4_096
SLOTS_PER_CELL = 128
# Read of every run in a tick: a loop in C takes half the time.
OWNER = attrgetter("owner")
LENGTH = attrgetter("length")


def slot_of(key: str, slot_count: int) -> int:
    """The slot of a key, the same everywhere: `xxh64(UTF-8 of key, seed 0) % slot_count`."""
    return xxhash.xxh64_intdigest(key.encode(), 0) % slot_count


def slot_count_for(active_cells: int) -> int:
    """Slots for so many cells: a power of two, >= 4,096 and >= 128 a cell."""
    return max(LEAST_SLOTS, 1 << max(0, SLOTS_PER_CELL * active_cells - 1).bit_length())


def owners_of(row: SlotRow, index: Mapping[str, int]) -> Ints:
    """[N] the owner of every slot; -1 = one that is not in the index, such as "": shed."""
    named = np.array([index.get(run.owner, -1) for run in row.runs], dtype=np.int64)
    return np.repeat(named, list(map(LENGTH, row.runs)))


def row_of(owners: Ints, names: Sequence[str]) -> SlotRow:
    """The runs of an array of owners; -1 = shed."""
    return _row(*_stretches_in(owners), names, None)


def shed_row(owners: Ints, served: Ints, names: Sequence[str]) -> SlotRow:
    """The row in which every cell serves only so many of its slots and the highest are shed.

    Args:
        owners: [N] the holder of every slot.
        served: [C] slots that are served.
        names: [C].
    """
    shown = _stretches_in(owners)
    shown = released(*shown, counts_of(owners, served.size) - served)
    if not (shown[0] >= 0).any():
        # A balancer cannot hold a route that leads nowhere.
        shown = np.array([owners[0], NOBODY]), np.array([1, owners.size - 1])
    return _row(*shown, names, None)


def _stretches_in(owners: Ints) -> tuple[Ints, Ints]:
    first = np.flatnonzero(np.diff(owners, prepend=owners[0] - 1))
    return owners[first], np.diff(np.append(first, owners.size))


def counts_of(owners: Ints, cells: int) -> Ints:
    """[C] slots of every cell."""
    return np.bincount(owners[owners >= 0], minlength=cells)


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
    counts = previous.counts() if previous is not None else {}
    names = sorted(shares)
    gone = sorted(name for name in counts if name not in shares)
    share = np.array([*map(shares.__getitem__, names), *(0.0 for _ in gone)], dtype=float)
    names += gone
    if previous is None or previous.slot_count != slot_count:
        return _anew(previous, share, names, slot_count)
    held = np.array([counts.get(name, 0) for name in names])
    target = whole_slots(share, held, total=slot_count)
    if np.array_equal(held, target):
        return previous
    owner, length = _stretches(previous, names)
    return _row(*seated(owner, length, target), names, (previous.runs, owner, length))


def _anew(
    previous: SlotRow | None, share: Floats, names: Sequence[str], slot_count: int
) -> SlotRow:
    """A row of another number of slots than the one before."""
    if previous is None:
        owner, length = np.array([NOBODY]), np.array([slot_count])
    else:
        owner, length = _resized(*_stretches(previous, names), slot_count)
    held = slots_of(owner, length, len(names))
    target = whole_slots(share, held, total=slot_count)
    return _row(*seated(owner, length, target), names, None)


def _stretches(row: SlotRow, names: Sequence[str]) -> tuple[Ints, Ints]:
    """[R] owners and lengths of a row's runs."""
    index = dict(zip(names, range(len(names)), strict=True))
    owner = map(index.__getitem__, map(OWNER, row.runs))
    size = len(row.runs)
    return (
        np.fromiter(owner, np.int64, size),
        np.fromiter(map(LENGTH, row.runs), np.int64, size),
    )


def _resized(owner: Ints, length: Ints, slot_count: int) -> tuple[Ints, Ints]:
    """The same keys at the same owners: slot s of twice as many holds a part of slot s % N."""
    times = slot_count // int(length.sum())
    if times:
        return np.tile(owner, times), np.tile(length, times)
    ends = np.cumsum(length)
    kept = int(np.searchsorted(ends, slot_count)) + 1
    length = length[:kept].copy()
    length[-1] -= ends[kept - 1] - slot_count
    return owner[:kept], length


def _row(owner: Ints, length: Ints, names: Sequence[str], was: _Was | None) -> SlotRow:
    """The row of these stretches; runs that are as they were are the very same objects."""
    runs = np.empty(owner.size, dtype=object)
    is_new = np.ones(owner.size, dtype=bool)
    if was is not None:
        runs_then, owner_then, length_then = was
        begin_then, begin = np.cumsum(length_then) - length_then, np.cumsum(length) - length
        at = np.minimum(np.searchsorted(begin_then, begin), begin_then.size - 1)
        is_new = (
            (begin_then[at] != begin) | (length_then[at] != length) | (owner_then[at] != owner)
        )
        runs[~is_new] = np.fromiter(runs_then, object, len(runs_then))[at[~is_new]]
    new = zip(owner[is_new].tolist(), length[is_new].tolist(), strict=True)
    made = (SlotRun(owner=names[o] if o >= 0 else "", length=n) for o, n in new)
    runs[is_new] = np.fromiter(made, object, int(is_new.sum()))
    return SlotRow(runs=tuple(runs.tolist()))
