"""This module is the routing table as JSON: what goes over a socket and what lies on a disk.

The way back is exact, and anything that is not a table is refused with the place where it
stopped being one. Order is kept, so that a table that was read renders to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TypeAlias, assert_never

from foreshard.adapters.routing.json_document import Document
from foreshard.model.errors import InvalidValueError, SinkError
from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, SlotRun, WeightRow
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import (
    TRANSFER_KB,
    Match,
    Needs,
    OwnedData,
    Priority,
    RequestClass,
)

__all__ = [
    "SCHEMA_VERSION",
    "Json",
    "canonical_json",
    "checksum",
    "decode_cell",
    "decode_route",
    "decode_table",
    "encode_cell",
    "encode_route",
    "encode_table",
]

SCHEMA_VERSION = 1
"""Rises when a document of the old form can no longer be read."""

Json: TypeAlias = Mapping[str, object]


def canonical_json(document: Json) -> bytes:
    """One spelling for equal documents: sorted keys, no spaces, UTF-8.

    Raises:
        SinkError: A number in it is not finite, which JSON cannot say.
    """
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise SinkError(f"routing table: {error}; every number must be finite") from error
    return text.encode()


def checksum(document: Json) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def encode_table(table: RoutingTable) -> dict[str, object]:
    """A table as JSON values."""
    return {
        "schema": SCHEMA_VERSION,
        "version": table.version,
        "cells": [encode_cell(cell) for cell in table.cells],
        "classes": [encode_route(route) for route in table.classes],
        "default_class": table.default_class,
    }


def decode_table(document: object) -> RoutingTable:
    """The table that `encode_table` wrote.

    Raises:
        SinkError: It is damaged, or of another schema; the message names key and value.
    """
    root = Document(document, at="table")
    schema = root.whole("schema")
    if schema != SCHEMA_VERSION:
        raise SinkError(f"table.schema is {schema}, this Foreshard reads {SCHEMA_VERSION} only")
    try:
        table = RoutingTable(
            version=root.whole("version"),
            cells=tuple(decode_cell(cell) for cell in root.children("cells")),
            classes=tuple(decode_route(route) for route in root.children("classes")),
            default_class=root.text("default_class"),
        )
    except InvalidValueError as error:
        raise SinkError(f"routing table: {error}") from error
    root.expect_nothing_else()
    return table


def encode_cell(cell: Cell) -> Json:
    """A cell as JSON values."""
    nodes = [{"host": node.host, "port": node.port} for node in cell.nodes]
    made = {"name": cell.name, "region": cell.region, "zone": cell.zone, "nodes": nodes}
    return made | {"is_peer": True} if cell.is_peer else made


def decode_cell(document: Document) -> Cell:
    """The cell that `encode_cell` wrote.

    Raises:
        SinkError: It is damaged.
        InvalidValueError: It is none.
    """
    nodes = [
        Node(host=node.text("host"), port=node.whole("port"))
        for node in document.children("nodes", keys=("host", "port"))
    ]
    cell = Cell(
        name=document.text("name"),
        region=document.text("region"),
        zone=document.text("zone"),
        nodes=tuple(nodes),
        is_peer=document.flag("is_peer") if document.has("is_peer") else False,
    )
    document.expect_nothing_else()
    return cell


def encode_route(route: ClassRoute) -> Json:
    """A class and where it goes as JSON values."""
    document: dict[str, object] = {
        "request_class": _encode_class(route.request_class),
        "rows": {origin: _encode_row(row) for origin, row in route.rows.items()},
        "backups": {home: list(cells) for home, cells in route.backups.items()},
    }
    if route.holders is not None:
        document["holders"] = _encode_row(route.holders)
    return document


def decode_route(document: Document) -> ClassRoute:
    """The class that `encode_route` wrote.

    Raises:
        SinkError: It is damaged.
        InvalidValueError: It is none.
    """
    rows = document.child("rows")
    backups = document.child("backups")
    route = ClassRoute(
        request_class=_decode_class(document.child("request_class")),
        rows={origin: _decode_row(rows.child(origin)) for origin in rows},
        backups={home: tuple(backups.texts(home)) for home in backups},
        holders=_decode_slots(document.child("holders")) if document.has("holders") else None,
    )
    document.expect_nothing_else()
    return route


def _decode_slots(document: Document) -> SlotRow:
    runs = [SlotRun(owner=owner, length=length) for owner, length in document.pairs("slots")]
    row = SlotRow(runs=tuple(runs))
    document.expect_nothing_else()
    return row


def _encode_row(row: Row) -> Json:
    match row:
        case WeightRow():
            return {"weights": dict(row.weights), "shed": row.shed}
        case SlotRow():
            return {"slots": [[run.owner, run.length] for run in row.runs]}
        case _:
            assert_never(row)


def _decode_row(document: Document) -> Row:
    if document.has("slots"):
        return _decode_slots(document)
    weights = document.child("weights")
    row = WeightRow(
        weights={cell: weights.whole(cell) for cell in weights},
        shed=document.whole("shed"),
    )
    document.expect_nothing_else()
    return row


def _encode_class(request_class: RequestClass) -> Json:
    document: dict[str, object] = {
        "name": request_class.name,
        "priority": request_class.priority.name,
        "weight": request_class.weight,
        "objective_s": request_class.objective_s,
        "timeout_s": request_class.timeout_s,
        "match": _encode_match(request_class.match),
        "retriable": request_class.retriable,
        "key_header": request_class.key_header,
        "regions": sorted(request_class.regions),
        "dependencies": sorted(request_class.dependencies),
        "declared": dict(request_class.declared.per_request),
    }
    # Left out where unused, so that tables without it stay what they were, byte for byte.
    if request_class.cells:
        document["cells"] = sorted(request_class.cells)
    if request_class.move_cost_s is not None:
        document["move_cost_s"] = request_class.move_cost_s
    if request_class.residency:
        document["residency"] = {o: sorted(r) for o, r in request_class.residency.items()}
    if request_class.transfer_kb != TRANSFER_KB:
        document["transfer_kb"] = request_class.transfer_kb
    if request_class.data is not None:
        replicas = {cell: list(others) for cell, others in request_class.data.replicas.items()}
        document["replicas"] = replicas
        if request_class.data.handover_s is not None:
            document["handover_s"] = request_class.data.handover_s
    return document


def _encode_match(match: Match) -> Json:
    document: dict[str, object] = {"method": match.method, "path_prefix": match.path_prefix}
    if match.path_template:
        document["path_template"] = match.path_template
    if match.headers:
        document["headers"] = dict(match.headers)
    if match.grpc_method:
        document["grpc_method"] = match.grpc_method
    return document


def _decode_match(document: Document) -> Match:
    headers = document.child("headers") if document.has("headers") else None
    match = Match(
        method=document.text("method"),
        path_prefix=document.text("path_prefix"),
        path_template=document.text("path_template") if document.has("path_template") else "",
        headers={name: headers.text(name) for name in headers} if headers else {},
        grpc_method=document.text("grpc_method") if document.has("grpc_method") else "",
    )
    document.expect_nothing_else()
    return match


def _decode_data(document: Document) -> OwnedData:
    replicas = document.child("replicas")
    return OwnedData(
        replicas={cell: tuple(replicas.texts(cell)) for cell in replicas},
        handover_s=document.number("handover_s") if document.has("handover_s") else None,
    )


def _decode_class(document: Document) -> RequestClass:
    match = document.child("match")
    declared = document.child("declared")
    residency = document.child("residency") if document.has("residency") else None
    request_class = RequestClass(
        name=document.text("name"),
        priority=Priority[document.choice("priority", tuple(p.name for p in Priority))],
        weight=document.number("weight"),
        objective_s=document.number("objective_s"),
        timeout_s=document.number("timeout_s"),
        match=_decode_match(match),
        retriable=document.flag("retriable"),
        key_header=document.text("key_header"),
        regions=frozenset(document.texts("regions")),
        cells=frozenset(document.texts("cells")) if document.has("cells") else frozenset(),
        dependencies=frozenset(document.texts("dependencies")),
        declared=Needs(per_request={what: declared.number(what) for what in declared}),
        residency={o: frozenset(residency.texts(o)) for o in residency} if residency else {},
        transfer_kb=document.number("transfer_kb") if document.has("transfer_kb") else TRANSFER_KB,
        data=_decode_data(document) if document.has("replicas") else None,
        move_cost_s=document.number("move_cost_s") if document.has("move_cost_s") else None,
    )
    document.expect_nothing_else()
    return request_class
