"""This module is the router as ASGI middleware: for a gateway that sends requests on to cells.

    app = RouterMiddleware(gateway, router, origin="eu")

A request that the plan sheds is answered here, with 429 and `Retry-After`; one for which there is
no plan with 503. Every other one reaches the application with its cell in `scope["foreshard"]`
(a `Routed`), and the application sends it there with a client of its own. The class is decided
from method and path as the Envoys do it, never from a header that a client could write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, assert_never

from foreshard.middleware.decision import Routed, decide
from foreshard.model.errors import InvalidValueError
from foreshard.router import Nowhere, Refused, Router

__all__ = ["SCOPE_KEY", "RouterMiddleware"]

SCOPE_KEY = "foreshard"
"""Where an application finds the `Routed` of its request in the ASGI scope."""

# "Try again later" (IANA registry of WebSocket close codes).
TRY_AGAIN = 1013

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class RouterMiddleware:
    """Puts a request's cell into its scope, or answers for the plan.

    Args:
        app: Gets what has a cell, and whatever is no request (lifespan).
        router: Decides.
        origin: Region in which the application stands, as the plan names it.
    """

    def __init__(self, app: Application, router: Router, *, origin: str) -> None:
        if not origin:
            raise InvalidValueError(
                "origin is empty, must be the region the application stands in"
            )
        self._app = app
        self._router = router
        self._origin = origin

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        sent: Sequence[tuple[bytes, bytes]] = scope["headers"]
        # The path as it was sent is optional in ASGI; the decoded one is as near as there is then.
        raw: bytes | None = scope.get("raw_path")
        found = decide(
            self._router,
            origin=self._origin,
            method=scope.get("method", "GET"),
            path=scope["path"] if raw is None else raw.decode("latin-1"),
            headers=lambda wanted: [v for n, v in sent if n.lower() == wanted.encode()],
        )
        match found:
            case Routed():
                await self._app({**scope, SCOPE_KEY: found}, receive, send)
            case Refused(retry_after_s=wait_s):
                await _refuse(scope, receive, send, status=429, wait_s=wait_s)
            case Nowhere():
                await _refuse(scope, receive, send, status=503, wait_s=1)
            case _:
                assert_never(found)


async def _refuse(
    scope: Message, receive: Receive, send: Send, *, status: int, wait_s: int
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": TRY_AGAIN, "reason": "try again later"})
        return
    headers = [(b"retry-after", str(wait_s).encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
