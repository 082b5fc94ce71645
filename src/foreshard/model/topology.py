"""This module is where cells stand: regions, zones, nodes and the distance between regions."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf

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
        is_peer: Whether it stands for a whole region that another engine plans; its nodes are
            that region's entry.
    """

    name: str
    region: str
    zone: str
    nodes: tuple[Node, ...]
    is_peer: bool = False

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
        egress_per_gb: What a gigabyte costs that crosses from a cell's region to an origin, by
            (origin, region), in any currency; a pair that is missing costs nothing.
        hardware: By name of a cell, what it runs on, where that is known; a request costs about
            the same on cells of one sort, and may cost more or less on others.
    """

    cells: tuple[Cell, ...]
    latency_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    default_latency_ms: float = 0.0
    egress_per_gb: Mapping[tuple[str, str], float] = field(default_factory=dict)
    hardware: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.cells:
            raise InvalidValueError("fleet: has no cell, name at least one")
        names = [cell.name for cell in self.cells]
        doubles = sorted(name for name, times in Counter(names).items() if times > 1)
        if doubles:
            raise InvalidValueError(f"fleet: cell names {doubles} appear more than once")
        strangers = sorted(set(self.hardware) - set(names))
        if strangers:
            raise InvalidValueError(
                f"fleet: hardware names {', '.join(strangers)}, must name cells of the fleet"
            )
        for (origin, region), cost in self.egress_per_gb.items():
            if not 0.0 <= cost < inf:
                raise InvalidValueError(
                    f"fleet: egress from {region} to {origin} costs {cost} a GB, must be 0 or more"
                )

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of each cell name."""
        return {cell.name: i for i, cell in enumerate(self.cells)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Cell names in index order."""
        return tuple(cell.name for cell in self.cells)

    @cached_property
    def sorts(self) -> tuple[str, ...]:
        """The labels of hardware that there are, sorted; cells without one are of the sort ""."""
        return tuple(sorted({self.hardware.get(name, "") for name in self.names}))

    @cached_property
    def peers(self) -> frozenset[str]:
        """Names of the cells that stand for a region."""
        return frozenset(cell.name for cell in self.cells if cell.is_peer)

    @cached_property
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

    def nearest(
        self, regions: frozenset[str], *, most: int, among: frozenset[str] = frozenset()
    ) -> Mapping[str, tuple[str, ...]]:
        """By cell: the other cells of some regions that are nearest to it, nearest first.

        Cells at one distance follow in index order from the cell on, so that none is everyone's
        nearest. Worked out once.

        Args:
            regions: Where the others may stand.
            most: So many of them.
            among: Names of those that may be taken; empty = all.
        """
        known = self._nearest.get((regions, most, among))
        if known is None:
            there = {region: self._standing.get(region, ()) for region in regions}
            if among:
                allowed = {self.index[name] for name in among if name in self.index}
                there = {r: [i for i in cells if i in allowed] for r, cells in there.items()}
            known = {cell.name: self._nearest_to(cell, there, most) for cell in self.cells}
            self._nearest[regions, most, among] = known
        return known

    @cached_property
    def _nearest(
        self,
    ) -> dict[tuple[frozenset[str], int, frozenset[str]], Mapping[str, tuple[str, ...]]]:
        return {}

    @cached_property
    def _standing(self) -> Mapping[str, Sequence[int]]:
        """Positions of the cells of every region, rising."""
        found: dict[str, list[int]] = {}
        for i, cell in enumerate(self.cells):
            found.setdefault(cell.region, []).append(i)
        return found

    def _nearest_to(
        self, home: Cell, there: Mapping[str, Sequence[int]], most: int
    ) -> tuple[str, ...]:
        start, found = self.index[home.name], list[tuple[float, bool, int]]()
        for others in there.values():
            at = bisect_left(others, start)
            after = at + (at < len(others) and others[at] == start)
            first = (*others[after : after + most], *others[: min(at, most)])
            away_ms = self.distance_ms(home.region, self.cells[first[0]]) if first else 0.0
            found.extend((away_ms, i < start, i) for i in first)
        return tuple(self.cells[i].name for _, _, i in sorted(found)[:most])

    def distance_ms(self, origin: str, cell: Cell) -> float:
        """Round trip from an origin region to a cell, in milliseconds."""
        own = 0.0 if origin == cell.region else self.default_latency_ms
        return self.latency_ms.get((origin, cell.region), own)
