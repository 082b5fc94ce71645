"""This module is who holds the data of which slot, and the fewest moves from there to a plan.

A slot may only go to a declared replica of the cell that holds it. Where the wanted cell is no
replica of the crowded one, a third cell can stand between: it takes slots of the one and gives
other slots, its own, to the other. Each slot still moves once. The fewest such moves are a
minimum-cost flow; its matrix is a network's, so a vertex of the linear program is whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import highspy
import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import PlanningError
from foreshard.model.routing import SlotRow, SlotRun
from foreshard.planning.lexicographic import Lexicographic, Program
from foreshard.planning.problem import Flags, Floats

__all__ = [
    "Ints",
    "Stretch",
    "counts_of",
    "fewest_moves",
    "owners_of",
    "pick",
    "quota_of",
    "row_of",
    "shed_row",
]

Ints = NDArray[np.int64]

# A hand-over is at most this part of all slots: a service copies in pieces, and a piece that
# fails is a small one.
LARGEST_PART = 16
# How much a cell further down the list of replicas counts as a longer way.
RANK_COST = 0.01
TIME_LIMIT_S = 2.0
# A share times a power of two is exact but for what a solver left in it.
DUST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Slots in a row that change from one cell to another; cells by index."""

    first: int
    length: int
    source: int
    target: int


def owners_of(row: SlotRow, index: Mapping[str, int]) -> Ints:
    """[N] the cell of every slot; -1 = shed, or a cell that is no more."""
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


def quota_of(shares: Floats, slot_count: int) -> Ints:
    """[C] slots for shares: whole parts, then the largest remainders, until the sum is met."""
    exact = shares * slot_count
    counts = np.floor(exact + DUST).astype(np.int64)
    left = round(float(exact.sum())) - int(counts.sum())
    if left > 0:
        counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts


def fewest_moves(surplus: Ints, deficit: Ints, movable: Ints, rank: Floats) -> Ints:
    """[C, C] how many slots go from where to where.

    As much of the deficits as can be met is met, with the fewest slots; among equals, replicas
    that stand earlier in the list are taken.

    Args:
        surplus: [C] slots that a cell may lose on balance.
        deficit: [C] slots that it is to gain on balance.
        movable: [C] slots of each cell that may move at all.
        rank: [C, C] place of the target in the source's list of replicas; inf = may not go.

    Raises:
        PlanningError: The solver failed, which a network cannot cause.
    """
    cells = surplus.size
    source, target = np.nonzero(np.isfinite(rank))
    moves = np.zeros((cells, cells), dtype=np.int64)
    if not source.size or not (surplus.any() and deficit.any()):
        return moves
    program = Program()
    ways = program.add_columns(np.zeros(source.size), movable[source].astype(float))
    met = program.add_columns(np.zeros(cells), deficit.astype(float))
    gone = program.at_most(movable.astype(float))
    program.put(gone[source], ways, 1.0)
    # Inflow less outflow is what is met, or at most the surplus lost.
    balance = program.add_rows(-surplus.astype(float), np.zeros(cells))
    program.put(balance[target], ways, 1.0)
    program.put(balance[source], ways, -1.0)
    program.put(balance, met, -1.0)
    search = Lexicographic(program, time_limit_s=TIME_LIMIT_S)
    wanted = np.zeros(program.columns)
    wanted[met] = -1.0
    fewest = np.zeros(program.columns)
    fewest[ways] = 1.0 + RANK_COST * rank[source, target]
    for goal in (wanted, fewest):
        if search.minimise(goal) != highspy.HighsModelStatus.kOptimal:
            raise PlanningError(
                f"slots: no fewest moves were found for surplus {surplus.tolist()}, deficit "
                f"{deficit.tolist()}"
            )
        search.settle()
    np.add.at(moves, (source, target), np.rint(search.values[ways]).astype(np.int64))
    return moves


def pick(owners: Ints, free: Flags, moves: Ints) -> Iterator[Stretch]:
    """Which slots: those next to what the target has, else the source's highest.

    Args:
        owners: [N] the cell of every slot.
        free: [N] slots that may move; at least as many of a cell as `moves` takes from it.
        moves: [C, C] how many.
    """
    free = free.copy()
    for source, target in np.argwhere(moves > 0).tolist():
        able = np.flatnonzero(free & (owners == source))
        there = np.flatnonzero(owners == target)
        near = np.zeros(able.size)
        if there.size:
            at = np.searchsorted(there, able)
            below = able - there[np.maximum(at - 1, 0)]
            above = there[np.minimum(at, there.size - 1)] - able
            near = np.minimum(np.abs(below), np.abs(above))
        chosen = np.sort(able[np.lexsort((-able, near))][: moves[source, target]])
        free[chosen] = False
        most = max(1, owners.size // LARGEST_PART)
        for run in np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1):
            for start in range(0, run.size, most):
                part = run[start : start + most]
                yield Stretch(
                    first=int(part[0]), length=int(part.size), source=source, target=target
                )


def shed_row(owners: Ints, served: Ints, names: Sequence[str]) -> SlotRow:
    """The row in which every cell serves only so many of its slots and the highest are shed.

    Args:
        owners: [N] the holder of every slot.
        served: [C] slots that are served.
        names: [C].
    """
    shown = owners.copy()
    for cell, keep in enumerate(served.tolist()):
        held = np.flatnonzero(owners == cell)
        shown[held[keep:]] = -1
    if not (shown >= 0).any():
        shown[0] = owners[0]  # a balancer cannot hold a route that leads nowhere
    return row_of(shown, names)
