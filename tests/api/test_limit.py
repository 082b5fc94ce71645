"""Bodies that come slowly, and those that never end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from foreshard.api.limit import BodyLimit

SCOPE: Scope = {"type": "http", "method": "PUT", "path": "/", "headers": []}


async def heard(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that says what it got."""
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


async def answer(parts: list[bytes], *, ends: bool = True, **limits: Any) -> tuple[int, bytes]:  # noqa: ANN401 - of BodyLimit
    said: list[Message] = []
    waiting = list(parts)

    async def receive() -> Message:
        if not waiting:
            await never()
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting) or not ends}

    async def send(message: Message) -> None:
        said.append(message)

    await BodyLimit(heard, **limits)(SCOPE, receive, send)
    return said[0]["status"], said[1]["body"]


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_body_arrives_whole_whatever_parts_it_came_in() -> None:
    assert await answer([b"ab", b"", b"cd"]) == (200, b"abcd")


async def test_a_body_of_exactly_the_limit_is_let_in_and_one_more_byte_is_not() -> None:
    assert (await answer([b"ab", b"cd"], most=4))[0] == 200
    status, said = await answer([b"ab", b"cde"], most=4)
    assert status == 413
    assert "longer than 4 bytes" in json.loads(said)["detail"]


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    status, said = await answer([b"ab"], ends=False, within_s=0.01)
    assert status == 408
    assert "within 0.01 s" in json.loads(said)["detail"]
