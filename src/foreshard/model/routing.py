"""This module is the balancer-neutral result: which cell serves which request.

Nothing here knows a balancer. A sink renders it into one balancer's dialect. Free classes
carry integer weights per cell; keyed classes carry *slots*: `xxh64(key, seed 0) % slot_count`
names the slot, and the runs say which cell owns it, so that the same key lands in the same
cell everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foreshard.model.errors import InvalidValueError
from foreshard.model.topology import Cell
from foreshard.model.workload import RequestClass

__all__ = [
    "RETRY_AFTER_S",
    "ClassRoute",
    "RoutingTable",
    "Row",
    "SlotRow",
    "SlotRun",
    "WeightRow",
]

RETRY_AFTER_S = 5
"""What a client whose request is shed is told to wait, by every balancer and library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRow:
    """A free class from one origin: integer weights per cell.

    Attributes:
        weights: By cell; > 0 (a cell that gets nothing is left out).
        shed: Weight that is refused with 429; the total is the sum of all and of this.
    """

    weights: Mapping[str, int]
    shed: int = 0

    def __post_init__(self) -> None:
        if self.shed < 0 or any(weight <= 0 for weight in self.weights.values()):
            raise InvalidValueError(
                f"weights {dict(self.weights)}, shed {self.shed}: weights must be > 0 (leave "
                "an empty cell out), shed 0 or more"
            )
        if not self.weights:
            raise InvalidValueError("weights: no cell is left to serve the class")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRun:
    """A stretch of consecutive slots with one owner; owner "" = shed."""

    owner: str
    length: int

    def __post_init__(self) -> None:
        if self.length <= 0:
            raise InvalidValueError(f"slot run of {self.owner!r}: length is {self.length}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow:
    """A keyed class from one origin: who owns each slot, as runs from slot 0 upwards."""

    runs: tuple[SlotRun, ...]

    def __post_init__(self) -> None:
        if not any(run.owner for run in self.runs):
            raise InvalidValueError("slots: no cell is left to serve the class")
        count = self.slot_count
        if count & (count - 1):
            raise InvalidValueError(f"slots: there are {count}, must be a power of two")

    @property
    def slot_count(self) -> int:
        """Number of slots, a power of two."""
        return sum(run.length for run in self.runs)

    def counts(self) -> Mapping[str, int]:
        """Slots per owner."""
        total: dict[str, int] = {}
        for run in self.runs:
            total[run.owner] = total.get(run.owner, 0) + run.length
        return total


Row = WeightRow | SlotRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRoute:
    """One request class and where its requests go, per origin region.

    Attributes:
        request_class: How it is matched, retried and timed out.
        rows: By origin region; all rows of a keyed class are `SlotRow`.
        backups: Cells that may take over while a cell fails and nobody plans, best first,
            by home cell; never a cell that residency forbids.
        holders: Who has the data of each slot, the same for all origins, also while it is shed;
            None = the class owns no data.
    """

    request_class: RequestClass
    rows: Mapping[str, Row]
    backups: Mapping[str, tuple[str, ...]]
    holders: SlotRow | None = None

    def backups_from(self, origin: str, home: str, regions: Mapping[str, str]) -> tuple[str, ...]:
        """Cells that may take over for a cell what comes from an origin, best first.

        Args:
            origin: Region of the balancer.
            home: The cell that fails.
            regions: By cell, where it stands; a cell that is not in it is none of them.
        """
        near, allows = self.backups.get(home, ()), self.request_class.allows
        return tuple(n for n in near if n in regions and allows(origin, regions[n]))

    def __post_init__(self) -> None:
        kind = SlotRow if self.request_class.is_keyed else WeightRow
        wrong = sorted(o for o, row in self.rows.items() if not isinstance(row, kind))
        if wrong:
            raise InvalidValueError(
                f"class {self.request_class.name}: rows of {wrong} must be {kind.__name__}"
            )
        if self.holders is not None and "" in self.holders.counts():
            raise InvalidValueError(
                f"class {self.request_class.name}: a slot without a holder has lost its data"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Everything a balancer needs to know, self-consistent and versioned.

    Attributes:
        version: Rises with every committed table.
        cells: Every cell that a row names (and more, if they may be named soon).
        classes: In order of match: the first class that matches a request takes it.
        default_class: Class of a request that matches none.
    """

    version: int
    cells: tuple[Cell, ...]
    classes: tuple[ClassRoute, ...]
    default_class: str

    def __post_init__(self) -> None:
        known = {cell.name for cell in self.cells}
        for route in self.classes:
            for origin, row in route.rows.items():
                named = set(row.weights if isinstance(row, WeightRow) else row.counts())
                unknown = sorted(named - known - {""})
                if unknown:
                    raise InvalidValueError(
                        f"class {route.request_class.name}, origin {origin}: cells {unknown} "
                        "are not in the table"
                    )
        if self.default_class not in {route.request_class.name for route in self.classes}:
            raise InvalidValueError(
                f"default_class is {self.default_class!r}, must be one of the table's classes"
            )
