"""This module is everything around a loop: every port it uses, and its signs of life."""

from __future__ import annotations

from dataclasses import dataclass, field

from foreshard.controller.billing import Billing
from foreshard.controller.chronicle import Chronicle
from foreshard.controller.peering import Peering
from foreshard.controller.profiling import Profiling
from foreshard.controller.recording import Recording
from foreshard.controller.scouting import Scouting
from foreshard.controller.succession import Succession
from foreshard.controller.sweep import Sweep
from foreshard.controller.vitals import Vitals
from foreshard.ports import (
    CellDriver,
    CellSource,
    Clock,
    EventSource,
    RouteSink,
    SlotMover,
    StateStore,
    TrafficSource,
)

__all__ = ["World"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Every port the loop uses, and its signs of life.

    `driver`, `events` and, from `mover` on, all but `vitals` may be absent.
    """

    clock: Clock
    cells: CellSource
    traffic: TrafficSource
    events: EventSource | None
    sink: RouteSink
    driver: CellDriver | None
    store: StateStore
    mover: SlotMover | None = None
    vitals: Vitals = field(default_factory=Vitals)
    recording: Recording | None = None
    chronicle: Chronicle | None = None
    peering: Peering | None = None
    profiling: Profiling | None = None
    billing: Billing | None = None
    scouting: Scouting | None = None
    succession: Succession | None = None
    sweep: Sweep | None = None
