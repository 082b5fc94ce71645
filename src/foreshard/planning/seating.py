"""This module is slots as stretches that change hands: what donors give up, and who takes it.

A fleet of 10,000 cells has two million slots, but hardly more stretches than cells, and in a tick
few of them change. So work is done on stretches, in order of slots: arrays where all are looked
at, and plain loops over the gaps that donors leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOBODY", "Ints", "released", "seated", "slots_of"]

Ints = NDArray[np.int64]

Piece = tuple[int, int]
"""An owner and how many slots it takes."""
NOBODY = -1
"""Owner of a slot that nobody has."""


def seated(owner: Ints, length: Ints, target: Ints) -> tuple[Ints, Ints]:
    """[R'] owners and lengths of the stretches after the fewest moves that meet the target.

    Donors give up their highest slots. A freed stretch goes to a neighbour that wants it, the
    lower one first; else to who wants exactly so many slots, else to the first who wants any.

    Args:
        owner: [R] of every stretch; -1 = nobody's, which somebody gets.
        length: [R] of every stretch, > 0.
        target: [C] slots that every owner is to have; their sum is that of the lengths.
    """
    held = slots_of(owner, length, target.size)
    owners, lengths = released(owner, length, held - target)
    gaps = np.flatnonzero(owners == NOBODY)
    pieces = _handed_out(owners, lengths, gaps, np.maximum(target - held, 0))
    return _joined(*_filled(owners, lengths, gaps, pieces))


def slots_of(owner: Ints, length: Ints, owners: int) -> Ints:
    """[C] slots of every owner in these stretches."""
    of_some = owner != NOBODY
    # A weighted count is in floats, which hold any number of slots exactly.
    return np.bincount(owner[of_some], length[of_some], owners).astype(np.int64)


def released(owner: Ints, length: Ints, surplus: Ints) -> tuple[Ints, Ints]:
    """[R'] the stretches after every owner has given up its highest slots.

    Args:
        owner: [R] of every stretch; -1 = nobody's.
        length: [R] of every stretch, > 0.
        surplus: [C] slots that every owner gives up; none where it is not above 0.
    """
    freed = _freed(owner, length, surplus)
    # Every stretch as what stays and, above it, what is freed; the empty ones are left out.
    owners = np.column_stack((owner, np.full(owner.size, NOBODY))).ravel()
    lengths = np.column_stack((length - freed, freed)).ravel()
    return _joined(owners[lengths > 0], lengths[lengths > 0])


def _freed(owner: Ints, length: Ints, surplus: Ints) -> Ints:
    """[R] slots at the upper end of every stretch that its owner gives up."""
    freed = np.where(owner == NOBODY, length, 0)
    of_donors = np.flatnonzero((owner != NOBODY) & (surplus[owner] > 0))[::-1]
    # By donor, its highest stretch first.
    of_donors = of_donors[np.argsort(owner[of_donors], kind="stable")]
    donor, size = owner[of_donors], length[of_donors]
    above = np.cumsum(size) - size
    is_first = np.diff(donor, prepend=-1) != 0
    above -= np.repeat(above[is_first], np.diff(np.append(np.flatnonzero(is_first), donor.size)))
    freed[of_donors] = np.clip(surplus[donor] - above, 0, size)
    return freed


def _joined(owner: Ints, length: Ints) -> tuple[Ints, Ints]:
    """Stretches in which no two neighbours have one owner."""
    first = np.flatnonzero(np.diff(owner, prepend=owner[0] - 1))
    return owner[first], np.add.reduceat(length, first)


def _filled(owner: Ints, length: Ints, gaps: Ints, pieces: list[list[Piece]]) -> tuple[Ints, Ints]:
    """Stretches with every gap replaced by its pieces."""
    if not gaps.size:
        return owner, length
    sizes = np.ones(owner.size, dtype=np.int64)
    sizes[gaps] = [len(each) for each in pieces]
    owner, length = np.repeat(owner, sizes), np.repeat(length, sizes)
    new = np.array([piece for each in pieces for piece in each], dtype=np.int64)
    at = owner == NOBODY
    owner[at], length[at] = new[:, 0], new[:, 1]
    return owner, length


def _handed_out(owner: Ints, length: Ints, gaps: Ints, wanted: Ints) -> list[list[Piece]]:
    """Who takes what of every gap, in order of slots."""
    takers = _Takers(wanted.tolist())
    around = np.concatenate(([NOBODY], owner, [NOBODY]))
    given = []
    for size, left, right in zip(
        length[gaps].tolist(), around[gaps].tolist(), around[gaps + 2].tolist(), strict=True
    ):
        below: list[Piece] = []
        above: list[Piece] = []
        rest, neighbour = size, left
        while rest:
            if takers.wants(neighbour):
                part = takers.take(neighbour, rest)
                below.append((neighbour, part))
            elif takers.wants(right):
                part = takers.take(right, rest)
                above.append((right, part))
            else:
                neighbour = takers.fitting(rest)
                continue
            rest -= part
        given.append(below + above[::-1])
    return given


@dataclass(slots=True)
class _Takers:
    """What every owner still wants."""

    wanted: list[int]
    _by_size: dict[int, list[int]] = field(default_factory=dict)
    _rising: Iterator[int] = field(init=False)
    _first: int = field(init=False)

    def __post_init__(self) -> None:
        # Each list is a heap, for it rises.
        for taker, size in enumerate(self.wanted):
            if size:
                self._by_size.setdefault(size, []).append(taker)
        self._rising = iter(range(len(self.wanted)))
        self._first = next(self._rising)

    def wants(self, taker: int) -> bool:
        return taker != NOBODY and self.wanted[taker] > 0

    def take(self, taker: int, most: int) -> int:
        part = min(most, self.wanted[taker])
        left = self.wanted[taker] = self.wanted[taker] - part
        if left:
            heappush(self._by_size.setdefault(left, []), taker)
        return part

    def fitting(self, size: int) -> int:
        """Who wants exactly so many, else the first who wants any."""
        those = self._by_size.get(size, [])
        # Some have taken since they were entered here.
        while those and self.wanted[those[0]] != size:
            heappop(those)
        if those:
            return those[0]
        while not self.wanted[self._first]:
            self._first = next(self._rising)
        return self._first
