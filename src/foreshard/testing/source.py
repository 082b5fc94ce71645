"""This module is the sources of the outside world, saying what a test tells them to say."""

from __future__ import annotations

from collections.abc import Mapping

from foreshard.model.errors import SourceError
from foreshard.model.events import SystemEvent
from foreshard.model.telemetry import CellMetrics, Fresh, Health, Missing
from foreshard.model.topology import Cell
from foreshard.ports import BalancerReading

__all__ = ["FakeCellSource", "FakeEventSource", "FakeTrafficSource"]


class FakeCellSource:
    """A `CellSource` in memory; a cell that was never told about is unknown and missing."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[Health, Fresh | Missing]] = {}

    def tell(self, cell: str, metrics: CellMetrics, *, age_s: float = 0.0) -> None:
        """The cell is up and says this."""
        self._said[cell] = (Health.UP, Fresh(metrics=metrics, age_s=age_s))

    def silence(self, cell: str, because: str = "no answer") -> None:
        """The cell says nothing; nobody knows how it is."""
        self._said[cell] = (Health.UNKNOWN, Missing(because))

    def kill(self, cell: str, because: str = "connection refused") -> None:
        """The cell refuses connections."""
        self._said[cell] = (Health.DOWN, Missing(because))

    async def read(self, cells: tuple[Cell, ...]) -> Mapping[str, tuple[Health, Fresh | Missing]]:
        """What was told, for every cell asked for."""
        unheard = (Health.UNKNOWN, Missing("never heard of"))
        return {cell.name: self._said.get(cell.name, unheard) for cell in cells}


class FakeTrafficSource:
    """A `TrafficSource` in memory: it repeats what it was told last."""

    def __init__(self) -> None:
        self._says: BalancerReading | Missing = Missing("nothing was counted yet")

    def tell(self, reading: BalancerReading) -> None:
        """The balancers counted this."""
        self._says = reading

    def silence(self, because: str = "no answer") -> None:
        """The balancers say nothing, which is not the same as no traffic."""
        self._says = Missing(because)

    async def read(self) -> BalancerReading | Missing:
        """What was told last."""
        return self._says


class FakeEventSource:
    """An `EventSource` in memory."""

    def __init__(self) -> None:
        self._events: dict[str, SystemEvent] = {}
        self._broken = ""

    def announce(self, event: SystemEvent) -> None:
        """Add an event, or replace the one of the same id."""
        self._events[event.id] = event

    def withdraw(self, event_id: str) -> None:
        """Forget an event; one that is not known is forgotten already."""
        self._events.pop(event_id, None)

    def fail(self, because: str) -> None:
        """Raise `SourceError` from now on; "" = work again."""
        self._broken = because

    async def read(self) -> tuple[SystemEvent, ...]:
        """All events that were announced and not withdrawn.

        Raises:
            SourceError: A test said so.
        """
        if self._broken:
            raise SourceError(f"fake event source: {self._broken}")
        return tuple(self._events.values())
