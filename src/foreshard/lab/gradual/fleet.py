"""This module is a fleet that lived for some days, with its faults, and the truth about them.

    trial = generate(FleetPlan(days=7.0), seed=1)

The same seed gives the same fleet. `relief` gives cells less work than they were offered: the same
world in which somebody acted, or a question that only the maker of a world can answer, what would
have happened under half the load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import ALONE, History
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.lab.gradual.demand import DAY_S, Fleet, draw_demand
from foreshard.lab.gradual.fault import LOAD_CAUSED, Cause, Fault, FaultPlan, draw_faults
from foreshard.lab.gradual.growth import progress
from foreshard.lab.gradual.vitals import (
    GAUGES,
    SCALES_WITH_LOAD,
    Chance,
    draw_chance,
    read_gauges,
)
from foreshard.model.errors import InvalidValueError

__all__ = ["RULE", "FleetPlan", "Run", "Trial", "generate"]

Array = NDArray[np.float64]

RULE = BreachRule(sustain=3, merge_gap_s=3600.0, quiet_s=3600.0)

# A fault that found no limit in so many of its lengths is over, and was no run.
LONGEST_OF_LENGTH = 1.7
# The room that a fault has is the mean over so many samples.
ROOM_SAMPLES = 15
# A fault takes the cell this far beyond its limit when it is whole.
OVERSHOOT = 0.03
# How long a failed cell is left at its limit before somebody restarts it.
LEFT_S = (300.0, 1500.0)
# Restarts that mean nothing, a cell and week; readings missing, stretches a cell and day.
RESTARTS_A_WEEK = 0.7
GAPS_A_DAY = 1.5
GAP_SAMPLES = 4.0
MISSING_SHARE = 0.002
# The gauge that each fault takes to its limit.
_GAUGE_OF: Final = {
    Cause.LEAK: "memory",
    Cause.PACKET_LOSS: "packet_loss",
    Cause.CPU_HOG: "cpu",
    Cause.DISK_FILL: "disk",
    Cause.POOL_STARVATION: "connections",
    Cause.SURGE: "cpu",
    Cause.CREEP: "cpu",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What fleet to make.

    Attributes:
        groups: Groups of siblings, >= 1.
        siblings: Cells in each, >= 1; 1 = nobody has any.
        days: How long it lives, > 0.
        step_s: Between two samples, > 0.
        faults: What befalls it.
    """

    groups: int = 4
    siblings: int = 6
    days: float = 7.0
    step_s: float = 60.0
    faults: FaultPlan = field(default_factory=FaultPlan)

    def __post_init__(self) -> None:
        if min(self.groups, self.siblings) < 1:
            raise InvalidValueError(
                f"fleet plan: groups is {self.groups}, siblings {self.siblings}: must be >= 1"
            )
        if not (self.days > 0.0 and self.step_s > 0.0):
            raise InvalidValueError(
                f"fleet plan: days is {self.days}, step_s {self.step_s}: must be above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A degradation that led to a failure.

    Attributes:
        fault: What grew.
        onset: Sample of the first breach.
    """

    fault: Fault
    onset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A fleet and the truth about it.

    Attributes:
        history: What was heard.
        faults: All that began.
        runs: Those that led to a failure, by cell and then by time.
        ill: bool [C, T], a fault was on, or a failure near: an hour ahead, or not an hour over.
    """

    history: History
    faults: tuple[Fault, ...]
    runs: tuple[Run, ...]
    ill: NDArray[np.bool_]


def generate(plan: FleetPlan, *, seed: int, relief: NDArray[np.float64] | None = None) -> Trial:
    """Make a fleet.

    Args:
        plan: What fleet.
        seed: Of all chance, >= 0.
        relief: [C, T], the part of the offered work that each cell is given, >= 0; None = all.

    Raises:
        InvalidValueError: `relief` has another shape, or is negative.
    """
    samples = max(round(plan.days * DAY_S / plan.step_s), 1)
    fleet = Fleet(groups=plan.groups, siblings=plan.siblings, samples=samples, step_s=plan.step_s)
    shape = (fleet.size, samples)
    if relief is not None and (relief.shape != shape or not np.all(relief >= 0.0)):
        raise InvalidValueError(
            f"gradual: relief has shape {relief.shape}, must be {shape} with no value below 0"
        )
    streams = [np.random.default_rng([seed, stream]) for stream in range(4)]
    world = _World(
        fleet=fleet,
        offered=draw_demand(fleet, streams[0]),
        chance=draw_chance(fleet, streams[1]),
        restarts=_restarts(fleet, streams[2]),
        relief=np.ones((1, 1)) if relief is None else relief,
    )
    faults = draw_faults(
        plan.faults, cells=fleet.size, samples=samples, step_s=plan.step_s, rng=streams[3]
    )
    healthy = world.read(())
    courses = [
        _course(fault, world, healthy, np.random.default_rng([seed, 4, i]))
        for i, fault in enumerate(faults)
    ]
    # Once to see when each fault has led to failure, and once with the restarts that follow.
    grown = world.read(courses)
    courses = [_until_restart(course, grown) for course in courses]
    history = world.history(courses, np.random.default_rng([seed, 5]))
    onsets = find_onsets(history, RULE)
    runs: list[Run] = []
    ill = np.zeros(shape, dtype=bool)
    quiet = history.steps(RULE.quiet_s)
    for course in courses:
        cell, begin, end = course.fault.cell, course.fault.begin, course.end
        ill[cell, begin : end + quiet] = True
        of_cell = onsets.of_cell(cell)
        inside = of_cell[(of_cell >= begin) & (of_cell < end)]
        if inside.size:
            runs.append(Run(fault=course.fault, onset=int(inside[0])))
    # Chance may break a limit too; an alarm before that is not false, nor is it asked for.
    for cell, begin, end in zip(onsets.cell, onsets.begin, onsets.end, strict=True):
        ill[cell, max(begin - quiet, 0) : end + quiet] = True
    return Trial(history=history, faults=faults, runs=tuple(runs), ill=ill)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """A fault as it grows: [n] in limits, or by how much more work there is, or it costs."""

    fault: Fault
    grown: Array
    left: int

    @property
    def end(self) -> int:
        """The first sample without it."""
        return self.fault.begin + len(self.grown)


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """All that was drawn, to be read under any faults."""

    fleet: Fleet
    offered: Array
    chance: Chance
    restarts: tuple[NDArray[np.int64], ...]
    relief: Array

    def load(self, courses: Sequence[_Course]) -> Array:
        """[C, T] work given."""
        load = self.offered * self.relief
        for course in courses:
            if course.fault.cause is Cause.SURGE:
                load[course.fault.cell, course.fault.begin : course.end] *= 1.0 + course.grown
        return load

    def read(self, courses: Sequence[_Course]) -> NDArray[np.float32]:
        """[C, G, T]."""
        shape = self.offered.shape
        grown: dict[Cause, NDArray[np.float32]] = {}
        for course in courses:
            of = grown.setdefault(course.fault.cause, np.zeros(shape, dtype=np.float32))
            of[course.fault.cell, course.fault.begin : course.end] += course.grown
        return read_gauges(
            self.chance,
            self.fleet,
            load=self.load(courses),
            up_s=self.up_s(courses),
            grown=grown,
        )

    def up_s(self, courses: Sequence[_Course]) -> Array:
        """[C, T], of the restarts that meant nothing and of those that ended a fault."""
        t = np.arange(self.fleet.samples)
        up = np.empty(self.offered.shape)
        for cell, benign in enumerate(self.restarts):
            ends = [course.end for course in courses if course.fault.cell == cell]
            starts = np.sort(np.concatenate((benign, np.array(ends, dtype=np.int64))))
            up[cell] = t - starts[np.searchsorted(starts, t, side="right") - 1]
        return up * self.fleet.step_s

    def history(self, courses: Sequence[_Course], rng: np.random.Generator) -> History:
        """What was heard of it."""
        fleet = self.fleet
        value = self.read(courses)
        load = self.load(courses).astype(np.float32)
        up_s = self.up_s(courses)
        silent = _gaps(fleet, rng) | (up_s < fleet.step_s)
        value[rng.random(value.shape, dtype=np.float32) < MISSING_SHARE] = np.nan
        value.transpose(0, 2, 1)[silent] = np.nan
        load[silent] = np.nan
        c, g = fleet.size, len(GAUGES)
        return History(
            cells=tuple(f"cell-{i}" for i in range(c)),
            gauges=GAUGES,
            begins_s=0.0,
            step_s=fleet.step_s,
            value=value,
            counts=np.ones((c, g), dtype=bool),
            scales_with_load=np.array(SCALES_WITH_LOAD, dtype=bool),
            load=load,
            sibling=np.repeat(
                np.arange(fleet.groups, dtype=np.int32)
                if fleet.siblings > 1
                else np.full(fleet.groups, ALONE, dtype=np.int32),
                fleet.siblings,
            ),
            censored=np.zeros((c, fleet.samples), dtype=bool),
            up_s=up_s.astype(np.float32),
        )


def _course(
    fault: Fault, world: _World, healthy: NDArray[np.float32], rng: np.random.Generator
) -> _Course:
    """How a fault grows where it stands; it is sized by the room that there was as it began."""
    longest = min(round(LONGEST_OF_LENGTH * fault.length), world.fleet.samples - fault.begin)
    part = progress(fault.growth, length=fault.length, samples=longest, rng=rng)
    near = slice(max(fault.begin - ROOM_SAMPLES, 0), fault.begin + 1)
    gauge = GAUGES.index(_GAUGE_OF[fault.cause])
    room = 1.0 + OVERSHOOT - float(healthy[fault.cell, gauge, near].mean())
    if fault.cause in LOAD_CAUSED:
        by_load = world.chance.cpu_of_load[fault.cell, 0] * world.offered[fault.cell, near].mean()
        room = room / float(by_load)
    left = round(rng.uniform(*LEFT_S) / world.fleet.step_s)
    return _Course(fault=fault, grown=part * room, left=max(left, RULE.sustain))


def _until_restart(course: _Course, value: NDArray[np.float32]) -> _Course:
    """The course, ended some time after its breach, if there is one."""
    stretch = value[course.fault.cell, :, course.fault.begin : course.end]
    full = np.any(stretch >= 1.0, axis=0).astype(np.int64)
    long = np.convolve(full, np.ones(RULE.sustain, dtype=np.int64), mode="valid") == RULE.sustain
    if not long.any():
        return course
    return replace(course, grown=course.grown[: int(np.argmax(long)) + RULE.sustain + course.left])


def _restarts(fleet: Fleet, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """Samples of restarts that mean nothing, by cell; the first lies before the record."""
    days = fleet.samples * fleet.step_s / DAY_S
    found = []
    for _ in range(fleet.size):
        before = -rng.integers(1, max(round(5.0 * DAY_S / fleet.step_s), 2), 1)
        inside = rng.integers(0, fleet.samples, rng.poisson(RESTARTS_A_WEEK * days / 7.0))
        found.append(np.concatenate((before, np.sort(inside))).astype(np.int64))
    return tuple(found)


def _gaps(fleet: Fleet, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[C, T] samples in which nothing was heard."""
    silent = np.zeros((fleet.size, fleet.samples), dtype=bool)
    days = fleet.samples * fleet.step_s / DAY_S
    for cell in range(fleet.size):
        for _ in range(rng.poisson(GAPS_A_DAY * days)):
            begin = int(rng.integers(fleet.samples))
            silent[cell, begin : begin + int(rng.geometric(1.0 / GAP_SAMPLES))] = True
    return silent
