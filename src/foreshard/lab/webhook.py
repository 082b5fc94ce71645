"""This module is the door of a fleet's supervisor for other processes: HTTP on the loopback.

- `POST /events`: a CloudEvents 1.0 event in structured JSON; the type
  `foreshard.cell.recycle.v1` restarts the cell that `subject` names.
- `POST /faults`: `{"cell", "kind", "magnitude"?, "duration_s"?}`; `POST /clear`: `{"cell"}`.
- `GET /status`: every cell.

What is accepted is answered with 202 before it is done. An event that was seen before (same
source and id, as the standard says) and a restart of a cell that is restarting change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler

from foreshard.controller.process import LOOPBACK
from foreshard.lab.cell.faults import Fault
from foreshard.lab.supervisor import Supervisor
from foreshard.model.errors import InvalidValueError, LabError

__all__ = ["RECYCLE", "Webhook"]

RECYCLE: Final = "foreshard.cell.recycle.v1"
BODY_BYTES: Final = 64 * 1024
EVENTS_REMEMBERED: Final = 1_000


class Webhook:
    """The door; use it with `async with`, inside the supervisor's.

    Args:
        supervisor: Whose fleet it opens.
        port: Where; 0 = any free port.
    """

    def __init__(self, supervisor: Supervisor, *, port: int = 0) -> None:
        self._supervisor = supervisor
        self._port = port
        self._seen: dict[tuple[str, str], None] = {}
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[_in_words])
        app.router.add_post("/events", self._event)
        app.router.add_post("/faults", self._fault)
        app.router.add_post("/clear", self._clear)
        app.router.add_get("/status", self._status)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise LabError(
                f"webhook: cannot listen on {LOOPBACK}:{self._port}: {error.strerror}; choose "
                "another port, or 0 for any"
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash.

        Raises:
            LabError: It does not listen.
        """
        if not self._runner.addresses:
            raise LabError("webhook: it has no address before it is entered")
        return f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"

    async def _event(self, request: web.Request) -> web.Response:
        body = await _object(request)
        version = body.get("specversion")
        if version != "1.0":
            raise InvalidValueError(f"event: specversion is {version!r}, must be '1.0'")
        kind = _text(body, "type")
        if kind != RECYCLE:
            raise InvalidValueError(f"event: type is {kind!r}, must be {RECYCLE!r}")
        identity = (_text(body, "source"), _text(body, "id"))
        cell = _text(body, "subject")
        if identity not in self._seen:
            self._supervisor.recycle(cell)
            self._seen[identity] = None
            if len(self._seen) > EVENTS_REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return web.json_response({"accepted": kind, "cell": cell}, status=202)

    async def _fault(self, request: web.Request) -> web.Response:
        body = await _object(request)
        cell, fault = _text(body, "cell"), Fault.from_json(body)
        await self._supervisor.inject(cell, fault)
        return web.json_response({"accepted": fault.to_json(), "cell": cell}, status=202)

    async def _clear(self, request: web.Request) -> web.Response:
        cell = _text(await _object(request), "cell")
        await self._supervisor.clear(cell)
        return web.json_response({"accepted": "clear", "cell": cell}, status=202)

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                name: {**asdict(status), "up": status.is_up}
                for name, status in self._supervisor.status().items()
            }
        )


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what is refused with 400 and one clear sentence."""
    try:
        return await handler(request)
    except (InvalidValueError, LabError) as error:
        return web.json_response({"error": str(error)}, status=400)


async def _object(request: web.Request) -> Mapping[str, object]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidValueError(f"the body is a JSON {type(body).__name__}, must be an object")
    return body


def _text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidValueError(f"{key} is {value!r}, must be a text that is not empty")
    return value
