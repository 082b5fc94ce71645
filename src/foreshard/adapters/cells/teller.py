"""This module is who posts CloudEvents: one session, opened by the first, closed at last."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

__all__ = ["Teller"]


class Teller:
    """Base of what tells receivers; use it with `async with`, or `close` it.

    Args:
        headers: Sent along, for instance an Authorization.
        timeout_s: For one event.
    """

    def __init__(self, headers: Mapping[str, str] | None, timeout_s: float) -> None:
        self._headers = {**(headers or {}), "Content-Type": "application/cloudevents+json"}
        self._timeout_s = timeout_s
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; a later event opens new ones."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            )
        return self._opened
