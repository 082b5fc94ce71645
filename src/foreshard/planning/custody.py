"""This module is who holds the data of which slot, and the fewest moves from there to a plan.

A slot may only go to a declared replica of the cell that holds it. Where the wanted cell is no
replica of the crowded one, a third cell can stand between: it takes slots of the one and gives
other slots, its own, to the other. Each slot still moves once. The fewest such moves are a
minimum-cost flow; its matrix is a network's, so a vertex of the linear program is whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import highspy
import numpy as np

from foreshard.model.errors import PlanningError
from foreshard.planning.lexicographic import Lexicographic, Program
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.seating import Ints

__all__ = [
    "Stretch",
    "fewest_moves",
    "pick",
]

# A hand-over is at most this part of all slots: a service copies in pieces, and a piece that
# fails is a small one.
LARGEST_PART = 16
# How much a cell further down the list of replicas counts as a longer way.
RANK_COST = 0.01
TIME_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Slots in a row that change from one cell to another; cells by index."""

    first: int
    length: int
    source: int
    target: int


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
