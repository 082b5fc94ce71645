"""This module is who looks on while a fleet is on trial, and writes down what a run is told by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foreshard.lab.keeper import CellState, CellStatus
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.actuators import shares_of
from foreshard.lab.simulation.diary import Said
from foreshard.lab.simulation.routing import routing_of
from foreshard.lab.simulation.shares import Shares, SharesLog
from foreshard.lab.simulation.world import Life, LifeEvent
from foreshard.model.routing import RoutingTable
from foreshard.model.safety_net import SafetyNet

__all__ = ["LifeLog", "TableLog", "said_by"]


class LifeLog:
    """Deaths and starts, out of what the supervisor says of each cell.

    Args:
        start_s: Of the scenario, seconds since the epoch.
    """

    def __init__(self, *, start_s: float) -> None:
        self._start_s = start_s
        self._before: Mapping[str, CellStatus] = {}
        self._lives: list[LifeEvent] = []

    @property
    def lives(self) -> tuple[LifeEvent, ...]:
        """What happened so far, oldest first."""
        order = {Life.ASKED: 0, Life.DIED: 1, Life.STARTED: 2}
        return tuple(sorted(self._lives, key=lambda each: (each.at_s, order[each.what])))

    def look(self, now: Mapping[str, CellStatus]) -> None:
        """Note what is new; a state that was missed between two looks is missed."""
        for cell, status in now.items():
            before = self._before.get(cell)
            if before is None or before.state is status.state:
                continue
            if before.state is CellState.UP:
                self._note(cell, Life.DIED, status)
            elif status.state is CellState.UP:
                self._note(cell, Life.STARTED, status)
            elif before.state is CellState.STOPPING and status.state is CellState.RESTARTING:
                # Whoever stops at its host's end stays off: a restart was asked for.
                self._note(cell, Life.ASKED, before)
        self._before = dict(now)

    def _note(self, cell: str, what: Life, at: CellStatus) -> None:
        moment_s = round(at.since_s - self._start_s, 3)
        self._lives.append(LifeEvent(at_s=moment_s, cell=cell, what=what))


class TableLog:
    """What was given to whom, out of the tables that were live.

    Args:
        scenario: Whose names count.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._fleet = scenario.fleet()
        self._log = SharesLog(len(scenario.origins), len(scenario.sites), len(scenario.offers))
        self._version: int | None = None

    def look(self, table: RoutingTable | None, *, at_s: float) -> None:
        """Note a table if it is not the one before."""
        if table is None or table.version == self._version:
            return
        self._version = table.version
        routing = routing_of(table, self._fleet, self._scenario.origins, SafetyNet())
        self._log.note(round(at_s, 3), shares_of(routing))

    def shares(self) -> Shares:
        """What was collected."""
        return self._log.shares()


def said_by(status: Mapping[str, Any] | None, *, start_s: float) -> tuple[Said, ...]:
    """An engine's reasons as they were news, out of its last status: the newest two hundred."""
    return tuple(
        Said(
            at_s=round(entry["at_s"] - start_s, 3),
            subject=entry["cell"],
            code=entry["code"],
            text=entry["text"],
            moved=entry["moved"],
        )
        for entry in (status or {}).get("timeline", ())
    )
