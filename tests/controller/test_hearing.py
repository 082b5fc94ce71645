"""Who fell silent is said once, with the reason."""

from __future__ import annotations

from dataclasses import replace

from structlog.testing import capture_logs

from foreshard.controller.hearing import Hearing
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Health, Missing
from foreshard.ports import BalancerReading
from tests.engine.shop import fleet_of

HEARD = CellReading(
    health=Health.UP, reading=Fresh(metrics=CellMetrics(gauges={}), age_s=0.1), traffic={}
)
SILENT = CellReading(health=Health.UP, reading=Missing("the page is HTML"), traffic={})


def test_a_page_that_goes_bad_is_said_once_and_so_is_its_return() -> None:
    hearing = Hearing(fleet_of())
    with capture_logs() as logs:
        for now_s, reading in enumerate((HEARD, SILENT, SILENT, SILENT, HEARD, HEARD)):
            hearing.cells({"eu-1": reading}, now_s=float(now_s))
    assert [(line["event"], line.get("because")) for line in logs] == [
        ("cell.silent", "the page is HTML"),
        ("cell.heard", None),
    ]


CELLS = [f"cell-{n:03}" for n in range(1_000)]


def test_a_thousand_silent_cells_are_one_line_a_minute_with_the_first_names() -> None:
    hearing = Hearing(fleet_of())
    odd = replace(SILENT, reading=Missing("connection refused"))
    with capture_logs() as logs:
        hearing.cells(dict.fromkeys(CELLS, HEARD), now_s=0.0)
        hearing.cells({**dict.fromkeys(CELLS, SILENT), "cell-007": odd}, now_s=1.0)
    (line,) = logs
    assert line["event"] == "cells.silent"
    assert line["count"] == 1_000
    assert line["first"] == CELLS[:10]
    assert (line["because"], line["of_them"]) == ("the page is HTML", 999)


def test_a_fleet_that_flaps_does_not_fill_the_log() -> None:
    hearing = Hearing(fleet_of())
    with capture_logs() as logs:
        for now_s in range(600):
            for_now = HEARD if now_s % 2 else SILENT
            hearing.cells(dict.fromkeys(CELLS, for_now), now_s=float(now_s))
    assert [line["event"] for line in logs].count("cells.silent") <= 10
    assert [line["event"] for line in logs].count("cells.heard") <= 10
    assert len(logs) <= 20


def test_cells_that_fall_silent_one_after_the_other_are_all_told_within_a_minute() -> None:
    hearing = Hearing(fleet_of())
    told: set[str] = set()
    with capture_logs() as logs:
        for now_s in range(600):
            quiet = CELLS[: now_s + 1]
            hearing.cells(dict.fromkeys(quiet, SILENT), now_s=float(now_s))
        hearing.cells({}, now_s=660.0)
    told = {line["cell"] for line in logs if line["event"] == "cell.silent"}
    grouped = sum(line["count"] for line in logs if line["event"] == "cells.silent")
    assert len(told) + grouped == 600
    assert len(logs) <= 11 * 12
    assert "cell-000" in told


def test_an_event_about_no_cell_is_said_once_with_the_cells_that_there_are() -> None:
    hearing = Hearing(fleet_of())
    event = SystemEvent(
        id="a",
        kind=EventKind.MAINTENANCE,
        cells=frozenset({"zz", "eu-1"}),
        known_at_s=0.0,
        starts_at_s=1.0,
        ends_at_s=2.0,
    )
    with capture_logs() as logs:
        hearing.events((event,))
        hearing.events((event,))
    (line,) = logs
    assert line["cells"] == ["zz"]
    assert "eu-1" in line["known"]


def test_a_freeze_of_some_cells_is_said_to_be_of_all() -> None:
    hearing = Hearing(fleet_of())
    event = SystemEvent(
        id="holiday",
        kind=EventKind.FREEZE,
        cells=frozenset({"eu-1"}),
        known_at_s=0.0,
        starts_at_s=1.0,
        ends_at_s=2.0,
    )
    with capture_logs() as logs:
        hearing.events((event,))
        hearing.events((event,))
    assert [(line["event"], line["cells"]) for line in logs] == [("event.freezes_all", ["eu-1"])]


def test_a_silent_balancer_is_named_once_and_so_is_a_region_without_any() -> None:
    hearing = Hearing(fleet_of())
    heard = BalancerReading(interval_s=1.0, traffic={}, demand_rps={}, in_flight={})
    lost = replace(heard, silent_origins=frozenset({"us"}))
    silent = Missing("envoy 10.0.0.9:9901: does not answer")
    looks: list[BalancerReading | Missing] = [silent, heard, silent, silent, silent, lost, lost]
    with capture_logs() as logs:
        for now_s, seen in enumerate(looks):
            hearing.balancers(seen, now_s=float(now_s))
    told = [(line["event"], line.get("because", line.get("origins"))) for line in logs]
    assert told == [("balancers.unheard", silent.because), ("balancers.lost", ["us"])]
