"""This module is small tables to decide with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, SlotRun, WeightRow
from tests.adapters.routing.envoy_tables import CHECKOUT, REPORT, SEARCH, cells

__all__ = ["CELLS", "NAMES", "free", "keyed", "routing", "slots"]

NAMES = ("eu-1", "eu-2", "us-1")
CELLS = cells(*NAMES)


def slots(*runs: tuple[str, int]) -> SlotRow:
    return SlotRow(runs=tuple(SlotRun(owner=owner, length=length) for owner, length in runs))


def keyed(rows: Mapping[str, Row], name: str = "checkout") -> ClassRoute:
    return ClassRoute(request_class=replace(CHECKOUT, name=name), rows=rows, backups={})


def free(rows: Mapping[str, Row], name: str = "search") -> ClassRoute:
    return ClassRoute(request_class=replace(SEARCH, name=name), rows=rows, backups={})


def routing(*routes: ClassRoute, version: int = 1, default: str = "") -> RoutingTable:
    last = ClassRoute(
        request_class=REPORT, rows={"eu": WeightRow(weights={"eu-1": 1})}, backups={}
    )
    return RoutingTable(
        version=version,
        cells=CELLS,
        classes=(*routes, last),
        default_class=default or REPORT.name,
    )
