"""This module is small routing tables to render: a keyed class, a free one, one that sheds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Match, Priority, RequestClass

__all__ = ["CHECKOUT", "REPORT", "SEARCH", "cells", "free_route", "keyed_route", "table"]

CHECKOUT = RequestClass(
    name="checkout",
    priority=Priority.CRITICAL,
    weight=10.0,
    objective_s=0.4,
    timeout_s=2.0,
    match=Match(method="POST", path_prefix="/checkout"),
    key_header="x-key",
)
SEARCH = RequestClass(
    name="search",
    priority=Priority.NORMAL,
    weight=3.0,
    objective_s=0.1,
    timeout_s=2.5,
    match=Match(method="GET", path_prefix="/search"),
    retriable=True,
)
REPORT = RequestClass(
    name="report",
    priority=Priority.SHEDDABLE,
    weight=1.0,
    objective_s=2.0,
    timeout_s=6.0,
    match=Match(method="GET", path_prefix="/report"),
    retriable=True,
)


def cells(*names: str, nodes: int = 1) -> tuple[Cell, ...]:
    """Cells of those names, in the region before the dash."""
    return tuple(
        Cell(
            name=name,
            region=name.split("-")[0],
            zone=f"{name.split('-')[0]}a",
            nodes=tuple(Node(host="192.0.2.1", port=1000 + 10 * i + n) for n in range(nodes)),
        )
        for i, name in enumerate(names)
    )


def free_route(
    request_class: RequestClass, weights: Mapping[str, int], *, shed: int = 0
) -> ClassRoute:
    """A free class with the same row everywhere."""
    row = WeightRow(weights=weights, shed=shed)
    return ClassRoute(request_class=request_class, rows={"eu": row, "us": row}, backups={})


def keyed_route(
    request_class: RequestClass, runs: Sequence[tuple[str, int]], fleet: Sequence[Cell]
) -> ClassRoute:
    """A keyed class; every other cell of the fleet backs a cell up."""
    row = SlotRow(runs=tuple(SlotRun(owner=owner, length=length) for owner, length in runs))
    names = [cell.name for cell in fleet]
    return ClassRoute(
        request_class=request_class,
        rows={"eu": row, "us": row},
        backups={name: tuple(n for n in names if n != name) for name in names},
    )


def table(fleet: Sequence[Cell], *routes: ClassRoute) -> RoutingTable:
    """A table whose last class takes what matches none; equal weights where none are given."""
    if not routes:
        equal = {cell.name: 1 for cell in fleet}
        runs = [
            (cell.name, 4096 // 2 ** min(i + 1, len(fleet) - 1)) for i, cell in enumerate(fleet)
        ]
        routes = (
            keyed_route(CHECKOUT, runs, fleet),
            free_route(SEARCH, equal),
            free_route(REPORT, equal),
        )
    return RoutingTable(
        version=1,
        cells=tuple(fleet),
        classes=routes,
        default_class=routes[-1].request_class.name,
    )
