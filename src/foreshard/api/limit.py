"""This module is how much one may send and how slowly, counted as it arrives, not as announced."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foreshard.api.problem import problem

__all__ = ["MOST_BYTES", "BodyLimit"]

MOST_BYTES = 1024 * 1024
"""500 classes with long names take a quarter of it."""

# Whoever sends slowly on purpose would hold the places of all others.
WITHIN_S = 10.0


class BodyLimit:
    """Answers 413 to a request whose body is longer, and reads no more of it.

    Args:
        app: Gets all others, their bodies whole.
        most: Bytes.
        within_s: In which the whole body must be there, or the answer is 408.
    """

    def __init__(
        self, app: ASGIApp, *, most: int = MOST_BYTES, within_s: float = WITHIN_S
    ) -> None:
        self._app = app
        self._most = most
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._within_s):
                body = await self._whole(scope, receive)
        except TimeoutError:
            late = problem(
                HTTPStatus.REQUEST_TIMEOUT,
                f"body: has not arrived within {self._within_s:g} s; send it at once",
                headers={"connection": "close"},
            )
            await late(scope, receive, send)
            return
        if body is None:
            detail = f"body: is longer than {self._most} bytes; send less at a time"
            refused = problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers={"connection": "close"}
            )
            await refused(scope, receive, send)
            return
        is_told = False

        async def whole() -> Message:
            nonlocal is_told
            if is_told:
                return await receive()
            is_told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, whole, send)

    async def _whole(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None = it is too long."""
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._most:
            return None
        parts: list[bytes] = []
        length = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""
            part = message.get("body", b"")
            length += len(part)
            if length > self._most:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
