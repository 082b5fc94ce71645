"""This module is the contract of sources: the unknown is missing, never zero, never raised."""

from __future__ import annotations

import math

from foreshard.model.telemetry import CellMetrics, Fresh, Health, Missing
from foreshard.model.topology import Cell, Node
from foreshard.ports import BalancerReading, CellSource, EventSource, TrafficSource
from foreshard.testing.conformance.verdict import require

__all__ = ["check_event_source", "check_source", "check_traffic_source"]

# Port 9 (discard) is not served on loopback: connecting is refused at once.
NOWHERE = Cell(name="nowhere", region="none", zone="none", nodes=(Node(host="127.0.0.1", port=9),))


async def check_source(source: CellSource, cells: tuple[Cell, ...]) -> None:
    """Hold a `CellSource` to its contract.

    Args:
        source: The source.
        cells: At least one cell that is up and can be read.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    require(cells, "check_source: give it at least one cell that can be read")
    require(await source.read(()) == {}, "read(()): nothing was asked for, so nothing may come")
    said = await source.read((*cells, NOWHERE))
    asked = {cell.name for cell in cells} | {NOWHERE.name}
    require(
        set(said) == asked,
        f"read: asked for {sorted(asked)}, answered for {sorted(said)}: every cell that was "
        "asked for must be there, and no other",
    )
    health, reading = said[NOWHERE.name]
    require(
        isinstance(reading, Missing) and reading.because,
        f"read: a cell that nobody serves gave {reading!r}, must be Missing with a reason",
    )
    require(
        health is not Health.UP,
        "read: a cell that nobody serves is UP, must be DOWN (refused) or UNKNOWN (silent)",
    )
    for cell in cells:
        health, reading = said[cell.name]
        require(isinstance(health, Health), f"cell {cell.name}: health is {health!r}")
        if isinstance(reading, Fresh):
            _check_metrics(cell.name, reading.metrics, reading.age_s)
        else:
            require(
                reading.because,
                f"cell {cell.name}: {reading!r} must be Fresh, or Missing with a reason",
            )
    require(
        any(isinstance(said[cell.name][1], Fresh) for cell in cells),
        "read: not one of the cells given is Fresh: is the source connected?",
    )


def _check_metrics(cell: str, metrics: CellMetrics, age_s: float) -> None:
    require(
        math.isfinite(age_s) and age_s >= 0.0,
        f"cell {cell}: age_s is {age_s}, must be finite and 0 or more",
    )
    for name, gauge in metrics.gauges.items():
        require(
            math.isfinite(gauge.used) and gauge.used >= 0.0,
            f"cell {cell}, gauge {name}: used is {gauge.used}; leave an unknown gauge out",
        )
    for name, offered in metrics.capacity.items():
        require(
            offered > 0.0,
            f"cell {cell}: capacity of {name} is {offered}; leave an unknown one out",
        )


async def check_traffic_source(source: TrafficSource) -> None:
    """Hold a `TrafficSource` to its contract; a little traffic makes the check say more.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    for _ in range(2):
        reading = await source.read()
        if isinstance(reading, Missing):
            require(reading.because, "read: Missing needs a reason")
        else:
            _check_counts(reading)


def _check_counts(reading: BalancerReading) -> None:
    require(reading.interval_s > 0.0, f"read: interval_s is {reading.interval_s}, must be over 0")
    for cell, classes in reading.traffic.items():
        for name, traffic in classes.items():
            where = f"cell {cell}, class {name}"
            require(
                math.isfinite(traffic.rate_rps) and traffic.rate_rps >= 0.0,
                f"{where}: rate_rps is {traffic.rate_rps}; a counter that fell is Missing",
            )
            for ratio in (traffic.failed_ratio, traffic.slow_ratio):
                require(0.0 <= ratio <= 1.0, f"{where}: a ratio is {ratio}, must be in [0, 1]")
            require(
                not traffic.latency_mean_s < 0.0,
                f"{where}: latency_mean_s is {traffic.latency_mean_s}",
            )
    for flow, demand in reading.demand_rps.items():
        require(
            math.isfinite(demand) and demand >= 0.0,
            f"flow {flow.request_class} from {flow.origin}: demand is {demand}",
        )


async def check_event_source(source: EventSource, *, now_s: float) -> None:
    """Hold an `EventSource` to its contract.

    Args:
        source: The source.
        now_s: The present moment on the clock of its events.

    Raises:
        AssertionError: It breaks the contract; the message says how.
    """
    events = await source.read()
    require(isinstance(events, tuple), f"read: gave a {type(events).__name__}, must be a tuple")
    ids = [event.id for event in events]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    require(not twice, f"read: ids {twice} come twice; the newest replaces the older one")
    for event in events:
        require(event.id, "read: an event without an id cannot be replaced")
        require(
            event.known_at_s <= now_s,
            f"event {event.id}: known_at_s is {event.known_at_s}, after the present ({now_s}): "
            "a forecast must not see what is not known yet",
        )
        require(
            event.ends_at_s > now_s,
            f"event {event.id}: ended at {event.ends_at_s}, before the present ({now_s})",
        )
