"""This module is plant and weather, moved together by the virtual clock, and what was measured.

The weather is asked what holds from a moment on, the plant lives through a step of it, and the
meters are read: never the other way round, so that a fault of this step is seen in the next.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.plant import Plant
from foreshard.model.events import SystemEvent

__all__ = ["STEP_S", "Life", "LifeEvent", "Meters", "Moment", "Sky", "World"]

Ints = npt.NDArray[np.int64]

# Health checks, queues and kills are told apart to a tenth of a second.
STEP_S = 0.1
# Moments that sources can look back to: the longest lag of telemetry.
KEPT_S = 120.0
# Processes ran for an hour before the scenario: none of them looks freshly started.
RAN_BEFORE_S = 3_600.0


class Sky(Protocol):
    """The weather of one run: what befalls cells and demand."""

    def at(self, now_s: float, served: Floats) -> Effects:
        """What holds from now on.

        Args:
            now_s: Of the scenario; never less than in the call before.
            served: [C, K] requests that each cell answered well since the call before.
        """

    def restart(self, cell: str, now_s: float) -> bool:
        """Somebody restarts a cell; returns whether there was a process to end."""

    def events(self, now_s: float) -> tuple[SystemEvent, ...]:
        """What is announced by then and not over, in seconds of the scenario."""


class Life(StrEnum):
    """What happens to a cell's process."""

    DIED = "died"
    STARTED = "started"
    ASKED = "asked"  # someone asked for a restart


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeEvent:
    """One turn in a cell's life.

    Attributes:
        at_s: Of the scenario.
        cell: Its name.
        what: What happened.
    """

    at_s: float
    cell: str
    what: Life


@dataclass(slots=True, kw_only=True, eq=False)
class Meters:
    """Counters that only rise, as balancers and cells keep them; see `Counts`.

    `arrived` and `shed` are [O, K]; `tries`, `failed`, `slow` and `latency_s` [O, C, K];
    `busy_s` is [C].
    """

    arrived: Floats
    shed: Floats
    tries: Floats
    failed: Floats
    slow: Floats
    latency_s: Floats
    busy_s: Floats

    @classmethod
    def zero(cls, origins: int, cells: int, classes: int) -> Meters:
        """Nothing was counted yet."""
        edge, deep = (origins, classes), (origins, cells, classes)
        return cls(
            arrived=np.zeros(edge),
            shed=np.zeros(edge),
            tries=np.zeros(deep),
            failed=np.zeros(deep),
            slow=np.zeros(deep),
            latency_s=np.zeros(deep),
            busy_s=np.zeros(cells),
        )

    def copy(self) -> Meters:
        """What they show now."""
        return Meters(**{name: getattr(self, name).copy() for name in Meters.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """What cells could say of themselves at the end of one step.

    Attributes:
        at_s: Of the scenario.
        busy_s: [C] cpu seconds since the start of the run.
        inside: [C] connections in use.
        life: [C] how often the process was started in the run.
        started_s: [C] when it was, seconds of the scenario (before it: negative).
        effects: What holds.
    """

    at_s: float
    busy_s: Floats
    inside: Floats
    life: Ints
    started_s: Floats
    effects: Effects


class World:
    """Steps plant and weather up to the virtual clock.

    Args:
        scenario: Gives names and shapes.
        plant: Cells, requests and balancers.
        sky: What befalls them.
        start_s: Of the scenario, on the clock.

    Attributes:
        meters: As they stand after the last step.
        in_flight: [C] requests the balancers have open, after the last step.
        lives: What happened to processes, oldest first.
    """

    def __init__(self, scenario: Scenario, plant: Plant, sky: Sky, *, start_s: float) -> None:
        self.scenario = scenario
        self.plant = plant
        self.sky = sky
        self.start_s = start_s
        self.lives: list[LifeEvent] = []
        cells = len(scenario.sites)
        self.meters = Meters.zero(len(scenario.origins), cells, len(scenario.offers))
        self.in_flight = np.zeros(cells)
        self._steps = 0
        self._last_step = round(scenario.duration_s / STEP_S)
        self._life = np.zeros(cells, dtype=np.int64)
        self._started_s = np.full(cells, -RAN_BEFORE_S)
        self._moments: deque[Moment] = deque(maxlen=round(KEPT_S / STEP_S) + 1)
        self._effects = sky.at(0.0, np.zeros((cells, len(scenario.offers))))
        self._remember(np.zeros(cells))

    @property
    def now_s(self) -> float:
        """How far the plant is, seconds of the scenario."""
        return self._steps * STEP_S

    @property
    def effects(self) -> Effects:
        """What holds now."""
        return self._effects

    def moment(self, back: int) -> Moment:
        """What was so many steps ago; the first there is, if that is longer ago."""
        return self._moments[max(0, len(self._moments) - 1 - back)]

    def advance(self, to_s: float) -> None:
        """Let everything happen until a moment of the clock; the traffic's end is the last."""
        due = min(self._last_step, int((to_s - self.start_s) / STEP_S + 1e-6))
        while self._steps < due:
            self._step()

    def restart(self, cell: str) -> None:
        """Restart a cell now.

        Raises:
            InvalidValueError: There is no such cell.
        """
        if self.sky.restart(cell, self.now_s):
            self._note(cell, Life.ASKED)

    def _step(self) -> None:
        before = self._effects
        self._steps += 1
        self.plant.advance(self.now_s, before)
        counts = self.plant.count()
        meters = self.meters
        for name in Meters.__slots__:
            total = getattr(meters, name)
            total += getattr(counts, name)
        self.in_flight = counts.in_flight.sum(axis=(0, 2))
        self._effects = self.sky.at(self.now_s, (counts.tries - counts.failed).sum(axis=0))
        self._live_on(before)
        self._remember(counts.inside.copy())

    def _live_on(self, before: Effects) -> None:
        """Note who died and who started."""
        changed = before.is_up != self._effects.is_up
        if not changed.any():
            return
        self._life, self._started_s = self._life.copy(), self._started_s.copy()
        for index in np.flatnonzero(changed).tolist():
            is_up = bool(self._effects.is_up[index])
            if is_up:
                self._life[index] += 1
                self._started_s[index] = self.now_s
            self._note(self.scenario.sites[index].name, Life.STARTED if is_up else Life.DIED)

    def _note(self, cell: str, what: Life) -> None:
        self.lives.append(LifeEvent(at_s=round(self.now_s, 6), cell=cell, what=what))

    def _remember(self, inside: Floats) -> None:
        self._moments.append(
            Moment(
                at_s=self.now_s,
                busy_s=self.meters.busy_s.copy(),
                inside=inside,
                life=self._life,
                started_s=self._started_s,
                effects=self._effects,
            )
        )
