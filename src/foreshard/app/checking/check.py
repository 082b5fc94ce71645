"""This module is `foreshard check`: look at everything, judge it, leave no trace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from importlib.metadata import entry_points

from foreshard.adapters.inspection.http import Asker
from foreshard.app.checking.balancers import judge_balancers
from foreshard.app.checking.capacity import judge_capacity
from foreshard.app.checking.cells import judge_cells
from foreshard.app.checking.door import judge_door
from foreshard.app.checking.finding import Checkup, Finding, Mark, Section, green
from foreshard.app.checking.gauges import judge_gauges
from foreshard.app.checking.looking import look_at_place, look_twice, resolved
from foreshard.app.checking.surroundings import judge_surroundings
from foreshard.app.gauges import gauge_of
from foreshard.app.sealing import seal_of
from foreshard.app.steering import trained_names
from foreshard.config import Settings
from foreshard.model.errors import ConfigError
from foreshard.model.plan import Mode

__all__ = ["check", "unreadable"]

ANSWER_S = 1.5
"""A node that needs longer is dead for Foreshard too."""


def check(settings: Settings, *, file: str) -> Checkup:
    """Look at everything that a configuration names.

    Args:
        settings: The configuration.
        file: Its name, as people write it.
    """
    return asyncio.run(_check(settings, file))


def unreadable(error: ConfigError) -> Checkup:
    """The checkup of a configuration that is refused: nothing else can be looked at."""
    finding = Finding(
        section=Section.CONFIGURATION,
        mark=Mark.RED,
        says=str(error),
        means="Foreshard does not start",
        todo="mend these and check again; an editor with the schema shows them while you type",
        weight=100,
    )
    return Checkup(findings=(finding,))


async def _check(settings: Settings, file: str) -> Checkup:
    async with Asker(timeout_s=ANSWER_S) as asker:
        (nodes, balancers), place, also = await asyncio.gather(
            look_twice(asker, settings),
            look_at_place(asker, settings, now_s=time.time()),
            resolved(settings.envoy.discovery),
        )
    specs = [gauge_of(spec) for spec in settings.scrape.gauges]
    return Checkup(
        findings=(
            *_configuration(settings, file),
            *_key(settings),
            *judge_cells(nodes, settings.scrape),
            *judge_gauges(nodes, specs),
            *judge_balancers(balancers, discovery=settings.envoy.discovery, also=also, file=file),
            *judge_capacity(nodes, specs, ceiling=settings.budget.rest_ceiling),
            *judge_surroundings(place, balancers, settings, file=file),
            *judge_door(place, settings, file=file),
        )
    )


def _key(settings: Settings) -> Iterator[Finding]:
    try:
        seal_of(settings)
    except ConfigError as error:
        yield Finding(
            section=Section.CONFIGURATION,
            mark=Mark.RED,
            says=str(error),
            means="neither `serve` nor `relay` starts",
            todo="mend the file, or let it be readable by whom Foreshard runs as",
            weight=96,
        )


def _configuration(settings: Settings, file: str) -> Iterator[Finding]:
    counts = f"{len(settings.cells)} cells, {len(settings.classes)} request classes"
    yield green(Section.CONFIGURATION, f"{file}: {counts}, no error")
    found = entry_points(group="foreshard.forecasters").names
    models = sorted({*found, *trained_names()})
    model = settings.forecast.model
    if model not in (*models, "none"):
        yield Finding(
            section=Section.CONFIGURATION,
            mark=Mark.RED,
            says=f"forecast.model is {model!r}, which is not installed",
            means="Foreshard does not start",
            todo=f"name one of {', '.join((*models, 'none'))}",
            weight=97,
        )
    elif model == "none":
        yield Finding(
            section=Section.CONFIGURATION,
            mark=Mark.AMBER,
            says="forecast.model is none",
            means="nothing is foreseen: only what has failed already counts",
            todo="leave it out, or set it to trend",
            weight=54,
        )
    if settings.mode is Mode.OBSERVE:
        yield green(Section.CONFIGURATION, "mode is observe: nothing is moved until it is act")
    else:
        yield green(Section.CONFIGURATION, "mode is act: traffic is moved")
    if settings.scrape.timeout_s >= settings.tick_s:
        yield Finding(
            section=Section.CONFIGURATION,
            mark=Mark.AMBER,
            says=f"scrape.timeout_s is {settings.scrape.timeout_s:g}, tick_s is "
            f"{settings.tick_s:g}",
            means="one silent cell holds up the look at all others",
            todo="make scrape.timeout_s smaller than tick_s",
            weight=33,
        )
