"""This module is a question over HTTP that is asked once, and never hangs or fills the memory.

An answer of any status is an answer; whatever else happens is a reason in words.
"""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

__all__ = ["Answer", "Asker", "Silent"]

# The host list of an Envoy with 10,000 nodes has 20 MB.
LARGEST_BODY_BYTES = 64 * 1024 * 1024
AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said.

    Attributes:
        status: Of HTTP.
        body: As text; bytes that are none are replaced.
        took_s: From the question to the end of the answer.
        skew_s: Their clock less ours (whole seconds); None when they do not say.
    """

    status: int
    body: str
    took_s: float
    skew_s: float | None = None

    @property
    def is_good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """Nobody answered.

    Attributes:
        because: Why, for people.
    """

    because: str


class Asker:
    """Asks many at once, within bounds; use it with `async with`.

    Args:
        timeout_s: For one answer.
        at_once: Questions under way at a time; connections to the dead wait longest.
    """

    def __init__(self, *, timeout_s: float = 1.5, at_once: int = AT_ONCE) -> None:
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(at_once)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, address: str, path: str) -> Answer | Silent:
        """GET `http://address/path`; redirects are answers, not followed."""
        async with self._slots:
            return await self._get(f"http://{address}{path}")

    async def url(self, url: str) -> Answer | Silent:
        """GET a whole URL."""
        async with self._slots:
            return await self._get(url)

    async def connects(self, address: str) -> Silent | None:
        """Whether somebody listens at `host:port`; None = yes. Nothing is said to them."""
        host, _, port = address.rpartition(":")
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    _, writer = await asyncio.open_connection(host, int(port))
            except (OSError, TimeoutError, ValueError, OverflowError) as error:
                # The last two: no name of a host, no number of a port.
                return self._silence(error)
            writer.close()
            return None

    async def connects_url(self, url: str) -> Silent | None:
        """The same for the host of a URL."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            return self._silence(error)
        return await self.connects(f"{parts.hostname}:{port}")

    async def _get(self, url: str) -> Answer | Silent:
        if self._session is None:
            raise RuntimeError("Asker: use it with `async with`")
        began_s, began = time.time(), time.monotonic()
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                heard_s = time.time()
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > LARGEST_BODY_BYTES:
                        return Silent(because=f"answers more than {LARGEST_BODY_BYTES} bytes")
                return Answer(
                    status=answer.status,
                    body=body.decode(errors="replace"),
                    took_s=time.monotonic() - began,
                    skew_s=_skew(answer.headers.get("Date", ""), began_s, heard_s),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return self._silence(error)

    def _silence(self, error: Exception) -> Silent:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return Silent(because="refuses connections")
        if isinstance(error, TimeoutError):
            return Silent(because=f"does not answer within {self._timeout_s:g} s")
        if isinstance(cause, OSError) and cause.strerror:
            return Silent(because=f"cannot be reached ({cause.strerror})")
        if isinstance(error, ValueError | OverflowError):
            return Silent(because=f"is no address ({error})")
        return Silent(because=f"answers no HTTP ({str(error) or type(error).__name__})")


def _skew(date: str, began_s: float, heard_s: float) -> float | None:
    """Their clock less ours; 0 inside what a header of whole seconds and the way can explain."""
    try:
        said_s = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    if said_s > heard_s:
        return said_s - heard_s
    return min(0.0, said_s + 1.0 - began_s)
