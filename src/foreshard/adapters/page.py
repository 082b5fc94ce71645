"""This module is a small HTTP page of ours, for Prometheus and for probes.

It never stands in the way of steering: an address that cannot be had is said, and that is all.
It reads and changes nothing, so it asks for no name; by default there is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

__all__ = ["Answer", "Ask", "pages"]

log = structlog.get_logger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a page says.

    Attributes:
        text: The body.
        is_well: False answers with status 503.
    """

    text: str
    is_well: bool = True


Ask = Callable[[], Awaitable[Answer]]


@asynccontextmanager
async def pages(address: str | None, paths: Mapping[str, Ask]) -> AsyncIterator[None]:
    """Serve pages inside the block.

    Args:
        address: host:port; None = no pages.
        paths: Who answers on which path.
    """
    if address is None:
        yield
        return
    app = web.Application()
    app.add_routes([web.get(path, _handler(ask)) for path, ask in paths.items()])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    host, _, port = address.rpartition(":")
    try:
        await runner.setup()
        try:
            await web.TCPSite(runner, host, int(port)).start()
        except OSError as error:
            log.error("page.unavailable", address=address, error=str(error))  # noqa: TRY400 - said whole
        yield
    finally:
        await runner.cleanup()


def _handler(ask: Ask) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        answer = await ask()
        return web.Response(
            body=answer.text.encode(),
            status=200 if answer.is_well else 503,
            headers={"Content-Type": METRICS_TYPE},
        )

    return handle
