"""This module is the contract of sinks: a table is live as a whole, or not at all."""

from __future__ import annotations

from dataclasses import replace

from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, SlotRun, WeightRow
from foreshard.ports import Rejected, RouteSink
from foreshard.testing.conformance.verdict import require

__all__ = ["check_sink"]


async def check_sink(
    sink: RouteSink, table: RoutingTable, *, refused: RoutingTable | None = None
) -> None:
    """Hold a `RouteSink` to its contract.

    Args:
        sink: The sink, with at least one balancer connected where it needs one.
        table: One that the balancer must accept; its version is over that of the live table.
        refused: One of a higher version (by at least 3) that the balancer must refuse; None =
            this is not checked.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    before = await sink.live()
    require(
        before is None or before.version < table.version,
        f"check_sink: version {table.version} of the table given must be over the live one",
    )
    live = table
    for wanted in (table, _turned(table), replace(table, version=table.version + 2)):
        await _check_accepts(sink, wanted)
        live = wanted
    if refused is not None:
        outcome = await sink.apply(refused)
        require(
            isinstance(outcome, Rejected) and outcome.because,
            f"apply: {outcome!r} for a table that must be refused; say Rejected, with a reason",
        )
        require(
            await sink.live() == live,
            "live: a refused table must leave the last acknowledged one live",
        )


async def _check_accepts(sink: RouteSink, table: RoutingTable) -> None:
    outcome = await sink.apply(table)
    if isinstance(outcome, Rejected):
        refusal = f"apply: {outcome!r} for version {table.version}, which must be accepted"
        raise AssertionError(refusal)  # noqa: TRY004 - a broken contract, not a wrong argument
    require(
        outcome.version == table.version,
        f"apply: answered for version {outcome.version}, was given {table.version}",
    )
    require(
        outcome.acks >= 0 and outcome.push_to_ack_s >= 0.0,
        f"apply: acks {outcome.acks}, push_to_ack_s {outcome.push_to_ack_s}: both are >= 0",
    )
    require(
        await sink.live() == table,
        f"live: differs from version {table.version}, which was just applied",
    )


def _turned(table: RoutingTable) -> RoutingTable:
    """The next version, with every row handed on to other cells: a change of everything."""
    classes = tuple(_with_turned_rows(route) for route in table.classes)
    return replace(table, version=table.version + 1, classes=classes)


def _with_turned_rows(route: ClassRoute) -> ClassRoute:
    return replace(route, rows={origin: _turned_row(row) for origin, row in route.rows.items()})


def _turned_row(row: Row) -> Row:
    if isinstance(row, SlotRow):
        owners = sorted({run.owner for run in row.runs} - {""})
        heir = dict(zip(owners, owners[1:] + owners[:1], strict=True)) | {"": ""}
        runs = tuple(SlotRun(owner=heir[run.owner], length=run.length) for run in row.runs)
        return SlotRow(runs=runs)
    cells = list(row.weights)
    turned = cells[1:] + cells[:1]
    return WeightRow(weights=dict(zip(turned, row.weights.values(), strict=True)), shed=row.shed)
