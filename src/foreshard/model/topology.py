"""This module is where cells stand: regions, zones, nodes and the distance between regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from foreshard.model.errors import InvalidValueError

__all__ = ["Cell", "Fleet", "Node"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One request-processing process or machine inside a cell."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not 0 < self.port < 65_536:
            raise InvalidValueError(f"node {self.host}: port is {self.port}, must be 1 to 65535")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One complete, independent copy of the service.

    Attributes:
        name: Unique within the fleet, at most 63 characters.
        region: Region the cell stands in.
        zone: Failure domain inside the region.
        nodes: At least one.
    """

    name: str
    region: str
    zone: str
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 63:
            raise InvalidValueError(f"cell name {self.name!r}: must have 1 to 63 characters")
        if not self.nodes:
            raise InvalidValueError(f"cell {self.name}: has no node, give it at least one")


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All cells, in a fixed order that is the index of every array over cells.

    Attributes:
        cells: In index order, names unique.
        latency_ms: Round trip between an origin region and a cell's region; a pair that is
            missing counts as 0 within a region and as `default_latency_ms` across.
        default_latency_ms: See above.
    """

    cells: tuple[Cell, ...]
    latency_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    default_latency_ms: float = 0.0

    def __post_init__(self) -> None:
        if not self.cells:
            raise InvalidValueError("fleet: has no cell, name at least one")
        names = [cell.name for cell in self.cells]
        doubles = sorted(name for name, times in Counter(names).items() if times > 1)
        if doubles:
            raise InvalidValueError(f"fleet: cell names {doubles} appear more than once")

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of each cell name."""
        return {cell.name: i for i, cell in enumerate(self.cells)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Cell names in index order."""
        return tuple(cell.name for cell in self.cells)

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions in which cells stand, sorted."""
        return tuple(sorted({cell.region for cell in self.cells}))

    def cell(self, name: str) -> Cell:
        """The cell of that name.

        Raises:
            InvalidValueError: No such cell.
        """
        try:
            return self.cells[self.index[name]]
        except KeyError:
            raise InvalidValueError(
                f"cell {name!r} is not in the fleet; it has {', '.join(self.names)}"
            ) from None

    def distance_ms(self, origin: str, cell: Cell) -> float:
        """Round trip from an origin region to a cell, in milliseconds."""
        own = 0.0 if origin == cell.region else self.default_latency_ms
        return self.latency_ms.get((origin, cell.region), own)
