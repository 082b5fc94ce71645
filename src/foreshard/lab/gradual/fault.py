"""This module is which cell begins to fail, when, of what, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from foreshard.lab.gradual.growth import Growth
from foreshard.model.errors import InvalidValueError

__all__ = ["LOAD_CAUSED", "Cause", "Fault", "FaultPlan", "draw_faults"]


class Cause(StrEnum):
    """What grows."""

    LEAK = "leak"
    PACKET_LOSS = "packet_loss"
    CPU_HOG = "cpu_hog"
    DISK_FILL = "disk_fill"
    POOL_STARVATION = "pool_starvation"
    # The cell is given ever more work, or the same work costs it ever more.
    SURGE = "surge"
    CREEP = "creep"


# What a lighter load cures.
LOAD_CAUSED: Final = frozenset({Cause.SURGE, Cause.CREEP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One degradation of one cell.

    Attributes:
        cell: Index of the cell.
        cause: What grows.
        growth: How.
        begin: Sample with which it begins.
        length: Samples until it is whole.
    """

    cell: int
    cause: Cause
    growth: Growth
    begin: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """How faults befall a fleet.

    Attributes:
        causes: What may grow, one as likely as another.
        growths: And how.
        per_cell_day: Mean number of faults a cell and day, >= 0.
        shortest_s: Lengths are log-uniform from here,
        longest_s: to here.
        first_s: None begins earlier: whoever looks needs a past.
    """

    causes: tuple[Cause, ...] = tuple(Cause)
    growths: tuple[Growth, ...] = tuple(Growth)
    per_cell_day: float = 0.25
    shortest_s: float = 1800.0
    longest_s: float = 7200.0
    first_s: float = 7200.0

    def __post_init__(self) -> None:
        if not self.causes or not self.growths:
            raise InvalidValueError("fault plan: causes and growths must not be empty")
        if not self.per_cell_day >= 0.0:
            raise InvalidValueError(
                f"fault plan: per_cell_day is {self.per_cell_day}, must be >= 0"
            )
        if not 0.0 < self.shortest_s <= self.longest_s:
            raise InvalidValueError(
                f"fault plan: shortest_s is {self.shortest_s}, longest_s {self.longest_s}: "
                "must be above 0 and rise"
            )


def draw_faults(
    plan: FaultPlan, *, cells: int, samples: int, step_s: float, rng: np.random.Generator
) -> tuple[Fault, ...]:
    """Draw the faults of a fleet, by cell and then by time.

    After each a cell is left in peace for twice the longest length, so that one is over, and the
    cell well again, before the next begins.
    """
    rest = int(3.0 * plan.longest_s / step_s)
    mean_wait = 86400.0 / (plan.per_cell_day * step_s) if plan.per_cell_day else np.inf
    # The rest is part of the time between two faults.
    wait = max(mean_wait - rest, 1.0)
    faults: list[Fault] = []
    kinds = [(cause, growth) for cause in plan.causes for growth in plan.growths]
    for cell in range(cells):
        at = plan.first_s / step_s + rng.exponential(wait)
        while at + rest < samples:
            cause, growth = kinds[int(rng.integers(len(kinds)))]
            length_s = np.exp(rng.uniform(np.log(plan.shortest_s), np.log(plan.longest_s)))
            faults.append(
                Fault(
                    cell=cell,
                    cause=cause,
                    growth=growth,
                    begin=int(at),
                    length=max(int(length_s / step_s), 1),
                )
            )
            at += rest + rng.exponential(wait)
    return tuple(faults)
