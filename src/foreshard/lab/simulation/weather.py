"""This module is the player of faults: what they do at each moment, given what was served.

Whatever kills a process here is followed by its supervisor, which starts the next one after
`make.restart_s` (after `holds_s` where the host was gone). What a restart cures, and what begins
anew with the next process, stands in `scenario.fault.Recovery`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from foreshard.lab.scenario.fault import FaultLine, Kind, Shape
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.course import Cause, Course, Fall, due_of
from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.growth import growth
from foreshard.lab.simulation.sheet import Composer, Sheet
from foreshard.lab.simulation.strands import TINY_S, Strands, strands_of
from foreshard.model.errors import InvalidValueError, LabError
from foreshard.model.events import EventKind, SystemEvent

__all__ = ["Stretch", "Weather"]

# So that the garbage of a seed is not the demand of the same seed.
GARBAGE_STREAM: Final = 0x6A7B
# Share of free memory at which a collector runs, and how long it takes to get there in
# production: what the demo's heap does (`lab.cell.memory`), at its pace of 15.
GARBAGE_MOST: Final = (0.01, 0.03)
GARBAGE_EVERY_S: Final = (60.0, 180.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One fault in one cell, as declared: were nothing restarted.

    Attributes:
        fault: Index among the scenario's.
        cell: Its name; "" = it befalls demand.
        noticed_s: First moment at which anybody could act on it with reason.
        begins_s: When it begins.
        whole_s: When it is whole.
        ends_s: When it is over; at most the scenario's end.
    """

    fault: int
    cell: str
    noticed_s: float
    begins_s: float
    whole_s: float
    ends_s: float


class Weather:
    """Plays the faults of a scenario; the same calls give the same bits.

    Args:
        scenario: What befalls whom.
        seed: Of what chance there is: how the healthy heap breathes.
        start_s: Of the scenario on the clock of events, seconds since the epoch.
    """

    def __init__(self, scenario: Scenario, *, seed: int, start_s: float = 0.0) -> None:
        self.scenario = scenario
        self._start_s = start_s
        self._strands: Strands = strands_of(scenario)
        self._composer = Composer(scenario, self._strands)
        self._due = due_of(scenario)
        self._names = [site.name for site in scenario.sites]
        self._index = {name: c for c, name in enumerate(self._names)}
        self._course = Course(self._strands, cells=len(self._names))
        self._falls: list[Fall] = []
        self._now_s = 0.0
        self._asked = 0
        chance = np.random.default_rng([seed, GARBAGE_STREAM])
        cells = len(self._names)
        self._heap = chance.uniform(*GARBAGE_MOST, size=cells)
        self._turn_hz = scenario.pace / chance.uniform(*GARBAGE_EVERY_S, size=cells)
        self._phase = chance.uniform(size=cells)

    @property
    def now_s(self) -> float:
        """The moment that was played last."""
        return self._now_s

    @property
    def turns(self) -> int:
        """How often a process ended or began so far."""
        return self._course.turns

    @property
    def asked(self) -> int:
        """How many of these ends somebody asked for."""
        return self._asked

    @property
    def has_load(self) -> bool:
        """Whether anything grows with what is served."""
        return Shape.LOAD in self._strands.shapes

    @property
    def falls(self) -> tuple[Fall, ...]:
        """Every end of a process so far, in order of time."""
        return tuple(self._falls)

    @property
    def deaths(self) -> tuple[Fall, ...]:
        """Those that nobody asked for."""
        return tuple(fall for fall in self._falls if fall.is_death)

    @property
    def restarts(self) -> tuple[Fall, ...]:
        """Those that somebody asked for."""
        return tuple(fall for fall in self._falls if not fall.is_death)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Every fault in every cell, as declared."""
        end_s = self.scenario.duration_s
        return tuple(
            Stretch(
                fault=number,
                cell=cell,
                noticed_s=min(begins_s, line.noticed_s + begins_s - line.at_s),
                begins_s=begins_s,
                whole_s=begins_s + line.grows_s,
                ends_s=min(end_s, begins_s + line.lasts_s),
            )
            for number, line in enumerate(self.scenario.faults)
            for position, cell in enumerate(line.cells or ("",))
            for begins_s in (line.begins_s(position),)
        )

    def at(self, now_s: float, served: Floats) -> Effects:
        """What holds from this moment on.

        Args:
            now_s: Seconds from the start of the scenario; never less than before.
            served: [C, K] requests that each cell has served since the last call.

        Raises:
            LabError: Time runs backwards.
        """
        passed_s = now_s - self._now_s
        if passed_s < 0.0:
            raise LabError(
                f"weather: asked for {now_s} s after {self._now_s} s; time only runs forward"
            )
        if self.has_load:
            self._age(served)
        self._now_s = now_s
        self._pass(now_s)
        sheet = self._sheet(now_s)
        while (killed := self._composer.killed(sheet)) is not None:
            if not (dead := np.flatnonzero(killed & self._course.is_up)).size:
                break
            for cell in dead.tolist():
                self._end(cell, now_s, now_s + self.scenario.make.restart_s, Cause.MEMORY)
            sheet = self._sheet(now_s)
        garbage = self._heap * np.mod(now_s * self._turn_hz + self._phase, 1.0)
        is_up = self._course.is_up.copy()
        return self._composer.effects(sheet, is_up=is_up, garbage=garbage)

    def restart(self, cell: str, now_s: float) -> bool:
        """End a cell's process on purpose; the next one answers after `make.restart_s`.

        Args:
            cell: Its name.
            now_s: Not before what was played last.

        Returns:
            Whether there was a process to end; one that is being started already is left alone.

        Raises:
            InvalidValueError: No such cell.
        """
        if cell not in self._index:
            raise InvalidValueError(
                f"weather: cell {cell!r} is unknown; there are {', '.join(self._names[:8])} ..."
            )
        index = self._index[cell]
        if not self._course.is_up[index]:
            return False
        self._asked += 1
        self._end(index, now_s, now_s + self.scenario.make.restart_s, Cause.RESTART)
        return True

    def events(self, now_s: float) -> tuple[SystemEvent, ...]:
        """Announced maintenance and deploys that are known by then and not over."""
        until_s = self.scenario.duration_s
        return tuple(
            _event(number, line, cells, begins_s, start_s=self._start_s, until_s=until_s)
            for number, line in enumerate(self.scenario.faults)
            if line.known_s is not None and line.known_s <= now_s
            for cells, begins_s in _windows(line)
            if now_s < begins_s + line.lasts_s
        )

    def fork(self) -> Weather:
        """The same weather from here on, going its own way."""
        twin = object.__new__(Weather)
        twin.__dict__.update(self.__dict__)
        twin._course = self._course.copy()
        twin._falls = list(self._falls)
        return twin

    def _age(self, served: Floats) -> None:
        """Let what grows with load grow."""
        strands, course = self._strands, self._course
        rows = strands.shapes[Shape.LOAD]
        begun = course.begins_s[rows] <= self._now_s + TINY_S
        count = (served[strands.cell[rows]] * strands.classes[rows]).sum(axis=1)
        course.served_s[rows] += begun * count / strands.served_rps[rows]

    def _pass(self, now_s: float) -> None:
        """Let scheduled ends and beginnings of processes happen, in order."""
        course = self._course
        while course.passed < len(self._due):
            due = self._due[course.passed]
            if due.at_s > now_s + TINY_S:
                break
            course.passed += 1
            course.rise(due.at_s)
            self._end(due.cell, due.at_s, due.back_s, due.cause)
        course.rise(now_s)

    def _sheet(self, now_s: float) -> Sheet:
        course = self._course
        age_s = now_s - course.begins_s
        is_on = (age_s >= -TINY_S) & (course.ends_s > now_s + TINY_S)
        grown = growth(self._strands, np.maximum(age_s, 0.0), course.served_s)
        return self._composer.sheet(grown * is_on, now_s=now_s)

    def _end(self, cell: int, at_s: float, back_s: float, cause: Cause) -> None:
        name = self._names[cell]
        if self._course.fall(cell, at_s=at_s, back_s=back_s):
            self._falls.append(Fall(cell=name, at_s=at_s, back_s=back_s, cause=cause))
            return
        # It was down already, and perhaps stays so for longer.
        newest = max(n for n, fall in enumerate(self._falls) if fall.cell == name)
        told = self._falls[newest]
        self._falls[newest] = replace(told, back_s=max(back_s, told.back_s))


def _windows(line: FaultLine) -> Sequence[tuple[tuple[str, ...], float]]:
    """Cells whose window begins at the same time, and when."""
    if line.stagger_s == 0.0:
        return [(line.cells, line.at_s)]
    return [((cell,), line.begins_s(position)) for position, cell in enumerate(line.cells)]


def _event(
    number: int,
    line: FaultLine,
    cells: tuple[str, ...],
    begins_s: float,
    *,
    start_s: float,
    until_s: float,
) -> SystemEvent:
    is_deploy = line.kind is Kind.DEPLOY
    known_s = 0.0 if line.known_s is None else line.known_s
    lasts_s = line.lasts_s if math.isfinite(line.lasts_s) else max(1.0, until_s - begins_s)
    what = "gets a new version" if is_deploy else f"is off for {lasts_s:g} s"
    return SystemEvent(
        id=f"{line.kind}-{number}-{cells[0]}",
        kind=EventKind.DEPLOY if is_deploy else EventKind.MAINTENANCE,
        cells=frozenset(cells),
        known_at_s=start_s + known_s,
        starts_at_s=start_s + begins_s,
        ends_at_s=start_s + begins_s + lasts_s,
        note=f"{', '.join(cells)}: {what}",
    )
