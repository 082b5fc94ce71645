"""This module is where shares become a routing table: weights for free classes, slots for keyed.

Quantising happens here and once. Weights are scaled to the largest share instead of to a fixed
total, so that equal shares are equal weights: balancers pick the better of two cells at random
while weights are equal, and fall back to a coarser schedule as soon as they differ by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foreshard.model.plan import Plan, Split
from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, WeightRow
from foreshard.model.topology import Cell, Fleet
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.slots import (
    assign_slots,
    counts_of,
    owners_of,
    shed_row,
    slot_count_for,
)

__all__ = [
    "BACKUPS",
    "WEIGHT_OF_LARGEST",
    "Custodians",
    "backups_of",
    "flow_rows",
    "kept_to",
    "plan_of",
    "table_of",
]

# A thousandth of the largest share is below what any balancer can hold to.
WEIGHT_OF_LARGEST = 1_000

# Five others share a dead cell's keys at 20 % of its load each: within the N-1 reserve of a
# fleet at 70 %. More would multiply health checks.
BACKUPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Custodians:
    """Who has the data of a class.

    Attributes:
        holders: Of its slots.
        heirs: By cell: who stands in for it while it fails, and holds its slots if it is dead.
            One, not several: Envoy would spread a dead cell's keys over several by its own hash,
            which no row of slots can say, so half of them would move once more.
    """

    holders: SlotRow
    heirs: Mapping[str, str]


def table_of(
    plan: Plan,
    *,
    version: int,
    fleet: Fleet,
    classes: Sequence[RequestClass],
    default_class: str,
    previous: RoutingTable | None,
    custodians: Mapping[str, Custodians] | None = None,
) -> RoutingTable:
    """The routing table of a plan.

    Args:
        plan: A split for every (origin, class) that is to be routed.
        version: Of the new table.
        fleet: The cells.
        classes: In order of match.
        default_class: Name of the class of requests that match none.
        previous: The live table: its slots stay where they are as far as possible.
        custodians: Of classes that own data: their rows follow the holders, and of the plan
            only what is shed.
    """
    routes = []
    before = {r.request_class.name: r for r in previous.classes} if previous else {}
    for request_class in classes:
        old = before.get(request_class.name)
        kept = (custodians or {}).get(request_class.name)
        held = kept.holders if kept else None
        rows: dict[str, Row] = {}
        for flow, split in sorted(plan.splits.items()):
            if flow.request_class == request_class.name:
                was = old.rows.get(flow.origin) if old else None
                rows[flow.origin] = (
                    _data_row(split, held, fleet)
                    if held
                    else _row(request_class, split, was, cells=len(fleet.cells))
                )
        backups = _backups(fleet, request_class)
        if kept:
            backups = {**backups, **{cell: (heir,) for cell, heir in kept.heirs.items()}}
        routes.append(
            ClassRoute(request_class=request_class, rows=rows, backups=backups, holders=held)
        )
    return RoutingTable(
        version=version, cells=fleet.cells, classes=tuple(routes), default_class=default_class
    )


def backups_of(home: Cell, *, fleet: Fleet, request_class: RequestClass) -> tuple[str, ...]:
    """Cells that may stand in for `home`: nearest first, rotated so that none is everyone's.

    Residency holds: a region that may not serve the class is never among them. Where data must
    be, it is the first declared replica: see `Custodians.heirs`.
    """
    return _backups(fleet, request_class)[home.name]


def _backups(fleet: Fleet, request_class: RequestClass) -> Mapping[str, tuple[str, ...]]:
    """`backups_of` every cell."""
    able = frozenset(r for r in fleet.regions if request_class.allows_region(r))
    if request_class.data is None:
        return fleet.nearest(able, most=BACKUPS, among=request_class.cells)
    declared, may = request_class.data.replicas, request_class.allows_cell
    return {
        home: tuple(n for n in declared.get(home, ()) if may(fleet.cell(n)))[:1]
        for home in fleet.names
    }


def _row(request_class: RequestClass, split: Split, was: Row | None, *, cells: int) -> Row:
    if request_class.is_keyed:
        seats = was if isinstance(was, SlotRow) else None
        count = seats.slot_count if seats else slot_count_for(cells)
        return assign_slots(seats, _with_shed(split), count)
    return _weights(split)


def _data_row(split: Split, holders: SlotRow, fleet: Fleet) -> SlotRow:
    """The holders' row, in which every cell sheds the highest of the slots it cannot serve."""
    if split.shed <= 0.0:
        return holders
    owners = owners_of(holders, fleet.index)
    held = counts_of(owners, len(fleet.cells))
    wish = np.array([split.share(name) for name in fleet.names]) * owners.size
    served = np.minimum(held, np.rint(wish).astype(np.int64))
    lacking = round((1.0 - split.shed) * owners.size) - int(served.sum())
    # What was rounded up too often goes back, one slot each, where it was rounded up most.
    served[np.argsort(wish - served, kind="stable")[: max(0, -lacking)]] -= 1
    # Where data keeps slots from the cell that was to serve them, their holder does it.
    for cell in np.argsort(served - held, kind="stable").tolist():
        more = max(0, min(lacking, int(held[cell] - served[cell])))
        served[cell] += more
        lacking -= more
    return shed_row(owners, served, fleet.names)


def _with_shed(split: Split) -> Mapping[str, float]:
    shares = {cell: share for cell, share in split.shares.items() if share > 0.0}
    return {**shares, "": split.shed} if split.shed > 0.0 else shares


def _weights(split: Split) -> WeightRow:
    largest = max(split.shares.values())
    weights = {
        cell: max(1, round(WEIGHT_OF_LARGEST * share / largest))
        for cell, share in sorted(split.shares.items())
        if share > 0.0
    }
    served = sum(weights.values())
    return WeightRow(weights=weights, shed=round(served * split.shed / (1.0 - split.shed)))


def flow_rows(table: RoutingTable) -> Mapping[Flow, Row]:
    """Every row of a table by its flow."""
    return {
        Flow(origin, route.request_class.name): row
        for route in table.classes
        for origin, row in route.rows.items()
    }


def kept_to(plan: Plan, table: RoutingTable) -> Plan:
    """The plan with the splits that its table really has, where data decides."""
    told = plan_of(table).splits
    owning = {r.request_class.name for r in table.classes if r.holders is not None}
    return Plan(
        splits={f: told[f] if f.request_class in owning else s for f, s in plan.splits.items()}
    )


def plan_of(table: RoutingTable) -> Plan:
    """The plan that a table stands for: how a restarted engine adopts what is live."""
    return Plan(splits={flow: _split(row) for flow, row in flow_rows(table).items()})


def _split(row: Row) -> Split:
    counts = dict(row.weights) | {"": row.shed} if isinstance(row, WeightRow) else row.counts()
    total = sum(counts.values())
    shares = {cell: count / total for cell, count in counts.items() if cell}
    return Split(shares=shares, shed=counts.get("", 0) / total)
