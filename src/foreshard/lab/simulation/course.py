"""This module is what has become of cells and faults so far: who is down, what is cured.

The rules of curing stand in `scenario.fault.Recovery`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from foreshard.lab.scenario.fault import Kind
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.strands import TINY_S, Strands

__all__ = ["Cause", "Course", "Due", "Fall", "due_of"]


class Cause(StrEnum):
    """Why a process ended."""

    MEMORY = "memory"
    CRASH = "crash"
    OUTAGE = "outage"
    MAINTENANCE = "maintenance"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """The end of one process and the beginning of the next.

    Attributes:
        cell: Its name.
        at_s: When it ended.
        back_s: When the next one answers; inf = never.
        cause: Why; RESTART = somebody asked for it.
    """

    cell: str
    at_s: float
    back_s: float
    cause: Cause

    @property
    def is_death(self) -> bool:
        """Whether nobody asked for it."""
        return self.cause is not Cause.RESTART


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Due:
    """A fall that is scheduled."""

    at_s: float
    cell: int
    back_s: float
    cause: Cause


CAUSES = {
    Kind.CRASH: Cause.CRASH,
    Kind.OUTAGE: Cause.OUTAGE,
    Kind.MAINTENANCE: Cause.MAINTENANCE,
}


def due_of(scenario: Scenario) -> tuple[Due, ...]:
    """Everything that takes processes down from outside, in order of time."""
    index = {site.name: c for c, site in enumerate(scenario.sites)}
    return tuple(
        sorted(
            Due(
                at_s=line.begins_s(position),
                cell=index[cell],
                back_s=line.begins_s(position)
                + (scenario.make.restart_s if line.kind is Kind.CRASH else line.holds_s),
                cause=CAUSES[line.kind],
            )
            for line in scenario.faults
            if line.kind.takes_down
            for position, cell in enumerate(line.cells)
        )
    )


class Course:
    """The state of a scenario that is being played.

    Attributes:
        is_up: [C] the process answers.
        back_s: [C] when one that does not will again.
        begins_s: [S] when each strand began, or will.
        ends_s: [S] when it is over; -inf = cured.
        served_s: [S] age by the clock of the shape `load`.
        down: How many cells are down.
        passed: How many of the scheduled falls are past.
        turns: How often anything of this changed but by time.
    """

    def __init__(self, strands: Strands, *, cells: int) -> None:
        self._strands = strands
        self.is_up: Bools = np.ones(cells, dtype=np.bool_)
        self.back_s: Floats = np.zeros(cells)
        self.begins_s = strands.begins_s.copy()
        self.ends_s = strands.begins_s + strands.lasts_s
        self.served_s = np.zeros(len(strands.cell))
        self.down = 0
        self.passed = 0
        self.turns = 0

    def copy(self) -> Course:
        """The same, going its own way."""
        twin = Course(self._strands, cells=len(self.is_up))
        for name in ("is_up", "back_s", "begins_s", "ends_s", "served_s"):
            setattr(twin, name, getattr(self, name).copy())
        twin.down, twin.passed, twin.turns = self.down, self.passed, self.turns
        return twin

    def rise(self, now_s: float) -> None:
        """Whoever is due back by then is back."""
        if self.down:
            risen = ~self.is_up & (self.back_s <= now_s + TINY_S)
            if risen.any():
                self.is_up |= risen
                self.down -= int(risen.sum())
                self.turns += 1

    def fall(self, cell: int, *, at_s: float, back_s: float) -> bool:
        """End the process of a cell; one that is down already stays so at least until then.

        Returns:
            Whether there was a process to end.
        """
        was_up = bool(self.is_up[cell])
        self.is_up[cell] = False
        self.down += was_up
        self.back_s[cell] = back_s if was_up else max(back_s, self.back_s[cell])
        self._cure(cell, at_s)
        self.turns += 1
        return was_up

    def _cure(self, cell: int, at_s: float) -> None:
        strands, back_s = self._strands, float(self.back_s[cell])
        touched = (strands.cell == cell) & strands.is_cured & (self.ends_s > at_s)
        begun = self.begins_s <= at_s + TINY_S
        self.ends_s[touched & begun & ~strands.is_anew] = -math.inf
        # What would begin while there is no process begins with the next one.
        anew = touched & np.where(begun, strands.is_anew, self.begins_s < back_s)
        self.begins_s[anew] = back_s
        self.ends_s[anew] = back_s + strands.lasts_s[anew]
        self.served_s[anew] = 0.0
