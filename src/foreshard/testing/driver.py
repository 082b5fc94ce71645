"""This module is a cell driver that restarts nothing and remembers what it was asked."""

from __future__ import annotations

from foreshard.model.errors import DriverError

__all__ = ["FakeCellDriver"]


class FakeCellDriver:
    """A `CellDriver` in memory.

    Attributes:
        recycled: Cells in the order in which a restart was accepted.
    """

    def __init__(self) -> None:
        self.recycled: list[str] = []
        self._objection = ""

    def refuse(self, because: str) -> None:
        """Refuse every restart from now on; "" = accept again."""
        self._objection = because

    async def recycle(self, cell: str) -> None:
        """Accept the request.

        Raises:
            DriverError: A test said so.
        """
        if self._objection:
            raise DriverError(f"fake driver: {cell} is not restarted: {self._objection}")
        self.recycled.append(cell)
