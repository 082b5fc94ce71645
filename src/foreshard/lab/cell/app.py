"""This module is the door of a cell: HTTP in, answers with a load header out.

It uses aiohttp's bare server (no router, no middlewares): twelve cells share two cores with
two balancers, and every microsecond here is one that the thing on trial does not have.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from foreshard.lab import service
from foreshard.lab.cell.faults import Fault
from foreshard.lab.cell.metrics import LOAD_HEADER
from foreshard.lab.cell.shop import Shop
from foreshard.model.errors import InvalidValueError, LabError

__all__ = ["CellSettings", "run"]

TICK_S: Final = 0.1
# Longer than any request may take: what was accepted is finished.
DRAIN_S: Final = 7.0
# The balancer decides when an idle connection ends: a cell that closed one first would race it.
KEEPALIVE_S: Final = 3600.0
ROUTES: Final[Mapping[tuple[str, str], str]] = {
    (each.match.method, each.match.path_prefix): each.name for each in service.CLASSES
}
NEEDS_KEY: Final = frozenset(each.name for each in service.CLASSES if each.is_keyed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSettings:
    """What a cell process is told on its command line.

    Attributes:
        name: Of the cell.
        port: Where it listens on the loopback.
        version: Of the service it pretends to run.
        memory_room_bytes: Growth after which it is killed.
    """

    name: str
    port: int
    version: str = "1.0"
    memory_room_bytes: int = service.MEMORY_ROOM_BYTES

    def __post_init__(self) -> None:
        if not 0 < self.port < 65_536:
            raise InvalidValueError(f"cell {self.name}: port is {self.port}, must be 1 to 65535")


class _Door:
    """Turns requests into calls of the shop."""

    def __init__(self, settings: CellSettings) -> None:
        self._settings = settings
        self._shop = Shop(
            cell=settings.name,
            version=settings.version,
            memory_room_bytes=settings.memory_room_bytes,
        )
        self.is_closing = False

    async def tick(self) -> None:
        while True:
            self._shop.tick()
            await asyncio.sleep(TICK_S)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.can_read_body:
            body = await request.read()
        else:
            body = b""
        name = ROUTES.get((request.method, request.path))
        if name is not None:
            return await self._serve(name, request)
        match request.method, request.path:
            case "GET", "/health":
                return _json(200, {"cell": self._settings.name, "pid": os.getpid()})
            case "GET", "/metrics":
                return await self._metrics(request)
            case "POST", "/-/fault":
                return self._fault(body)
            case "POST", "/-/clear":
                self._shop.clear()
                return _json(200, {"cleared": True})
            case method, path:
                routes = ", ".join(f"{verb} {where}" for verb, where in ROUTES)
                return _json(404, {"error": f"{method} {path} is unknown; try {routes}"})

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        # Faults are states that are looked at; nobody is told of their end.
        while self._shop.is_mute and request.transport is not None:  # noqa: ASYNC110 - no event
            await asyncio.sleep(TICK_S)
        page = self._shop.metrics.page()
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _serve(self, name: str, request: web.BaseRequest) -> web.StreamResponse:
        key = request.headers.get(service.KEY_HEADER, "")
        if not key and name in NEEDS_KEY:
            return _json(400, {"error": f"{name} needs the header {service.KEY_HEADER}"})
        text = request.headers.get(service.DRAW_HEADER, "0")
        try:
            draw = int(text)
        except ValueError:
            return _json(400, {"error": f"{service.DRAW_HEADER} is {text!r}, must be an integer"})
        answer = await self._shop.serve(name, key=key, draw=draw)
        response = web.Response(
            status=answer.status,
            body=answer.text.encode(),
            headers={
                "Content-Type": "text/plain",
                LOAD_HEADER: self._shop.report.header(answer.cpu_s),
            },
        )
        if self.is_closing:
            response.force_close()
        return response

    def _fault(self, body: bytes) -> web.StreamResponse:
        try:
            fault = Fault.from_json(json.loads(body))
        except (ValueError, RecursionError) as error:
            return _json(400, {"error": str(error)})
        if fault.kind.is_external:
            return _json(400, {"error": f"{fault.kind} is done by the supervisor of the fleet"})
        self._shop.inject(fault)
        return _json(200, {"injected": fault.to_json()})


def _json(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body).encode() + b"\n",
        headers={"Content-Type": "application/json"},
    )


async def run(settings: CellSettings, *, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then close the listener and finish what was accepted.

    Raises:
        LabError: The port cannot be listened on.
    """
    door = _Door(settings)
    server = web.Server(door.handle, access_log=None, keepalive_timeout=KEEPALIVE_S)
    runner = web.ServerRunner(server, shutdown_timeout=DRAIN_S)
    await runner.setup()
    ticking = asyncio.create_task(door.tick())
    try:
        site = web.TCPSite(runner, service.HOST, settings.port, backlog=1024, reuse_port=True)
        try:
            await site.start()
        except OSError as error:
            raise LabError(
                f"cell {settings.name} cannot listen on {service.HOST}:{settings.port}: "
                f"{error.strerror}; choose another port"
            ) from error
        await stop.wait()
        door.is_closing = True
    finally:
        await runner.cleanup()
        ticking.cancel()
