"""Paths are counted in bounded room, and only those that a service knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import RequestMethod
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse

from foreshard.adapters.routing.envoy.path_log import PathLog, costs_in
from foreshard.adapters.routing.tally import Tally
from foreshard.model.sighting import Sighting, Sightings

# More than are kept.
MANY, LONG = 10_000, 1_000
Line = grpc.aio.ServicerContext[StreamAccessLogsMessage, StreamAccessLogsResponse]


def test_paths_are_told_once_and_without_what_follows_a_question_mark() -> None:
    tally = Tally()
    tally.add("GET", "/users/1?token=secret")
    tally.add("GET", "/users/1", told={"cpu": (1.0, 0.5)})
    assert tally.take() == Sightings(
        seen=(Sighting(method="GET", path="/users/1", requests=2.0, told={"cpu": (1.0, 0.5)}),)
    )
    assert tally.take() == Sightings()


def test_what_the_service_does_not_know_is_no_path_of_it() -> None:
    tally = Tally()
    for status in (404, 405, 400, 501):
        tally.add("GET", "/wp-login.php", status=status)
    assert tally.take() == Sightings()


@pytest.mark.parametrize(
    ("method", "path"),
    [("BREW", "/pot"), ("GET", "*"), ("GET", "/" + "a" * LONG), ("OPTIONS", "/")],
)
def test_what_is_no_path_is_left_out_and_counted(method: str, path: str) -> None:
    tally = Tally()
    tally.add(method, path)
    assert tally.take() == Sightings(left_out=1.0)


def test_whoever_invents_paths_fills_a_table_and_no_more() -> None:
    tally = Tally()
    tally.add("GET", "/known")
    for n in range(MANY):
        tally.add("GET", f"/{n}")
    tally.add("GET", "/known")
    heard = tally.take()
    assert len(heard.seen) < MANY // 2
    assert sum(each.requests for each in heard.seen) + heard.left_out == MANY + 2
    assert heard.seen[0].requests == 2.0


@pytest.mark.parametrize(
    "said",
    [
        *("", "TEXT", "JSON", "JSON [1]", "JSON {", "BIN abc", 'JSON {"request_cost": 3}'),
        *("TEXT named_metrics.cost.cpu=nan", "TEXT named_metrics.cost.cpu=-1"),
        "JSON " + "[" * 20_000,
    ],
)
def test_a_header_that_cannot_be_read_says_nothing(said: str) -> None:
    assert costs_in(said) == {}


async def test_what_a_proxy_logs_is_counted_with_its_cost() -> None:
    entry = HTTPAccessLogEntry()
    entry.request.request_method = RequestMethod.POST
    entry.request.path = "/orders/7/pay"
    entry.response.response_code.value = 200
    entry.response.response_headers["endpoint-load-metrics"] = "TEXT named_metrics.cost.cpu=0.5"
    logs = StreamAccessLogsMessage.HTTPAccessLogEntries(log_entry=[entry])

    async def messages() -> AsyncIterator[StreamAccessLogsMessage]:
        yield StreamAccessLogsMessage(http_logs=logs)

    tally = Tally()
    async with asyncio.timeout(5.0):
        await PathLog(tally).StreamAccessLogs(messages(), cast("Line", None))
    assert tally.take().seen == (
        Sighting(method="POST", path="/orders/7/pay", told={"cpu": (1.0, 0.5)}),
    )
