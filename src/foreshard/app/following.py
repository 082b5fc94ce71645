"""This module is a router that follows a running Foreshard, put together.

    async with following(router, "10.0.0.5:18000", keep=Path("plans")):
        ...

It hears of every committed table within a heartbeat, and swaps it into the router. When the
control plane falls silent, restarts or says nonsense, the last good table stands; with `keep` it
also stands when the application itself is started meanwhile. It is said in the log
`foreshard.router` of the standard library, and nowhere else: the application's log is its own.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.table_follower import TableFollower
from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import RoutingTable
from foreshard.router import Router

__all__ = ["Following", "following", "following_in_thread"]

log = logging.getLogger("foreshard.router")

# Of `foreshard serve`: there the last plan is its own, and two must not write it.
SERVES = "serve.lock"
ADDRESS = re.compile(r"\S+:[0-9]{1,5}")
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Following:
    """How it goes.

    Attributes:
        follower: Of the table.
    """

    follower: TableFollower

    @property
    def is_answering(self) -> bool:
        """Whether the control plane answers now, with a plan."""
        return self.follower.is_answering

    @property
    def unconfirmed_s(self) -> float | None:
        """How long ago the plan was last confirmed to be the live one; None = never.

        It is what to alarm on: the router goes on with its plan for as long as it takes.
        """
        return self.follower.unconfirmed_s


@asynccontextmanager
async def following(
    router: Router,
    target: str,
    *,
    keep: Path | None = None,
    key: bytes = b"",
    patience_s: float = 5.0,
) -> AsyncIterator[Following]:
    """Keep a router in step with a Foreshard, inside the block, on the running event loop.

    Args:
        router: Gets every table.
        target: host:port of the discovery service of that Foreshard, or of one that stands by.
        keep: Directory for the last table, one for each application; None = it is not kept.
        key: What `envoy.relay_key_file` of that Foreshard holds, without blanks at its ends: then
            only its own tables are believed. b"" = damage is found, not malice.
        patience_s: So long a first table is waited for; after that the block begins without one,
            and the router answers `Nowhere` until there is one.

    Raises:
        InvalidValueError: The target is no host:port, or the directory is that of a `serve`.
    """
    follower = _follower(router, target, keep, key)
    listening = asyncio.create_task(follower.run())
    listening.add_done_callback(_tell_of_the_end)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while router.table is None and not listening.done():  # noqa: ASYNC110 - a router tells nobody
                    await asyncio.sleep(LOOK_S)
        yield Following(follower)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


@contextmanager
def following_in_thread(
    router: Router,
    target: str,
    *,
    keep: Path | None = None,
    key: bytes = b"",
    patience_s: float = 5.0,
) -> Iterator[Following]:
    """The same for an application without an event loop, in a thread of its own.

    Begin it after the last fork: threads do not come along. An application with an event loop
    takes `following`; gRPC wants one loop in a process.

    Args:
        router: As in `following`.
        target: As in `following`.
        keep: As in `following`.
        key: As in `following`.
        patience_s: As in `following`.

    Raises:
        InvalidValueError: As in `following`.
    """
    follower = _follower(router, target, keep, key)
    begun = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    stops: list[asyncio.Event] = []

    async def follow() -> None:
        loops.append(asyncio.get_running_loop())
        stops.append(asyncio.Event())
        listening = asyncio.create_task(follower.run())
        listening.add_done_callback(_tell_of_the_end)
        begun.set()
        await stops[0].wait()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening

    thread = threading.Thread(
        target=lambda: asyncio.run(follow()), name="foreshard-router", daemon=True
    )
    thread.start()
    begun.wait()
    try:
        for _ in range(round(patience_s / LOOK_S)):
            if router.table is not None:
                break
            time.sleep(LOOK_S)
        yield Following(follower)
    finally:
        loops[0].call_soon_threadsafe(stops[0].set)
        thread.join()


def _follower(router: Router, target: str, keep: Path | None, key: bytes) -> TableFollower:
    if not ADDRESS.fullmatch(target):
        raise InvalidValueError(f"target is {target!r}, must be host:port, such as 10.0.0.5:18000")
    if keep is not None and (keep / SERVES).exists():
        raise InvalidValueError(
            f"keep is {keep}, the data directory of a `foreshard serve`; give the application a "
            "directory of its own"
        )

    def hear(table: RoutingTable) -> None:
        router.swap(table)
        log.info("follows table %d", table.version)

    return TableFollower(target, Seal(key), heard=hear, say=_say, keep=keep)


def _say(what: str, because: str) -> None:
    if what == "heard":
        log.info("hears the control plane")
    else:
        log.warning("goes on with what it has; the control plane is %s: %s", what, because)


def _tell_of_the_end(listening: asyncio.Task[None]) -> None:
    """A fault of ours ends the feed, not the application; that must not go unsaid."""
    if not listening.cancelled() and (error := listening.exception()) is not None:
        log.error("follows no more, goes on with what it has", exc_info=error)
