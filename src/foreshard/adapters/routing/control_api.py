"""This module is the control endpoint of `serve`: HTTP over a socket in the data directory.

It translates and decides nothing. Who may open the socket is said by the directory's rights.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from foreshard.adapters.routing.control import PlanControl
from foreshard.adapters.routing.json_document import Document
from foreshard.adapters.routing.report_json import (
    decode_costs,
    decode_sightings,
    encode_costs,
    encode_sightings,
)
from foreshard.adapters.routing.table_json import decode_table, encode_table
from foreshard.model.errors import InvalidValueError, SinkError
from foreshard.ports import Applied

__all__ = ["control_app"]

log = structlog.get_logger()

# 200 classes over 1,000 cells are some 10 MB; the default of aiohttp is 1 MB.
MAX_BODY = 256 * 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def control_app(control: PlanControl) -> web.Application:
    """The application: the table, what is told of it and with it, and the freeze."""
    api = _Api(control)
    app = web.Application(middlewares=[_say_what_is_wrong], client_max_size=MAX_BODY)
    app.add_routes(
        [
            web.put("/table", api.put_table),
            web.get("/table", api.get_table),
            web.get("/status", api.get_status),
            web.get("/load", api.get_load),
            web.get("/costs", api.get_costs),
            web.post("/reports", api.report),
            web.post("/sightings", api.take_sightings),
            web.post("/freeze", api.freeze),
            web.post("/thaw", api.thaw),
        ]
    )
    return app


@web.middleware
async def _say_what_is_wrong(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SinkError as error:
        return web.json_response({"error": str(error)}, status=500)
    except (ArithmeticError, ValueError, TypeError) as error:
        # A table that no renderer can write: said to whoever sent it, and in full in our log.
        log.exception("control.failed", path=request.path)
        because = f"{request.path} failed ({type(error).__name__}: {error}); see the log of serve"
        return web.json_response({"error": because}, status=500)


class _BodyError(Exception):
    """The body is not what it must be."""


class _Api:
    def __init__(self, control: PlanControl) -> None:
        self._control = control

    async def put_table(self, request: web.Request) -> web.Response:
        try:
            table = decode_table(await _body(request))
        except (_BodyError, SinkError) as error:
            return web.json_response({"error": str(error)}, status=400)
        outcome = await self._control.apply(table)
        if isinstance(outcome, Applied):
            applied = {
                "version": outcome.version,
                "acks": outcome.acks,
                "push_to_ack_s": outcome.push_to_ack_s,
            }
            return web.json_response({"applied": applied})
        rejected = {"version": outcome.version, "because": outcome.because}
        return web.json_response({"rejected": rejected})

    async def get_table(self, _: web.Request) -> web.Response:
        table = self._control.table()
        return web.json_response({"table": None if table is None else encode_table(table)})

    async def get_status(self, _: web.Request) -> web.Response:
        return web.json_response(self._control.status())

    async def get_load(self, _: web.Request) -> web.Response:
        return web.json_response({"nodes": self._control.load()})

    async def get_costs(self, _: web.Request) -> web.Response:
        return web.json_response({"classes": encode_costs(self._control.costs())})

    async def report(self, request: web.Request) -> web.Response:
        """What requests cost, and where they went, as somebody else than a proxy tells it."""
        try:
            body = Document(await _body(request), at="body")
            costs = decode_costs(body)
            seen = decode_sightings(body)
        except (_BodyError, SinkError, InvalidValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        for request_class, account in costs.items():
            for resource, (count, total) in account.items():
                self._control.charge(request_class, resource, count, total)
        self._control.tally.add_all(seen)
        return web.json_response({"costs": len(costs), "sightings": len(seen)})

    async def take_sightings(self, _: web.Request) -> web.Response:
        """What was asked for and matches no class, once: what is told is forgotten here."""
        heard = self._control.tally.take()
        told = {"sightings": encode_sightings(heard.seen), "left_out": heard.left_out}
        return web.json_response(told)

    async def freeze(self, request: web.Request) -> web.Response:
        try:
            reason = Document(await _body(request), at="body").text("reason")
        except (_BodyError, SinkError) as error:
            return web.json_response({"error": str(error)}, status=400)
        warning = await self._control.freeze(reason)
        return web.json_response({"frozen": reason, "warning": warning})

    async def thaw(self, _: web.Request) -> web.Response:
        await self._control.thaw()
        return web.json_response({"frozen": None})


async def _body(request: web.Request) -> object:
    try:
        body: object = json.loads(await request.read())
    except ValueError as error:
        raise _BodyError(f"the body is not JSON: {error}") from error
    return body
