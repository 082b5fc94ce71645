"""This module is how a region hears of the others: it asks each of them every other second.

What is heard has the age of its news: a peer whose engine hangs says the same again, and that is
none.
A peer that cannot be asked is left as it was last heard, and ages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import aiohttp
import structlog

from foreshard.adapters.federation.aggregate_json import decode, encode
from foreshard.model.errors import SourceError
from foreshard.model.federation import Aggregate
from foreshard.ports import Heard

__all__ = ["HttpPeers"]

log = structlog.get_logger(__name__)

# An aggregate is a few numbers a peer; more is something else.
MOST_BYTES = 1_000_000
# An older word than the newest is a late copy, unless no newer one has come for so many questions:
# then that engine was started anew, with a clock that is behind.
PATIENT_QUESTIONS = 5


class HttpPeers:
    """`PeerExchange` by HTTP; asks while it is entered.

    Args:
        urls: Where each peer tells its aggregate.
        now_s: The clock that ages are measured on.
        every_s: Between two questions to one peer.
        timeout_s: For one answer.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        now_s: Callable[[], float],
        every_s: float = 2.0,
        timeout_s: float = 1.0,
    ) -> None:
        self._urls = dict(urls)
        self._now_s = now_s
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._heard: dict[str, Heard] = {}
        self._deaf: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._own: str | None = None

    @property
    def text(self) -> str | None:
        """What is told to peers; None before anything was published."""
        return self._own

    def publish(self, own: Aggregate) -> None:
        """See the port."""
        self._own = encode(own)

    def heard(self) -> Mapping[str, Heard]:
        """See the port."""
        return dict(self._heard)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        self._session = aiohttp.ClientSession(timeout=timeout)
        self._tasks = [asyncio.create_task(self._follow(name)) for name in self._urls]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _follow(self, name: str) -> None:
        while True:
            try:
                self._take(name, await self._ask(name))
            except SourceError as error:
                if name not in self._deaf:
                    log.warning("peer.unheard", peer=name, error=str(error), effect="it ages")
                self._deaf.add(name)
            await asyncio.sleep(self._every_s)

    def _take(self, name: str, told: Aggregate) -> None:
        if name in self._deaf:
            self._deaf.discard(name)
            log.info("peer.heard", peer=name)
        known, now_s = self._heard.get(name), self._now_s()
        if known is not None:
            newer_s = told.made_at_s - known.aggregate.made_at_s
            is_patient = now_s - known.at_s < PATIENT_QUESTIONS * self._every_s
            if newer_s == 0.0 or (newer_s < 0.0 and is_patient):
                return
        self._heard[name] = Heard(aggregate=told, at_s=now_s)

    async def _ask(self, name: str) -> Aggregate:
        """One answer.

        Raises:
            SourceError: There is none, or it makes no sense.
        """
        assert self._session is not None  # noqa: S101 - entered before it asks
        try:
            async with self._session.get(self._urls[name], allow_redirects=False) as answer:
                if answer.status != 200:
                    raise SourceError(f"peer {name}: answered {answer.status}")
                content = await _content(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise SourceError(f"peer {name}: does not answer: {why}") from error
        if len(content) > MOST_BYTES:
            raise SourceError(f"peer {name}: says more than {MOST_BYTES} bytes")
        return decode(content.decode("utf-8", "replace"), region=name)


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """All of it, or a little more than may be: one read is one packet, which may be a part."""
    content = bytearray()
    async for part in answer.content.iter_any():
        content += part
        if len(content) > MOST_BYTES:
            break
    return bytes(content)
