"""This module is which cells the keys of a keyed class go to, as shares of all its keys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.routing import NOBODY

__all__ = ["failed_over", "owned", "slot_of"]

# SplitMix64's output function: the hash of both cores.
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def slot_of(keys: npt.NDArray[np.int64], slots: int) -> npt.NDArray[np.int64]:
    """The slot of each key, of a power of two.

    >>> slot_of(np.arange(4), 8).tolist()
    [5, 2, 0, 4]
    """
    bits = keys.astype(np.uint64) + np.uint64(1)
    bits = (bits ^ (bits >> np.uint64(30))) * FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND
    bits ^= bits >> np.uint64(31)
    return np.asarray(bits & np.uint64(slots - 1), dtype=np.int64)


def owned(owner: npt.NDArray[np.int32], *, keys: int, cells: int) -> Floats:
    """[C + 1] share of all keys that each cell owns; the last is what nobody does: shed.

    Args:
        owner: [N] of each slot.
        keys: How many there are.
        cells: How many cells.
    """
    of = owner[slot_of(np.arange(keys), len(owner))]
    counted = np.bincount(np.where(of == NOBODY, cells, of), minlength=cells + 1)
    return np.asarray(counted / keys)


def failed_over(own: Floats, seen: Floats, out: Bools, backups: npt.NDArray[np.int32]) -> Floats:
    """[C] where keys go when some proxies have noticed that some owners are dead or fail.

    What has nobody living to go to stays at home; a backup that is ejected for its own keys is
    passed over while there is another.

    Args:
        own: [C] share of the keys by owner.
        seen: [C] share of the proxies that hold a cell for alive.
        out: [C] owners that are ejected.
        backups: [C, BACKUPS] who takes over.
    """
    given, able = own.copy(), seen * ~out
    for home in np.flatnonzero((able < 1.0) & (own > 0.0)).tolist():
        others = backups[home][backups[home] != NOBODY]
        alive = able[others] if able[others].any() else seen[others]
        if alive.sum() <= 0.0:
            continue
        moved = own[home] * (1.0 - able[home]) * min(1.0, float(alive.max()))
        given[home] -= moved
        np.add.at(given, others, moved * alive / alive.sum())
    return given
