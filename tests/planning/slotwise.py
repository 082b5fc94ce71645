"""This module is slots handed out one by one: what `assign_slots` must equal, slot for slot.

It walks over all slots with exact fractions: too slow for a large fleet, and easy to believe.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from foreshard.model.routing import SlotRow
from foreshard.model.weights import quotas
from foreshard.planning.slots import owners_of, row_of

__all__ = ["assigned"]

Ints = NDArray[np.int64]


def assigned(previous: SlotRow | None, shares: Mapping[str, float], slot_count: int) -> SlotRow:
    """See `assign_slots`."""
    names = sorted(shares)
    owners = np.full(slot_count, -1)
    if previous is not None:
        names += sorted(set(previous.counts()) - set(names))
        index = {name: i for i, name in enumerate(names)}
        # Slot s of twice as many holds a part of slot s % N.
        owners = np.resize(owners_of(previous, index), slot_count)
    held = np.array([np.count_nonzero(owners == i) for i in range(len(names))])
    wanted = _target(names, shares, held, slot_count) - held
    for owner in np.flatnonzero(wanted < 0):
        owners[np.flatnonzero(owners == owner)[wanted[owner] :]] = -1
    _hand_out(owners, np.maximum(wanted, 0))
    return row_of(owners, names)


def _target(names: list[str], shares: Mapping[str, float], held: Ints, slot_count: int) -> Ints:
    exact = quotas(shares, slot_count)
    quota = [exact.get(name, 0) for name in names]
    target = [int(each) for each in quota]
    order = sorted(
        (i for i in range(len(names)) if quota[i] != target[i]),
        key=lambda i: (held[i] <= target[i], target[i] - quota[i], i),
    )
    for i in order[: slot_count - sum(target)]:
        target[i] += 1
    return np.array(target)


def _hand_out(owners: Ints, wanted: Ints) -> None:
    """Give freed slots away: to a neighbour that wants them, else to the lowest name."""
    while (owners == -1).any():
        start = int(np.flatnonzero(owners == -1)[0])
        end = start + int(np.argmax(np.append(owners[start:], 0) != -1))
        left = int(owners[start - 1]) if start else -1
        right = int(owners[end]) if end < owners.size else -1
        fits = np.flatnonzero(wanted == end - start)
        taker = int(fits[0]) if fits.size else int(np.flatnonzero(wanted > 0)[0])
        for neighbour in (right, left):
            if neighbour >= 0 and wanted[neighbour]:
                taker = neighbour
        size = min(end - start, int(wanted[taker]))
        from_above = taker == right and not (left >= 0 and wanted[left])
        if from_above:
            owners[end - size : end] = taker
        else:
            owners[start : start + size] = taker
        wanted[taker] -= size
