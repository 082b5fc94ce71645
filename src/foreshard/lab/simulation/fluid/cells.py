"""This module is the cells: a pool of connections, what requests wait for inside, and cpus.

Amounts flow through three stages: the line for a connection (`pool`), the wait for a dependency
(a stage without a limit), the cpus (`cpus`). Who gave up outside is not known here: given-up
work costs as much as other work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import STALL_S, Bools, Effects, Floats
from foreshard.lab.simulation.fluid.cold import ColdKeys
from foreshard.lab.simulation.fluid.cpus import Cpus, Wait
from foreshard.lab.simulation.fluid.pool import Pools, chance_line_s
from foreshard.lab.simulation.fluid.sojourn import Part

__all__ = ["Cells", "Passage"]

TINY = 1e-12
# A dependency's times scatter by half their mean (lab.cell.draw).
DEPENDENCY_CV = 0.5
# Whoever loses nearly everything has long been given up.
MOST_LOST = 0.9
# What is left of the line by chance where there always is somebody.
FED = 0.02
# Below this share cold keys are no part of their own.
FEW_COLD = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passage:
    """What a request that arrives in this step meets.

    Attributes:
        refused: [C] share that is refused at once.
        expired: [C] share of the others that gets no connection in time.
        parts: Of the time inside of the others, [K, C].
    """

    refused: Floats
    expired: Floats
    parts: tuple[Part, ...]


class Cells:
    """All cells.

    Args:
        scenario: What they are made of, and what the classes cost.
    """

    def __init__(self, scenario: Scenario) -> None:
        works = [offer.work for offer in scenario.offers]
        shape = (len(works), len(scenario.sites))
        self._make = scenario.make
        self._cpu_s = np.array([[work.cpu_s] for work in works])
        self._dependency_s = np.array(
            [[work.dependency_s if work.dependency else 0.0] for work in works]
        )
        self._cold_s = np.array([[work.cold_s] for work in works])
        self._capacity = np.array(scenario.cpus())
        self._pools = Pools(scenario.make, shape)
        self._cpus = Cpus(scenario.make, self._capacity, self._cpu_s[:, 0])
        self._delayed = np.zeros(shape)
        self._age_s = np.full(shape[1], np.inf)
        self.cold = ColdKeys(scenario)

    @property
    def inside(self) -> Floats:
        """[C] connections in use."""
        return np.asarray(self._delayed.sum(axis=0) + self._cpus.inside)

    @property
    def waiting(self) -> Floats:
        """[C] requests in line for a connection."""
        return self._pools.waiting

    @property
    def busy_s(self) -> Floats:
        """[C] cpu seconds spent since the beginning."""
        return self._cpus.busy_s.copy()

    def end(self, cells: Bools) -> None:
        """These [C] are killed: whatever is inside is lost."""
        self._delayed[:, cells] = 0.0
        self._pools.end(cells)
        self._cpus.end(cells)

    def start(self, cells: Bools) -> None:
        """These [C] begin, empty and cold."""
        self._age_s[cells] = 0.0
        self.cold.forget(cells)

    def step(
        self, effects: Effects, expected: Floats, real: Floats, *, even: Floats, step_s: float
    ) -> Passage:
        """Take in a step's requests and let all move on.

        Args:
            effects: What holds.
            expected: [K, C] amounts that come to the process, in the mean.
            real: [K, C] the same with chance.
            even: [C] how much shorter lines are than by chance arrivals, as a factor.
            step_s: Length of the step.
        """
        cold = self.cold.meet(real) if self.cold.is_needed else np.zeros_like(expected)
        cpu_s = self._cpu_s * self._dearer(step_s)
        door = self._pools.admit(
            expected,
            limit=effects.connections,
            inside=self.inside,
            ended=self._cpus.ended,
            step_s=step_s,
        )
        delay_s = self._dependency_s + effects.wait_s.T + cold * self._cold_s
        delay_s = delay_s + STALL_S * _lost(effects)
        entering = self._delay(door.admitted, delay_s, step_s)
        # While others stand in line for a connection the cpus never run out of work.
        even = np.where(door.line_s > 0.0, np.minimum(even, FED), even)
        usual_s, real_s = (expected * cpu_s).sum(axis=0), (real * cpu_s).sum(axis=0)
        chance = np.where(usual_s > TINY, real_s / np.maximum(usual_s, TINY), 1.0)
        wait = self._cpus.step(
            entering, cpu_s, chance=chance, speed=effects.speed, even=even, step_s=step_s
        )
        alone_s = cpu_s * self._cpus.servers / (self._capacity * effects.speed)
        amount = np.maximum(expected.sum(axis=0), TINY)
        holds_s = (expected * (delay_s + alone_s)).sum(axis=0) / amount
        steady_s = chance_line_s(amount / step_s, holds_s, effects.connections)
        line_s = np.maximum(door.line_s, steady_s)
        return Passage(
            refused=door.refused,
            expired=door.expired,
            parts=self._parts(effects, line_s, wait, alone_s, cold),
        )

    def _dearer(self, step_s: float) -> Floats | float:
        """By which factor [C] requests cost more in a young process."""
        age_s, self._age_s = self._age_s, self._age_s + step_s
        if self._make.cold_s <= 0.0:
            return 1.0
        return np.asarray(1.0 + np.clip(1.0 - age_s / self._make.cold_s, 0.0, 1.0))

    def _delay(self, admitted: Floats, delay_s: Floats, step_s: float) -> Floats:
        """Amounts [K, C] whose wait inside ends in this step."""
        if not self._delayed.any() and not delay_s.any():
            return admitted
        delay_s = np.maximum(delay_s, 1e-6)
        left = np.exp(-step_s / delay_s)
        after = self._delayed * left + admitted * delay_s / step_s * (1.0 - left)
        ending = np.maximum(0.0, self._delayed + admitted - after)
        self._delayed = after
        return np.asarray(ending)

    def _parts(
        self, effects: Effects, line_s: Floats, wait: Wait, alone_s: Floats, cold: Floats
    ) -> tuple[Part, ...]:
        service_s = alone_s * wait.stretch
        shared = np.where(wait.stretch > 1.0, wait.load, 0.0)
        cv = np.maximum(self._make.service_cv, shared)
        mean_s = line_s + effects.wait_s.T + self._dependency_s + service_s
        variance = (cv * service_s) ** 2 + (DEPENDENCY_CV * self._dependency_s) ** 2
        free = Part(share=1.0 - wait.queued, mean_s=mean_s, deviation_s=np.sqrt(variance))
        held = Part(
            share=wait.queued,
            mean_s=mean_s + wait.wait_s,
            deviation_s=np.sqrt(variance + wait.spread_s**2),
        )
        parts = [free, held]
        if effects.stall_ratio.any():
            again = 1.0 / (1.0 - np.minimum(effects.stall_ratio, MOST_LOST))
            parts = _with(parts, effects.stall_ratio, STALL_S * again)
        if cold.max() > FEW_COLD:
            parts = _with(parts, cold, self._cold_s)
        return tuple(parts)


def _lost(effects: Effects) -> Floats:
    """[C] retransmissions a request: one that is lost may be lost again."""
    ratio = np.minimum(effects.stall_ratio, MOST_LOST)
    return np.asarray(ratio / (1.0 - ratio))


def _with(parts: list[Part], share: Floats, more_s: Floats) -> list[Part]:
    """Each part twice: as it is, and so much longer for a share."""
    without = [
        Part(share=p.share * (1.0 - share), mean_s=p.mean_s, deviation_s=p.deviation_s)
        for p in parts
    ]
    longer = [
        Part(share=p.share * share, mean_s=p.mean_s + more_s, deviation_s=p.deviation_s)
        for p in parts
    ]
    return without + longer
