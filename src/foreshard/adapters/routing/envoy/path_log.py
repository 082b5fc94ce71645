"""This module is the access log service: the paths of requests that match no class.

One request of some is told (`EnvoySettings.path_sample_ratio`), and only of those that went to
the default class. A proxy that has more to tell than is read keeps 16 KiB and drops the rest, so
reading slowly is the bound: some thousand entries a second, over all proxies. Those that are read
stand for the others; shares among paths stay as they are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from math import isfinite

import grpc
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse

from foreshard.adapters.routing.envoy.load_report import COSTS
from foreshard.adapters.routing.tally import Tally

__all__ = ["COST_HEADER", "PathLog", "costs_in"]

COST_HEADER = "endpoint-load-metrics"
"""Where ORCA has a service say what a request cost."""
SERVICE = "envoy.service.accesslog.v3.AccessLogService"
# A message is at most about 16 KiB, some 60 requests.
MESSAGES_A_SECOND, LEAST_PAUSE_S = 50.0, 0.1
METHOD = HTTPAccessLogEntry.DESCRIPTOR.fields_by_name["request"].message_type.fields_by_name[
    "request_method"
]


class PathLog:
    """The gRPC servicer.

    Args:
        tally: Adds up.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._streams = 0
        self._closed = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """For the server that proxies are connected to."""
        method = grpc.stream_unary_rpc_method_handler(
            self.StreamAccessLogs,
            request_deserializer=StreamAccessLogsMessage.FromString,
            response_serializer=StreamAccessLogsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": method})

    def close(self) -> None:
        """End every stream, and those that are opened from now on."""
        self._closed.set()

    async def StreamAccessLogs(  # noqa: N802 - the protocol's name
        self,
        requests: AsyncIterator[StreamAccessLogsMessage],
        context: grpc.aio.ServicerContext[StreamAccessLogsMessage, StreamAccessLogsResponse],
    ) -> StreamAccessLogsResponse:
        """Listen, slowly."""
        del context
        self._streams += 1
        listening = asyncio.create_task(self._listen(requests))
        closed = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait({listening, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams -= 1
            for task in (listening, closed):
                task.cancel()
            await asyncio.gather(listening, closed, return_exceptions=True)
        return StreamAccessLogsResponse()

    async def _listen(self, requests: AsyncIterator[StreamAccessLogsMessage]) -> None:
        async for message in requests:
            for entry in message.http_logs.log_entry:
                self._take(entry)
            await asyncio.sleep(max(LEAST_PAUSE_S, self._streams / MESSAGES_A_SECOND))

    def _take(self, entry: HTTPAccessLogEntry) -> None:
        number = METHOD.enum_type.values_by_number.get(entry.request.request_method)
        said = entry.response.response_headers.get(COST_HEADER, "")
        self._tally.add(
            number.name if number is not None else "",
            entry.request.path,
            told={resource: (1.0, cost) for resource, cost in costs_in(said).items()},
            status=entry.response.response_code.value,
        )


def costs_in(said: str) -> Mapping[str, float]:
    """By resource, what a request said that it cost; what cannot be read says nothing.

    Args:
        said: ORCA's header, in its text or its JSON form.

    >>> costs_in("TEXT named_metrics.cost.cpu=0.25,cpu_utilization=0.9")
    {'cpu': 0.25}
    >>> costs_in('JSON {"request_cost": {"disk": 4096}}')
    {'disk': 4096.0}
    """
    form, _, body = said.strip().partition(" ")
    told: dict[str, float] = {}
    for name, value in (_pairs_in_json(body) if form == "JSON" else _pairs_in_text(body)).items():
        prefix = next((each for each in COSTS if name.startswith(each)), "")
        try:
            cost = float(value)
        except ValueError:
            continue
        if prefix and isfinite(cost) and cost >= 0.0:
            told.setdefault(name.removeprefix(prefix), cost)
    return told


def _pairs_in_text(body: str) -> Mapping[str, str]:
    pairs = (part.partition("=") for part in body.split(","))
    return {name.strip(): value for name, _, value in pairs}


def _pairs_in_json(body: str) -> Mapping[str, str]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        f"{part}.{name}": str(value)
        for part in ("request_cost", "named_metrics")
        if isinstance(values.get(part), dict)
        for name, value in values[part].items()
    }
