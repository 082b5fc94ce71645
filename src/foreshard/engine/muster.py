"""This module is who may give and take slots that own data, this tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foreshard.model.telemetry import CellReading, Health, Outlet
from foreshard.planning.bounds import OUT, takes_work
from foreshard.planning.phases import CellState, Phase, Why

__all__ = ["Muster", "muster_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Muster:
    """The cells in three roles.

    Attributes:
        now_s: The moment.
        fit: In full service: may be asked to take slots. A returning cell is not: data would
            follow every step of its climb.
        able: Take any work: good enough for the slots of a dead owner.
        dead: Cannot hand anything over: their slots move at once.
        leaving: Are being emptied, dead ones too: slots may leave them whenever they came.
        outlet: Whether traffic can follow data.
    """

    now_s: float = 0.0
    fit: frozenset[str] = frozenset()
    able: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()
    outlet: Outlet = Outlet.OPEN


def muster_of(
    cells: Mapping[str, CellState],
    readings: Mapping[str, CellReading],
    *,
    now_s: float,
    restart_s: float,
) -> Muster:
    """The roles of one tick.

    A cell that looks dead but is not believed to be is not: its phase says so. One that was
    emptied on purpose is dead only when it is down as well, and one that we restarted ourselves
    only when it does not come back.

    Args:
        cells: Their states.
        readings: What was seen of them; none at a start.
        now_s: The moment.
        restart_s: So long may a restart take.
    """
    down = {name for name, reading in readings.items() if reading.health is Health.DOWN}
    out = {name for name, cell in cells.items() if cell.phase in OUT}
    dead = {
        name
        for name in out
        if cells[name].why is Why.DOWN
        or (name in down and not _restarts(cells[name], now_s=now_s, restart_s=restart_s))
    }
    staying = {n for n, c in cells.items() if c.phase in (Phase.ACTIVE, Phase.WARMING)}
    return Muster(
        now_s=now_s,
        fit=frozenset(n for n, c in cells.items() if c.phase is Phase.ACTIVE and n not in down),
        able=frozenset(n for n, c in cells.items() if takes_work(c) and n not in down),
        dead=frozenset(dead),
        leaving=frozenset(cells) - staying,
    )


def _restarts(cell: CellState, *, now_s: float, restart_s: float) -> bool:
    """Whether it is down because we asked for it; asked again, it has not come back."""
    asked = cell.phase is Phase.RECYCLING and cell.why is Why.FORECAST and cell.restarts <= 1
    return asked and now_s - cell.since_s < restart_s
