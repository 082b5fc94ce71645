"""This module is the days that a fleet lives before its trial, from its seed alone.

Small fleets live them whole. Of a large one some cells of each region do, with the same load for
each: a model learns from any cell, and a cell without a past of its own flies on the trend until
it has one, as in production.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from foreshard.forecast.history import History
from foreshard.lab.run import START_S
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.school.curriculum import Term, draw_faults
from foreshard.lab.school.lesson import Class, taught
from foreshard.lab.school.tape import Days, composed

__all__ = ["Tell", "enrolled", "lived", "silent", "term_for"]

# Told what is under way, and which part of it is done.
Tell = Callable[[str, float], None]

MOST_CELLS = 24
# Cells times lessons: what a core plays in about two minutes.
CELL_LESSONS = 64
LEAST_LESSONS, MOST_LESSONS = 2, 8
# Cycles of demand that a calm stretch holds, at least.
CYCLES = 4
# So that what befalls a fleet at school is not what arrives there.
CURRICULUM_STREAM = 0x5C


def silent(what: str, part: float) -> None:
    """Tell nobody."""


def term_for(cells: int) -> Term:
    """How long a fleet of that size goes to school."""
    lessons = CELL_LESSONS // max(1, cells)
    return Term(lessons=max(LEAST_LESSONS, min(MOST_LESSONS, lessons)))


def enrolled(fleet: Scenario) -> Scenario:
    """A fleet of which no more cells are left than go to school, of each region its part."""
    if len(fleet.sites) <= MOST_CELLS:
        return fleet
    every = len(fleet.sites) / MOST_CELLS
    by_region = sorted(range(len(fleet.sites)), key=lambda i: (fleet.sites[i].region, i))
    kept = {by_region[int(i * every)] for i in range(MOST_CELLS)}
    sites = tuple(site for i, site in enumerate(fleet.sites) if i in kept)
    names = {site.name for site in sites}
    return replace(
        fleet,
        sites=sites,
        sizes={name: size for name, size in fleet.sizes.items() if name in names},
        versions={name: version for name, version in fleet.versions.items() if name in names},
    )


def lived(who: Class, term: Term, *, tell: Tell = silent) -> History:
    """The days of a fleet, up to the beginning of its trial, in production's time.

    Models are made for minutes and days; a fleet that lives faster has its clock stretched.

    Args:
        who: The fleet, enrolled.
        term: How long they last.
        tell: See `Tell`.

    Raises:
        LabError: The days cannot be played, or do not hold the lessons.
    """
    fleet = who.fleet
    pace, period_s = fleet.pace, fleet.load.period_s
    lesson_s, calm_s = term.lesson_s / pace, term.calm_s / pace
    of_faults, of_calm = np.random.SeedSequence([who.seed, CURRICULUM_STREAM]).spawn(2)
    faults = tuple(
        replace(line, at_s=line.at_s + lesson * lesson_s)
        for lesson, stream in enumerate(of_faults.spawn(term.lessons))
        for line in draw_faults(fleet, lasts_s=term.lesson_s, chance=np.random.default_rng(stream))
    )
    # A long cycle is gone through faster: minutes are calm alike at the same phase of it.
    calm_period_s = min(period_s, calm_s / CYCLES)
    at_rest = replace(fleet, load=replace(fleet.load, period_s=calm_period_s))
    calm = taught(
        replace(who, fleet=at_rest),
        (),
        lasts_s=calm_s,
        progress=lambda part: tell("calm hours", part),
    )
    played = taught(
        who,
        faults,
        lasts_s=term.lessons * lesson_s,
        progress=lambda part: tell(f"{term.lessons} lessons, {len(faults)} faults", part),
    )
    days = Days(
        start_s=START_S,
        lasts_s=term.days * 86_400.0 / pace,
        rest_s=term.rest_s / pace,
        lesson_s=lesson_s,
        period_s=period_s,
        calm_period_s=calm_period_s,
    )
    made = composed(calm, played, days, chance=np.random.default_rng(of_calm))
    return replace(
        made,
        begins_s=made.begins_s * pace,
        step_s=made.step_s * pace,
        up_s=made.up_s * np.float32(pace),
    )
