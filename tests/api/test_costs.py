"""What services post of the costs of their requests reaches `serve` whole, or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from foreshard.adapters.routing.bill import ReportedCosts
from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.envoy.renderer import Renderer
from foreshard.adapters.routing.serve import ServeSettings, serving
from foreshard.app.serving import envoy_settings
from foreshard.config import Settings
from foreshard.model.catalogue import Role
from foreshard.model.cost import CostReport
from foreshard.model.sighting import Sighting
from tests.api.counter import Counter, opened


@contextmanager
def served(settings: Settings) -> Iterator[None]:
    """A `serve` on the same directory, in a thread, with nothing to serve."""
    made = ServeSettings(
        data_dir=settings.data_dir, render=Renderer(envoy_settings(settings)).__call__
    )
    is_up, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def work() -> None:
        async with serving(made):
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
    thread.start()
    assert is_up.wait(20.0)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with opened(tmp_path_factory.mktemp("costs")) as made:
        yield made


def post(counter: Counter, *reports: Any, role: Role = Role.OPERATOR) -> Any:  # noqa: ANN401 - JSON
    return counter.ask("POST", "/v1/costs", json={"reports": reports}, role=role)


def test_what_is_posted_reaches_the_profiler_as_load_reports_do(counter: Counter) -> None:
    default = counter.settings.default_class
    with served(counter.settings):

        async def told() -> tuple[tuple[CostReport, ...], tuple[Sighting, ...]]:
            async with ServeSink(counter.settings.data_dir) as sink:
                source = ReportedCosts(sink)
                assert await source.read() == ()
                answer = await asyncio.to_thread(
                    post,
                    counter,
                    {"class": "report", "requests": 10, "costs": {"cpu": 0.5}},
                    {"class": "report", "requests": 2, "costs": {"cpu": 0.1}},
                    {"method": "GET", "path": "/exports/7", "costs": {"cpu": 0.25}},
                )
                assert answer.status_code == 200, answer.text
                assert answer.json() == {"requests": 13, "classes": {"report": 12, default: 1}}
                return await source.read(), (await sink.take_sightings()).seen

        reports, seen = asyncio.run(told())
    assert {r.request_class: (r.requests, r.total["cpu"]) for r in reports} == {
        "report": (12.0, pytest.approx(0.6)),
        default: (1.0, 0.25),
    }
    assert seen == (Sighting(method="GET", path="/exports/7", told={"cpu": (1.0, 0.25)}),)


def test_where_nobody_could_take_it_in_that_is_said(counter: Counter) -> None:
    answer = post(counter, {"class": "report", "costs": {"cpu": 0.5}})
    assert answer.status_code == 409
    assert "nothing was taken in" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("report", "word"),
    [
        ({"class": "nobody", "costs": {"cpu": 1}}, "'nobody'"),
        ({"class": "report", "costs": {"love": 1}}, "'love'"),
        ({"costs": {"cpu": 1}}, "neither"),
        ({"class": "report", "path": "/x", "costs": {"cpu": 1}}, "both"),
        ({"class": "report", "costs": {"cpu": -1}}, "-1"),
        ({"class": "report", "costs": {"cpu": 1e300}}, "1e+300"),
        ({"class": "report", "requests": 0, "costs": {"cpu": 1}}, "0"),
        ({"class": "report", "requests": 1.5, "costs": {"cpu": 1}}, "1.5"),
        ({"class": "report"}, "costs"),
        ({"class": "report", "costs": {"cpu": 1}, "more": 1}, "more"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_of_it_is_taken(
    counter: Counter, report: dict[str, Any], word: str
) -> None:
    # With nobody to hand it to, a good body is answered 409: these do not come so far.
    answer = post(counter, {"class": "report", "costs": {"cpu": 1}}, report)
    assert answer.status_code == 422, answer.text
    assert word in answer.json()["detail"]


def test_too_many_are_refused_and_so_is_who_may_only_look(counter: Counter) -> None:
    good = {"class": "report", "costs": {"cpu": 1}}
    assert post(counter, *[good] * 1_001).status_code == 422
    assert post(counter, good, role=Role.VIEWER).status_code == 403
    huge = counter.ask("POST", "/v1/costs", content=b"[" * 2_000_000)
    assert huge.status_code == 413
