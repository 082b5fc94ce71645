"""Endpoints that nobody declared are found, told, and never made of what a class takes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from structlog.testing import capture_logs

from foreshard.controller.profiling import Profiling
from foreshard.controller.scouting import ENDPOINTS, EVERY_S, MOST_ENDPOINTS, Scouting
from foreshard.model.errors import SinkError
from foreshard.model.sighting import Sighting, Sightings
from foreshard.model.workload import Match
from foreshard.testing import MemoryStore
from tests.engine.shop import CLASSES, START_S, fleet_of

ORDERS = replace(CLASSES[0], name="orders", match=Match(path_template="/orders/{id}"))
REST = replace(CLASSES[1], name="rest", match=Match())


class Door:
    """Tells the same at each look."""

    def __init__(self, *paths: str, requests: float = 10.0, error: str = "") -> None:
        self.seen = tuple(
            Sighting(method="GET", path=p, requests=requests, told={"cpu": (5.0, 0.5)})
            for p in paths
        )
        self.error = error

    async def take_sightings(self) -> Sightings:
        if self.error:
            raise SinkError(self.error)
        return Sightings(seen=self.seen, left_out=1.0)


class Scene:
    """A scout before a door, and what it writes."""

    def __init__(self, door: Door) -> None:
        self.store = MemoryStore()
        profiling = Profiling(fleet_of(), CLASSES, self.store)
        self.scout = Scouting(
            door, profiling, store=self.store, executor=Here(), classes=[ORDERS, REST]
        )
        self.now_s = START_S

    async def minutes(self, count: float) -> dict[str, Any]:
        for _ in range(round(60.0 * count / EVERY_S)):
            self.scout.look(self.now_s)
            self.now_s += EVERY_S
            await asyncio.sleep(0.001)
        return dict(self.store.get(ENDPOINTS) or {})


class Here:
    """Computes at once."""

    async def run(self, work: Any) -> Any:  # noqa: ANN401 - of any work
        return work()


def titles(report: dict[str, Any]) -> set[str]:
    return {f"{e['method']} {e['template']}" for e in report["endpoints"]}


async def test_a_new_endpoint_is_found_within_two_minutes_with_its_evidence_and_cost() -> None:
    with capture_logs() as logs:
        report = await Scene(Door("/exports/17", "/exports/18")).minutes(2.0)
    (found,) = report["endpoints"]
    assert (found["method"], found["template"]) == ("GET", "/exports/{id}")
    assert found["confidence"] > 0.8
    assert "requests in" in found["evidence"]
    assert found["costs"] == {"cpu": 0.1}
    told = [line for line in logs if line["event"] == "profile.endpoint_found"]
    assert [line["template"] for line in told] == ["/exports/{id}"]
    assert report["left_out_requests"] > 0.0


async def test_a_few_requests_or_a_few_seconds_make_no_endpoint() -> None:
    assert (await Scene(Door("/exports/17", requests=0.1)).minutes(2.0))["endpoints"] == []
    assert (await Scene(Door("/exports/17")).minutes(0.3))["endpoints"] == []


async def test_what_a_class_takes_is_no_new_endpoint() -> None:
    report = await Scene(Door("/orders/17", "//orders/18")).minutes(2.0)
    assert report["endpoints"] == []


async def test_an_endpoint_that_gets_a_class_is_none_any_more_and_that_is_told() -> None:
    scene = Scene(Door("/exports/17"))
    await scene.minutes(2.0)
    exports = replace(ORDERS, name="exports", match=Match(path_prefix="/exports/"))
    with capture_logs() as logs:
        scene.scout.take_up([ORDERS, exports, REST])
        report = await scene.minutes(0.5)
    assert report["endpoints"] == []
    (gone,) = [line for line in logs if line["event"] == "profile.endpoint_gone"]
    assert gone["text"] == "a class takes it"
    assert [each["text"].split(" ")[1] for each in report["changes"]] == ["/exports/{id}"] * 2


async def test_of_very_many_endpoints_few_are_told_and_the_rest_are_counted() -> None:
    words = [f"/{a}-api/{a}-{b}" for a in "abcdefgh" for b in "klmnopqr"]
    report = await Scene(Door(*words, requests=50.0)).minutes(2.0)
    assert len(report["endpoints"]) == MOST_ENDPOINTS
    assert report["more_endpoints"] == len(words) - MOST_ENDPOINTS


async def test_an_endpoint_that_ceases_is_forgotten_after_an_hour() -> None:
    door = Door("/exports/17")
    scene = Scene(door)
    assert titles(await scene.minutes(2.0)) == {"GET /exports/{id}"}
    door.seen = ()
    scene.now_s += 3_700.0
    assert titles(await scene.minutes(0.2)) == set()


async def test_a_door_that_is_silent_is_said_once_and_asked_again() -> None:
    scene = Scene(Door(error="no answer"))
    with capture_logs() as logs:
        await scene.minutes(0.5)
    assert [line["event"] for line in logs] == ["profile.unsighted"]
    await scene.scout.aclose()
