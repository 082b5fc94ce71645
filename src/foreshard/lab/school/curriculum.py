"""This module is what befalls a fleet at school: faults of every kind, drawn at random.

The draw knows names, regions, classes and the load of the fleet on trial, and nothing of what is
to befall it: of a scenario its `faults` are never looked at. Kinds, targets, moments, lengths,
shapes and magnitudes are drawn from wide ranges, the same for every scenario. Some of what is
drawn is harmless, and must be: a heap that is collected, a disk that is rotated, a crash that
tells nothing before it comes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from foreshard.lab.scenario.fault import FaultLine, Kind, Shape
from foreshard.lab.scenario.scenario import Scenario
from foreshard.model.errors import InvalidValueError

__all__ = ["Term", "draw_faults"]

# In production's seconds, as everything here; a scenario's pace shortens all of it.
# From the end of one fault of a cell to its next.
WELL_S = 900.0
GROWS_S = (120.0, 3_600.0)
HOLDS_S = (240.0, 900.0)
# A fleet of which more is ill at once is no school for single cells.
MOST_ILL = 1.0 / 3.0
# A lesson begins and ends with all cells well.
WELL_BEFORE_S = 600.0
# Neighbours that a common cause hits at once, at most.
MOST_HIT = 3
SURGE_P = 0.5
# A surge is drawn up to where the fleet would just be full.
FULL = 1.0
GENTLE = (Shape.LINEAR, Shape.EXPONENTIAL)
FILLING = (Shape.LINEAR, Shape.EXPONENTIAL, Shape.LOAD, Shape.SAWTOOTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long a school lasts, in production's seconds.

    Attributes:
        days: That a fleet seems to have lived; > 0.
        lessons: Stretches of it in which faults befall it; >= 1.
        lesson_s: Length of each.
        calm_s: Length of the stretch that all the calm hours are made of.
        rest_s: Calm at the end, before the trial begins.
    """

    days: float = 3.0
    lessons: int = 4
    lesson_s: float = 7_200.0
    calm_s: float = 4_800.0
    rest_s: float = 10_800.0

    def __post_init__(self) -> None:
        for name in ("days", "lesson_s", "calm_s", "rest_s"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InvalidValueError(f"school: {name} is {getattr(self, name)}, must be > 0")
        if self.lessons < 1:
            raise InvalidValueError(f"school: lessons is {self.lessons}, must be 1 or more")
        needed_s = self.lessons * self.lesson_s + self.rest_s
        if needed_s > 86_400.0 * self.days:
            raise InvalidValueError(
                f"school: {self.lessons} lessons of {self.lesson_s:g} s and {self.rest_s:g} s of "
                f"rest need more than {self.days:g} days; give it more days, or fewer lessons"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """How one kind is drawn.

    Attributes:
        weight: How often, beside the others.
        least, most: Of the magnitude.
        shapes: One of them.
        whole_p: Chance that the magnitude is the most there is.
        is_scaled: Whether the magnitude is drawn evenly in its logarithm.
        holds_s: How long it stays whole.
    """

    weight: float
    least: float = 1.0
    most: float = 1.0
    shapes: tuple[Shape, ...] = GENTLE
    whole_p: float = 0.0
    is_scaled: bool = False
    holds_s: tuple[float, float] = HOLDS_S


SUBJECTS: Final[Mapping[Kind, _Subject]] = MappingProxyType(
    {
        Kind.LEAK: _Subject(weight=4.0, least=0.3, shapes=FILLING, whole_p=0.6),
        Kind.CREEP: _Subject(weight=3.0, least=0.2, most=0.8),
        Kind.THROTTLE: _Subject(weight=1.0, least=0.2, most=0.8, shapes=(*GENTLE, Shape.STEP)),
        Kind.DISK_FILL: _Subject(weight=2.0, least=0.3, shapes=FILLING, whole_p=0.6),
        Kind.POOL: _Subject(weight=2.0, least=0.4, whole_p=0.5),
        Kind.DESCRIPTORS: _Subject(weight=2.0, least=0.4, whole_p=0.5),
        Kind.THREADS: _Subject(weight=2.0, least=0.4, whole_p=0.5),
        Kind.SLOW_DEPENDENCY: _Subject(weight=2.0, least=0.1, most=3.0, is_scaled=True),
        Kind.LATENCY: _Subject(
            weight=1.0, least=0.1, most=2.0, is_scaled=True, shapes=(*GENTLE, Shape.PULSE)
        ),
        Kind.PACKET_LOSS: _Subject(weight=1.0, least=0.02, most=0.5, is_scaled=True),
        Kind.ERRORS: _Subject(
            weight=1.5, least=0.03, most=0.6, is_scaled=True, shapes=(*GENTLE, Shape.STEP)
        ),
        Kind.CRASH: _Subject(weight=1.0, shapes=(Shape.STEP,)),
        Kind.OUTAGE: _Subject(weight=0.5, shapes=(Shape.STEP,), holds_s=(30.0, 600.0)),
        Kind.PARTITION: _Subject(weight=0.5, shapes=(Shape.STEP,), holds_s=(20.0, 300.0)),
        Kind.MISSING_METRICS: _Subject(weight=0.5, shapes=(Shape.STEP,), holds_s=(60.0, 600.0)),
    }
)
# What several cells that stand together may suffer from at once.
COMMON = frozenset({Kind.SLOW_DEPENDENCY, Kind.LATENCY, Kind.PACKET_LOSS})


def draw_faults(
    scenario: Scenario, *, lasts_s: float, chance: np.random.Generator
) -> tuple[FaultLine, ...]:
    """What befalls the fleet in one lesson.

    Args:
        scenario: For cells, classes, load and pace; its faults are not looked at.
        lasts_s: Length of the lesson, production's seconds.
        chance: Draws.

    Returns:
        Faults whose times are the scenario's own (at its pace), in order of their beginning.
    """
    ends_s = lasts_s - WELL_BEFORE_S
    names = [site.name for site in scenario.sites]
    most_ill = max(1, int(MOST_ILL * len(names)))
    free_s = {name: WELL_BEFORE_S + chance.exponential(WELL_S) / 2.0 for name in names}
    ill: list[float] = []
    found: list[FaultLine] = []
    while True:
        name = min(names, key=lambda each: (free_s[each], each))
        at_s = free_s[name]
        if at_s >= ends_s:
            break
        ill = [until_s for until_s in ill if until_s > at_s]
        if len(ill) >= most_ill:
            free_s[name] = min(ill) + chance.exponential(WELL_S) / 2.0
            continue
        line = _drawn(scenario, name, at_s, chance)
        free_s[name] = at_s + chance.exponential(WELL_S)
        if line is None or line.ends_s >= ends_s:
            continue
        found.append(line)
        for hit in line.cells:
            free_s[hit] = line.ends_s + chance.exponential(WELL_S)
            ill.append(line.ends_s)
    if chance.random() < SURGE_P:
        found.append(_surge(scenario, ends_s, chance))
    return tuple(_at_pace(line, scenario.pace) for line in sorted(found, key=lambda f: f.at_s))


def _drawn(
    scenario: Scenario, name: str, at_s: float, chance: np.random.Generator
) -> FaultLine | None:
    """One fault of a cell; None = its kind befalls nobody here."""
    kinds = list(SUBJECTS)
    weight = np.array([SUBJECTS[kind].weight for kind in kinds])
    kind = kinds[int(chance.choice(len(kinds), p=weight / weight.sum()))]
    subject = SUBJECTS[kind]
    magnitude = _between(chance, subject.least, subject.most, is_scaled=subject.is_scaled)
    if chance.random() < subject.whole_p:
        magnitude = subject.most
    shape = subject.shapes[int(chance.integers(len(subject.shapes)))]
    grows_s = _between(chance, *GROWS_S, is_scaled=True)
    classes = _suffering(scenario, kind)
    if not classes:
        return None
    request_class = classes[int(chance.integers(len(classes)))]
    return FaultLine(
        kind=kind,
        cells=_hit(scenario, name, kind, chance),
        at_s=at_s,
        grows_s=0.0 if kind.is_sudden or shape is Shape.STEP else grows_s,
        holds_s=_between(chance, *subject.holds_s),
        magnitude=magnitude,
        shape=shape,
        period_s=_between(chance, 60.0, 600.0, is_scaled=True),
        # What is collected wholly never runs out.
        collected=float(chance.uniform(0.3, 0.85 if magnitude >= 1.0 else 1.0)),
        request_class=request_class if kind.is_of_classes else "",
    )


def _suffering(scenario: Scenario, kind: Kind) -> list[str]:
    """Classes of which one may suffer alone; "" = all that can."""
    if kind is Kind.SLOW_DEPENDENCY:
        slow = [o.request_class.name for o in scenario.offers if o.work.dependency]
        return ["", *slow] if slow else []
    return ["", *(each.name for each in scenario.classes)]


def _hit(
    scenario: Scenario, name: str, kind: Kind, chance: np.random.Generator
) -> tuple[str, ...]:
    """The cell, and of what is common some that stand in its zone."""
    if kind not in COMMON or chance.random() < 0.5:
        return (name,)
    zone = next(site.zone for site in scenario.sites if site.name == name)
    near = [site.name for site in scenario.sites if site.zone == zone and site.name != name]
    count = min(len(near), int(chance.integers(1, MOST_HIT)))
    more = [near[i] for i in sorted(chance.permutation(len(near))[:count].tolist())]
    return (name, *more)


def _surge(scenario: Scenario, ends_s: float, chance: np.random.Generator) -> FaultLine:
    """A demand that rises for a while, as far as the fleet has room."""
    most = max(1.2, FULL / scenario.load.utilisation)
    at_s = _between(chance, WELL_BEFORE_S, max(WELL_BEFORE_S, ends_s - 3_600.0))
    grows_s = _between(chance, 120.0, 1_500.0, is_scaled=True)
    return FaultLine(
        kind=Kind.SURGE,
        at_s=at_s,
        grows_s=grows_s,
        holds_s=max(0.0, min(_between(chance, *HOLDS_S), ends_s - at_s - grows_s)),
        magnitude=_between(chance, 1.05, most),
    )


def _between(
    chance: np.random.Generator, least: float, most: float, *, is_scaled: bool = False
) -> float:
    if is_scaled:
        return float(np.exp(chance.uniform(math.log(least), math.log(most))))
    return float(chance.uniform(least, most))


def _at_pace(line: FaultLine, pace: float) -> FaultLine:
    return replace(
        line,
        at_s=line.at_s / pace,
        grows_s=line.grows_s / pace,
        holds_s=line.holds_s / pace,
        period_s=line.period_s / pace,
    )
