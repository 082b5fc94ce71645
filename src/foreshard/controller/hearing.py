"""This module is who speaks and who fell silent, said once for each change.

A page that is missing must be seen by whoever looks at the log, with its reason, and a page that
stays missing must not fill it.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from foreshard.model.events import SystemEvent
from foreshard.model.telemetry import CellReading, Missing
from foreshard.model.topology import Fleet

__all__ = ["Hearing"]

log = structlog.get_logger(__name__)


class Hearing:
    """Says what is news about who is heard.

    Args:
        fleet: Whose cells events may name.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._known = frozenset(fleet.names)
        self._silent: set[str] = set()
        self._strange: set[str] = set()

    def cells(self, readings: Mapping[str, CellReading]) -> None:
        """Say which cells' metrics fell silent, and which are heard again."""
        for name, reading in sorted(readings.items()):
            silence = reading.reading
            if isinstance(silence, Missing) and name not in self._silent:
                self._silent.add(name)
                log.warning("cell.silent", cell=name, because=silence.because)
            elif not isinstance(silence, Missing) and name in self._silent:
                self._silent.discard(name)
                log.info("cell.heard", cell=name)

    def events(self, events: tuple[SystemEvent, ...]) -> None:
        """Say which events name cells that are not there."""
        for event in events:
            strangers = sorted(event.cells - self._known)
            if strangers and event.id not in self._strange:
                self._strange.add(event.id)
                log.warning(
                    "event.names_no_cell",
                    event_id=event.id,
                    cells=strangers,
                    known=sorted(self._known)[:20],
                    effect="nothing is done for them",
                )
        self._strange &= {event.id for event in events}
