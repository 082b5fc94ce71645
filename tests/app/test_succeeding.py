"""The engine's eye on editions: taken up in flight, passed over where they do not fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from foreshard.adapters.clock import ThreadExecutor
from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app.cataloguing import newest_held
from foreshard.app.desk import ClassDesk
from foreshard.app.heartbeat import alive_file
from foreshard.app.places import catalogue_dir, state_dir
from foreshard.app.steering import engine_of
from foreshard.app.succeeding import EditionWatch
from foreshard.config import Settings
from foreshard.controller.loop import Loop
from foreshard.controller.profiling import Profiling
from foreshard.model.catalogue import Actor, Edit, Role
from foreshard.model.errors import EditError
from tests.api.counter import ORDERS, opened
from tests.controller.test_loop import Stage

ANY = Edit(by=Actor(name="anna", role=Role.OPERATOR), tags=None)
DRY = replace(ANY, is_dry_run=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with opened(tmp_path) as counter:
        return counter.settings


@dataclass(kw_only=True)
class Flight:
    """A loop between fakes whose classes come from the file, and a desk beside it."""

    stage: Stage
    watch: EditionWatch
    desk: ClassDesk
    settings: Settings

    async def until(self, holds: Callable[[], bool]) -> None:
        """Turn by turn."""
        for _ in range(200):
            alive_file(self.settings).touch()
            await self.stage.turn()
            if holds():
                return
            await asyncio.sleep(0.01)
        pytest.fail("in vain")

    def classes(self) -> list[str]:
        """That are live."""
        return [route.request_class.name for route in self.stage.live.classes]

    def note(self) -> Any:  # noqa: ANN401 - JSON
        """What the engine says of editions."""
        return self.stage.store.get("classes")


@asynccontextmanager
async def flying(settings: Settings) -> AsyncIterator[Flight]:
    flown = newest_held(settings)
    stage, executor = Stage(), ThreadExecutor()
    serving = settings.model_copy(update={"classes": flown.catalogue.classes})
    profiling = Profiling(settings.fleet(), serving.request_classes(), stage.store)
    watch = EditionWatch(
        settings, flown, store=stage.store, executor=executor, tagged=profiling.tag
    )
    world = replace(stage.loop._world, succession=watch, profiling=profiling)
    stage.loop = Loop(engine_of(serving), settings.fleet(), world, foresight=None, tick_s=1.0)
    with CatalogueFile(catalogue_dir(settings)) as file:
        desk = ClassDesk(settings, file)
        try:
            yield Flight(stage=stage, watch=watch, desk=desk, settings=settings)
        finally:
            await watch.aclose()
            executor.close()


def body(**changes: object) -> str:
    return str({**ORDERS, **changes})


async def test_an_edition_is_taken_up_in_flight_and_said_to_be(settings: Settings) -> None:
    async with flying(settings) as flight:
        await flight.until(lambda: len(flight.classes()) == 3)
        flight.desk.define("orders", body(), ANY)
        await flight.until(lambda: "orders" in flight.classes())
        assert flight.note()["version"] == 1
        flight.desk.roll_back(0, ANY)
        await flight.until(lambda: "orders" not in flight.classes())
        assert flight.note()["version"] == 2


async def test_an_edition_made_while_no_engine_lived_is_flown_by_the_next(
    settings: Settings,
) -> None:
    with CatalogueFile(catalogue_dir(settings)) as file:
        ClassDesk(settings, file).define("orders", body(), ANY)
    async with flying(settings) as flight:
        await flight.until(lambda: "orders" in flight.classes())
        assert flight.note()["version"] == 1


async def test_a_tag_changes_no_engine(settings: Settings) -> None:
    async with flying(settings) as flight:
        await flight.until(lambda: len(flight.classes()) == 3)
        before = flight.stage.loop._engine
        flight.desk.set_tag("search", "{category: heavy}", ANY)
        await flight.until(lambda: flight.note()["version"] == 1)
        assert flight.stage.loop._engine is before


async def test_an_edition_that_does_not_fit_is_passed_over_and_said(settings: Settings) -> None:
    with CatalogueFile(catalogue_dir(settings)) as file:
        desk = ClassDesk(settings, file)
        desk.define("orders", body(cells=["us-3"]), ANY)
    fewer = settings.model_copy(update={"cells": settings.cells[:-1]})
    flown = newest_held(fewer)
    assert flown.version == 0
    assert "us-3" in dict(flown.passed_over)[1]


async def test_the_profiler_surveys_the_classes_that_are_flown_and_hears_of_tags(
    settings: Settings,
) -> None:
    def known(flight: Flight) -> dict[str, Any]:
        return dict((flight.stage.store.get("profile") or {"classes": {}})["classes"])

    async with flying(settings) as flight:
        await flight.until(lambda: set(known(flight)) == {"checkout", "search", "report"})
        flight.desk.define("orders", body(), ANY)
        flight.desk.set_tag("orders", "{category: heavy}", ANY)
        await flight.until(lambda: "orders" in known(flight))
        await flight.until(lambda: known(flight)["orders"]["category"] == "heavy")


async def test_a_tag_that_differs_from_what_was_found_is_told_with_both(
    settings: Settings,
) -> None:
    report = {
        "at_s": 1.0,
        "classes": {
            "search": {
                "rate_rps": 9.0,
                "costs": {},
                "found": "light",
                "confidence": 0.9,
                "depends": [],
            }
        },
    }
    with SqliteStore(state_dir(settings)) as store:
        store.put("profile", report)
    with CatalogueFile(catalogue_dir(settings)) as file:
        desk = ClassDesk(settings, file)
        assert desk.one("search")["category"]["holds"] == "light"
        desk.set_tag("search", "{category: heavy}", ANY)
        category = desk.one("search")["category"]
    assert (category["holds"], category["found"]) == ("heavy", "light")
    assert category["disagreement"] == (
        "search is tagged heavy by anna, its costs say light (confidence 90%)"
    )


async def test_a_dry_run_is_planned_with_what_the_engine_sees_and_changes_nothing(
    settings: Settings,
) -> None:
    async with flying(settings) as flight:
        await flight.until(lambda: len(flight.classes()) == 3)
        with pytest.raises(EditError, match="not yet seen enough"):
            await asked(flight, lambda: flight.desk.define("orders", body(), DRY))
        await flight.stage.turn(15)
        live, version = flight.stage.live, flight.desk.classes()["version"]
        kept = {"priority": "sheddable", "weight": 1, "objective_s": 2, "timeout_s": 6}
        kept |= {"cells": ["eu-1", "eu-2", "eu-3"], "match": {"path_prefix": "/report"}}
        told = await asked(flight, lambda: flight.desk.define("report", str(kept), DRY))
        (report,) = (move for move in told["moves"] if move["class"] == "report")
        assert set(report["after"]) <= {"eu-1", "eu-2", "eu-3"}
        assert report["moved_ratio"] == pytest.approx(0.5, abs=0.05)
        assert 0.0 < told["moved_ratio"] < 1.0
        assert told["says"].startswith("this change would move ")
        new = await asked(flight, lambda: flight.desk.define("orders", body(), DRY))
        assert new["uncounted"][0]["class"] == "orders"
        assert flight.desk.classes()["version"] == version
        assert flight.stage.live.classes == live.classes


async def asked(flight: Flight, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
    """The desk waits for the engine in a thread of its own, as the API's do."""
    alive_file(flight.settings).touch()
    task = asyncio.create_task(asyncio.to_thread(work))
    await flight.until(task.done)
    return task.result()
