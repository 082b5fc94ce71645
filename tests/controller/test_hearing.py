"""Who fell silent is said once, with the reason."""

from __future__ import annotations

from structlog.testing import capture_logs

from foreshard.controller.hearing import Hearing
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Health, Missing
from tests.engine.shop import fleet_of

HEARD = CellReading(
    health=Health.UP, reading=Fresh(metrics=CellMetrics(gauges={}), age_s=0.1), traffic={}
)
SILENT = CellReading(health=Health.UP, reading=Missing("the page is HTML"), traffic={})


def test_a_page_that_goes_bad_is_said_once_and_so_is_its_return() -> None:
    hearing = Hearing(fleet_of())
    with capture_logs() as logs:
        for reading in (HEARD, SILENT, SILENT, SILENT, HEARD, HEARD):
            hearing.cells({"eu-1": reading})
    assert [(line["event"], line.get("because")) for line in logs] == [
        ("cell.silent", "the page is HTML"),
        ("cell.heard", None),
    ]


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
