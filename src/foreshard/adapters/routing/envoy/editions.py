"""This module is where relays get the committed plan from: a stream of editions, and a heartbeat.

Only what is committed goes out, never what is being tried: a relay must not keep a plan that
some proxy has yet to refuse. The heartbeat repeats the newest edition without its resources:
whoever hears it knows that the plan is still the live one.
"""

from __future__ import annotations

import asyncio

import grpc

from foreshard.adapters.routing.envoy.discovery import Discovery
from foreshard.adapters.routing.envoy.edition import Edition, edition, pack
from foreshard.adapters.routing.envoy.snapshot import Views
from foreshard.adapters.routing.json_document import Document
from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.stream import HEARTBEAT_S, NOTHING
from foreshard.model.errors import SinkError

__all__ = ["METHOD", "SERVICE", "EditionService"]

SERVICE = "foreshard.Editions"
METHOD = "Watch"


class EditionService:
    """Streams one origin's editions to each relay that asks.

    Args:
        discovery: Whose committed plan it is.
        seal: Goes on every edition.
    """

    def __init__(self, discovery: Discovery, seal: Seal) -> None:
        self._discovery = discovery
        self._seal = seal
        self._newest: dict[str, tuple[Views, Edition]] = {}

    def handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """To be put on the discovery server."""
        watch = grpc.unary_stream_rpc_method_handler(self._watch)
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: watch})

    async def _watch(
        self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        try:
            asked = Document.parse(request, at="request")
            origin, held = asked.text("origin"), asked.text("held")
        except SinkError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        sent: Edition | None = None
        while True:
            news = self._discovery.news
            newest = await self._edition(origin)
            if newest is None:
                await context.write(NOTHING)
            else:
                # What it says it holds need not be sent, and can be built on.
                on = newest if sent is None and newest.digest == held else sent
                await context.write(await asyncio.to_thread(pack, newest, self._seal, on=on))
                sent = newest
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                continue

    async def _edition(self, origin: str) -> Edition | None:
        views = self._discovery.committed
        if views is None:
            return None
        known = self._newest.get(origin)
        if known is not None and known[0] is views:
            return known[1]
        made = await asyncio.to_thread(
            edition, origin, views.version, views.committed_at_s, views.of(origin)
        )
        # A region of its own only: others are few, and any name may be asked for.
        if origin in views.by_origin:
            self._newest[origin] = views, made
        return made
