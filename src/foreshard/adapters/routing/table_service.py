"""This module is where applications get the committed table from: a stream, and a heartbeat.

Only what is committed goes out, never what is being tried. The heartbeat repeats the newest frame
without its table: whoever hears it knows that the plan is still the live one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from foreshard.adapters.routing.json_document import Document
from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.stream import HEARTBEAT_S, NOTHING
from foreshard.adapters.routing.table_frame import Frame, frame_of, pack_frame
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable

__all__ = ["TABLES", "TableService"]

SERVICE, METHOD = "foreshard.Tables", "Watch"
TABLES = f"/{SERVICE}/{METHOD}"
"""The stream, as gRPC names it."""


class TableService:
    """Streams the committed table to each application that asks.

    Args:
        committed: Gives it; None = there is none.
        news: Gives an event that is set when another one is committed.
        seal: Goes on every frame.
    """

    def __init__(
        self,
        committed: Callable[[], RoutingTable | None],
        news: Callable[[], asyncio.Event],
        seal: Seal,
    ) -> None:
        self._committed = committed
        self._news = news
        self._seal = seal
        self._newest: Frame | None = None

    def handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """To be put on the discovery server."""
        watch = grpc.unary_stream_rpc_method_handler(self._watch)
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: watch})

    async def _watch(
        self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        try:
            held = Document.parse(request, at="request").text("held")
        except SinkError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        sent: Frame | None = None
        while True:
            news = self._news()
            newest = await self._frame()
            if newest is None:
                await context.write(NOTHING)
            else:
                # What it says it holds need not be sent, and can be built on.
                on = newest if sent is None and newest.digest == held else sent
                await context.write(pack_frame(newest, self._seal, on=on))
                sent = newest
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                continue

    async def _frame(self) -> Frame | None:
        table = self._committed()
        if table is None:
            return None
        if self._newest is None or self._newest.table is not table:
            self._newest = await asyncio.to_thread(frame_of, table)
        return self._newest
