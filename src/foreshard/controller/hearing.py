"""This module is who speaks and who fell silent, said once for each change.

A page that is missing must be seen by whoever looks at the log, with its reason, and a page that
stays missing must not fill it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import structlog

from foreshard.controller.tidings import Reminder, Tidings, first_names
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.telemetry import CellReading, Missing
from foreshard.model.topology import Fleet
from foreshard.ports import BalancerReading

__all__ = ["Hearing"]

log = structlog.get_logger(__name__)

MOST_NAMED = 20


class Hearing:
    """Says what is news about who is heard.

    Args:
        fleet: Whose cells events may name.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._known = frozenset(fleet.names)
        self._silent: set[str] = set()
        self._strange: set[str] = set()
        self._fell_silent = Tidings(_silent, _many_silent)
        self._is_heard = Tidings(_heard, _many_heard)
        self._no_balancers, self._no_region = Reminder(), Reminder()
        self._silent_looks = 0

    def cells(self, readings: Mapping[str, CellReading], *, now_s: float) -> None:
        """Say which cells' metrics fell silent, and which are heard again."""
        for name, reading in sorted(readings.items()):
            silence = reading.reading
            if isinstance(silence, Missing) and name not in self._silent:
                self._silent.add(name)
                if not self._is_heard.drop(name):
                    self._fell_silent.add(name, silence.because)
            elif not isinstance(silence, Missing) and name in self._silent:
                self._silent.discard(name)
                if not self._fell_silent.drop(name):
                    self._is_heard.add(name)
        self._fell_silent.tell(now_s)
        self._is_heard.tell(now_s)

    def balancers(self, seen: BalancerReading | Missing, *, now_s: float) -> None:
        """Say which balancer keeps the fleet in the dark, and whose region is done without."""
        if isinstance(seen, Missing):
            self._silent_looks += 1
            # One missed look is no news; the first one of all never tells a rate.
            if self._silent_looks > 1 and self._no_balancers.is_due(seen.because, now_s):
                log.warning("balancers.unheard", because=seen.because, effect="the plan is held")
            return
        self._silent_looks = 0
        self._no_balancers.end()
        origins = sorted(seen.silent_origins)
        if not origins:
            self._no_region.end()
        elif self._no_region.is_due(", ".join(origins), now_s):
            log.warning(
                "balancers.lost",
                origins=origins,
                effect="planned without them while their cells are silent too, else held",
            )

    def events(self, events: tuple[SystemEvent, ...]) -> None:
        """Say which events name cells that are not there, or freeze more than they say."""
        for event in events:
            if event.id in self._strange:
                continue
            if event.kind is EventKind.FREEZE and event.cells:
                self._strange.add(event.id)
                log.warning(
                    "event.freezes_all",
                    event_id=event.id,
                    cells=sorted(event.cells)[:MOST_NAMED],
                    effect="a freeze is always of the whole fleet",
                )
            elif strangers := sorted(event.cells - self._known):
                self._strange.add(event.id)
                log.warning(
                    "event.names_no_cell",
                    event_id=event.id,
                    cells=strangers[:MOST_NAMED],
                    known=sorted(self._known)[:MOST_NAMED],
                    effect="nothing is done for them",
                )
        self._strange &= {event.id for event in events}


def _silent(cell: str, because: str) -> None:
    log.warning("cell.silent", cell=cell, because=because)


def _many_silent(reasons: Mapping[str, str]) -> None:
    because, count = Counter(reasons.values()).most_common(1)[0]
    log.warning(
        "cells.silent",
        count=len(reasons),
        first=first_names(reasons),
        because=because,
        of_them=count,
    )


def _heard(cell: str, _: str) -> None:
    log.info("cell.heard", cell=cell)


def _many_heard(cells: Mapping[str, str]) -> None:
    log.info("cells.heard", count=len(cells), first=first_names(cells))
