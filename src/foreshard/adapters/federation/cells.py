"""This module is peer regions as cells: what a region grants is what its cell offers.

A peer's health is never down: that its engine cannot be heard says nothing of its cells, and what
becomes of requests that are sent there is seen by the balancers. When the news is old it is as
old as it is, and the engine treats the region like any silent cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foreshard.model.telemetry import CellMetrics, Fresh, Health, Missing
from foreshard.model.topology import Cell
from foreshard.ports import CellSource, PeerExchange

__all__ = ["PeerCells"]

# A grant of nothing is told as next to nothing: no figure at all would mean "as before".
LEAST_GRANT = 1e-9


class PeerCells:
    """`CellSource` of a region and its peers.

    Args:
        inner: Of its own cells.
        exchange: Of the peers.
        region: Its own.
        now_s: The clock that ages are measured on.
    """

    def __init__(
        self,
        inner: CellSource,
        exchange: PeerExchange,
        *,
        region: str,
        now_s: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._exchange = exchange
        self._region = region
        self._now_s = now_s

    async def read(self, cells: tuple[Cell, ...]) -> Mapping[str, tuple[Health, Fresh | Missing]]:
        """See the port."""
        said = await self._inner.read(tuple(c for c in cells if not c.is_peer))
        return {**said, **{c.name: self._peer(c) for c in cells if c.is_peer}}

    def _peer(self, cell: Cell) -> tuple[Health, Fresh | Missing]:
        known = self._exchange.heard().get(cell.name)
        if known is None:
            return Health.UNKNOWN, Missing(f"region {cell.name} was never heard of")
        told = known.aggregate
        # Whoever does not name this region (any more) grants it nothing of what it has.
        grants = told.grants.get(self._region, dict.fromkeys(told.offers, 0.0))
        capacity = {name: max(amount, LEAST_GRANT) for name, amount in grants.items()}
        age_s = max(0.0, self._now_s() - known.at_s)
        return Health.UP, Fresh(metrics=CellMetrics(gauges={}, capacity=capacity), age_s=age_s)
