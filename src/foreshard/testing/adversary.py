"""This module is a planner that means harm, for trying guards: none of its plans may pass.

It is a `Solver`, so that a real engine can be given it, and it makes plans by itself, for guards
alone. Each trick breaks one rule as far as it can; which one is tried next follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from foreshard.model.plan import Plan, Split
from foreshard.planning.problem import Floats, Problem
from foreshard.planning.situation import Situation
from foreshard.planning.solver import Solution, SolveStatus

__all__ = ["TRICKS", "Adversary", "bad_plan"]

Trick = Callable[[Floats, np.random.Generator], Floats]


def _pile(shares: Floats, rng: np.random.Generator) -> Floats:
    """All of every flow into one cell, whoever that is."""
    piled = np.zeros_like(shares)
    piled[:, int(rng.integers(shares.shape[1]))] = 1.0
    return piled


def _scatter(shares: Floats, rng: np.random.Generator) -> Floats:
    """Each flow somewhere else, into cells that may take none of it too."""
    return np.asarray(rng.dirichlet(np.full(shares.shape[1], 0.3), len(shares)))


def _swap(shares: Floats, rng: np.random.Generator) -> Floats:
    """What each cell has, to another one."""
    return shares[:, rng.permutation(shares.shape[1])]


def _empty(shares: Floats, rng: np.random.Generator) -> Floats:
    """Half of the cells emptied at once."""
    emptied = shares.copy()
    emptied[:, rng.random(shares.shape[1]) < 0.5] = 0.0
    total = emptied.sum(axis=1, keepdims=True)
    return np.where(total > 0.0, emptied / np.where(total > 0.0, total, 1.0), shares)


def _even(shares: Floats, _: np.random.Generator) -> Floats:
    """Everybody alike: also the dead, the barred, those abroad."""
    return np.full_like(shares, 1.0 / shares.shape[1])


def _creep(shares: Floats, rng: np.random.Generator) -> Floats:
    """A small step towards a pile, tick after tick."""
    return 0.95 * shares + 0.05 * _pile(shares, rng)


def _excess(shares: Floats, rng: np.random.Generator) -> Floats:
    """More than all of it."""
    return shares * float(rng.uniform(1.01, 3.0))


def _debt(shares: Floats, _: np.random.Generator) -> Floats:
    """Less than nothing here, more than all there."""
    owed = shares.copy()
    owed[:, 0] -= 0.5
    owed[:, -1] += 0.5
    return owed


def _nonsense(shares: Floats, rng: np.random.Generator) -> Floats:
    """No numbers."""
    return np.where(rng.random(shares.shape) < 0.3, np.nan, shares)


TRICKS: Mapping[str, Trick] = {
    "pile": _pile,
    "scatter": _scatter,
    "swap": _swap,
    "empty": _empty,
    "even": _even,
    "creep": _creep,
    "excess": _excess,
    "debt": _debt,
    "nonsense": _nonsense,
}
"""By name; each from shares [F, C] to shares [F, C]."""

# A solver's answer is a split: what is none at all only reaches guards as a plan.
SPLITTING = ("pile", "scatter", "swap", "empty", "even", "creep")


def bad_plan(trick: str, live: Floats, situation: Situation, seed: int) -> Plan:
    """A plan by one of `TRICKS`.

    Args:
        trick: Its name.
        live: [F, C] shares that are live.
        situation: Whose cells and flows.
        seed: Of what is chosen by chance.
    """
    shares = TRICKS[trick](live, np.random.default_rng(seed))
    splits = {}
    for flow, row in zip(situation.flows, shares.tolist(), strict=True):
        made = Split(shares={situation.cells[0]: 1.0})
        # `Split` refuses such values itself; an adversary does not ask.
        named = {c: x for c, x in zip(situation.cells, row, strict=True) if x != 0.0}
        object.__setattr__(made, "shares", named)
        splits[flow] = made
    return Plan(splits=splits)


@dataclass(slots=True)
class Adversary:
    """A `Solver` that pushes bad splits, another trick each time.

    Attributes:
        seed: Of tricks and of what they choose.
        tried: How often it was asked.
    """

    seed: int
    tried: int = 0

    def solve(self, problem: Problem) -> Solution:
        """A split that is whole and bad."""
        rng = np.random.default_rng((self.seed, self.tried))
        self.tried += 1
        live = problem.reference if problem.previous is None else problem.previous
        total = live.sum(axis=1, keepdims=True)
        whole = np.where(total > 0.0, live / np.where(total > 0.0, total, 1.0), 0.0)
        name = SPLITTING[int(rng.integers(len(SPLITTING)))]
        shares = TRICKS[name](whole, rng)
        return Solution(
            status=SolveStatus.OPTIMAL,
            shares=shares,
            shed=np.maximum(0.0, 1.0 - shares.sum(axis=1)),
            gap_ratio=0.0,
            utilisation=problem.utilisation(shares),
        )
