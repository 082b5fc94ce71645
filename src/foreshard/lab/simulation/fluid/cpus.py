"""This module is the cpus of each cell: the line before them and what they spend.

Work is moved by expected amounts, for the textbook's formula (`waiting`) already holds what
chance does to the wait; only what cpus are seen to spend scatters as the arrivals do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.lab.scenario.scenario import CellMake, Discipline
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.fluid.waiting import Lines

__all__ = ["Cpus", "Wait"]

TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wait:
    """What a request that comes to the cpus in this step meets.

    Attributes:
        queued: [C] share that waits (FIFO).
        wait_s: [C] mean wait of those.
        spread_s: [C] deviation of their wait.
        stretch: [C] by which factor a request takes longer than alone (processor sharing).
        load: [C] share of the servers that is busy.
    """

    queued: Floats
    wait_s: Floats
    spread_s: Floats
    stretch: Floats
    load: Floats


class Cpus:
    """The cpus of all cells.

    Args:
        make: Discipline and scatter of the work.
        cpus: [C] of each cell; no whole number = the next larger one of slower cpus.
        cpu_s: [K] mean work of each class, for the time before the first request.
    """

    def __init__(self, make: CellMake, cpus: Floats, cpu_s: Floats) -> None:
        self._is_shared = make.discipline is Discipline.PROCESSOR_SHARING
        self._square = 1.0 + make.service_cv**2
        self._cpus = cpus
        self.servers = np.ceil(cpus)
        self._lines = Lines(self.servers.astype(np.int64))
        self._mean_s = np.full(len(cpus), float(cpu_s.mean()))
        self._square_s = self._mean_s**2
        self._work_s, self._owed_s, self._spread, self._load, self.ended = np.zeros((5, len(cpus)))
        self.busy_s = np.zeros(len(cpus))

    @property
    def inside(self) -> Floats:
        """[C] requests on a cpu or in line for one."""
        return np.asarray(self._work_s / self._mean_s + self._load * self.servers)

    def end(self, cells: Bools) -> None:
        """These [C] are killed."""
        for row in (self._work_s, self._owed_s, self._spread, self._load, self.ended):
            row[cells] = 0.0

    def step(
        self, entering: Floats, cpu_s: Floats, *, chance: Floats, speed: Floats, step_s: float
    ) -> Wait:
        """Take work in and let time pass.

        Args:
            entering: [K, C] requests.
            cpu_s: [K, C] or [K, 1] mean work of each.
            chance: [C] how much more came than was expected, as a factor.
            speed: [C] of each cpu, 1 = well.
            step_s: Length of the step.
        """
        came_s = self._mix(entering, cpu_s)
        able = self._cpus * speed
        scale_s = self._mean_s if self._is_shared else self._square_s / (2.0 * self._mean_s)
        before_s = self._work_s
        drained = self._lines.drain(before_s + came_s, could_s=able * step_s, scale_s=scale_s)
        self._work_s, self._load = drained.work_s, drained.load
        self.ended = (before_s + came_s - drained.work_s) / self._mean_s
        self._owed_s = self._owed_s + came_s * chance
        spent_s = np.minimum(self._owed_s, able * step_s)
        self._owed_s = self._owed_s - spent_s
        self.busy_s += spent_s / speed
        wait_s = (before_s + drained.work_s) / (2.0 * able)
        return self._wait(wait_s, drained.queued, able, step_s)

    def _mix(self, entering: Floats, cpu_s: Floats) -> Floats:
        """Follow the mean and the mean square of the work that comes; returns all of it."""
        amount = entering.sum(axis=0)
        came_s = (entering * cpu_s).sum(axis=0)
        squared = (entering * cpu_s * cpu_s).sum(axis=0) * self._square
        is_known = amount > TINY
        divisor = np.maximum(amount, TINY)
        self._mean_s = np.where(is_known, came_s / divisor, self._mean_s)
        self._square_s = np.where(is_known, squared / divisor, self._square_s)
        return np.asarray(came_s)

    def _wait(self, wait_s: Floats, queued: Floats, able: Floats, step_s: float) -> Wait:
        zero = np.zeros_like(wait_s)
        alone_s = self._mean_s * self.servers / able
        if self._is_shared:
            stretch = 1.0 + wait_s / alone_s
            return Wait(queued=zero, wait_s=zero, spread_s=zero, stretch=stretch, load=self._load)
        # The scatter of a line grows as that of what comes, and never beyond a steady line's.
        grown = self._load * self._square_s / (self._mean_s * able) * step_s
        queued = np.maximum(queued, TINY)
        mean_s = wait_s / queued
        self._spread = np.minimum(np.sqrt(self._spread**2 + grown), mean_s)
        return Wait(
            queued=queued,
            wait_s=mean_s,
            spread_s=self._spread,
            stretch=np.ones_like(wait_s),
            load=self._load,
        )
