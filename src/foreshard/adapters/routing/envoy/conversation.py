"""This module is one stream of discovery: listening and speaking at the same time.

The two are separate tasks: a proxy that has stopped reading must not keep us from hearing that
it is gone, and one that is silent must still be told what is new.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from foreshard.adapters.routing.envoy.session import Session
from foreshard.adapters.routing.envoy.snapshot import Snapshot

__all__ = ["Conversation", "Dialect"]

Heard = TypeVar("Heard")
Heard_contra = TypeVar("Heard_contra", contravariant=True)
Said = TypeVar("Said")


class Dialect(Protocol[Heard_contra, Said]):
    """One of the two forms of xDS, speaking for one session."""

    name: str

    def hear(self, request: Heard_contra) -> None:
        """Take in what the proxy said."""

    def say(self, now_s: float) -> list[Said]:
        """What has to be sent now."""


class Conversation:
    """One connected proxy.

    Args:
        session: What the proxy holds and should hold.
        node: Id of the proxy, as it calls itself.
        region: Where it stands, as it says.
        on_progress: Called after everything the proxy said.
    """

    def __init__(
        self, session: Session, *, node: str, region: str, on_progress: Callable[[], None]
    ) -> None:
        self.session = session
        self.node = node
        self.region = region
        self.connected_at_s = time.time()
        self.is_over = False
        self.synced_at_s = 0.0
        self.dialect = ""
        self._on_progress = on_progress
        self._something_to_say = asyncio.Event()
        self._closed = asyncio.Event()

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be waited for: it has all it should have, or is gone."""
        return self.is_over or self.session.is_synced

    def aim(self, goal: Snapshot | None, *, keeps_old: bool = False) -> None:
        """Set what the proxy should hold; see `Session.aim`."""
        self.session.aim(goal, keeps_old=keeps_old)
        self.synced_at_s = time.monotonic() if self.session.is_synced else 0.0
        self._something_to_say.set()

    def settle(self) -> None:
        """Every proxy has what it should have; see `Session.settle`."""
        self.session.settle()
        self._something_to_say.set()

    def close(self) -> None:
        """End the stream; the proxy will come back on a new one."""
        self.is_over = True
        self._closed.set()

    async def run(
        self,
        dialect: Dialect[Heard, Said],
        first: Heard,
        requests: AsyncIterator[Heard],
        write: Callable[[Said], Awaitable[None]],
    ) -> None:
        """Converse until either side ends it."""
        self.dialect = dialect.name
        tasks = [
            asyncio.create_task(self._listen(dialect, first, requests)),
            asyncio.create_task(self._speak(dialect, write)),
            asyncio.create_task(self._closed.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.is_over = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._on_progress()
        for task in done:
            task.result()

    async def _listen(
        self, dialect: Dialect[Heard, Said], first: Heard, requests: AsyncIterator[Heard]
    ) -> None:
        dialect.hear(first)
        self._note_progress()
        async for request in requests:
            dialect.hear(request)
            self._note_progress()

    def _note_progress(self) -> None:
        self._something_to_say.set()
        if not self.synced_at_s and self.session.is_synced:
            self.synced_at_s = time.monotonic()
        self._on_progress()

    async def _speak(
        self, dialect: Dialect[Heard, Said], write: Callable[[Said], Awaitable[None]]
    ) -> None:
        while True:
            self._something_to_say.clear()
            for response in dialect.say(time.monotonic()):
                await write(response)
            await self._wait_for_something()

    async def _wait_for_something(self) -> None:
        removal_s = self.session.next_removal_s()
        # A removal that is already due but still held back is woken by what holds it back.
        wait_s = None if removal_s is None else removal_s - time.monotonic()
        if wait_s is not None and wait_s <= 0:
            wait_s = None
        try:
            async with asyncio.timeout(wait_s):
                await self._something_to_say.wait()
        except TimeoutError:
            return
