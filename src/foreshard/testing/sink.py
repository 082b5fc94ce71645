"""This module is a balancer that remembers every table it was given."""

from __future__ import annotations

from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from foreshard.ports import Applied, Rejected

__all__ = ["FakeRouteSink"]


class FakeRouteSink:
    """A `RouteSink` in memory.

    Args:
        live: The table that is live already, as after a restart.

    Attributes:
        applied: Every table that became live, oldest first.
    """

    def __init__(self, live: RoutingTable | None = None) -> None:
        self.applied: list[RoutingTable] = []
        self._live = live
        self._objection = ""
        self._cut = ""

    def refuse(self, because: str) -> None:
        """Reject every table from now on; "" = accept again."""
        self._objection = because

    def cut(self, because: str) -> None:
        """Be out of reach from now on; "" = answer again."""
        self._cut = because

    async def apply(self, table: RoutingTable) -> Applied | Rejected:
        """Make the table live unless told to refuse.

        Raises:
            SinkError: The sink was cut off.
        """
        self._reach()
        if self._objection:
            return Rejected(version=table.version, because=self._objection)
        self._live = table
        self.applied.append(table)
        return Applied(version=table.version, acks=1, push_to_ack_s=0.0)

    async def live(self) -> RoutingTable | None:
        """The table that is live.

        Raises:
            SinkError: The sink was cut off.
        """
        self._reach()
        return self._live

    def _reach(self) -> None:
        if self._cut:
            raise SinkError(f"fake sink: {self._cut}")
