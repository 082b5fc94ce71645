"""This module is real time and a real thread, behind the ports that the lab replaces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["InlineExecutor", "SystemClock", "ThreadExecutor"]

T = TypeVar("T")


class SystemClock:
    """The wall clock, except that it never runs backwards.

    Ages and cooldowns are differences of this clock: a wall clock that is set back would make
    stale data fresh. After a step back it goes on at the pace of the monotonic clock until
    the process restarts; a step forward (a resumed machine) is followed at once.
    """

    def __init__(
        self,
        *,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start a clock from the two that the system has."""
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._offset_s = wall_s() - monotonic_s()

    def now_s(self) -> float:
        """Seconds since the epoch; never less than the call before."""
        monotonic_s = self._monotonic_s()
        self._offset_s = max(self._offset_s, self._wall_s() - monotonic_s)
        return monotonic_s + self._offset_s

    async def sleep(self, seconds: float) -> None:
        """Let that much real time pass; 0 or less only yields to other tasks."""
        await asyncio.sleep(max(0.0, seconds))


class ThreadExecutor:
    """One worker thread: work runs in the order it was handed in, beside the event loop."""

    def __init__(self, *, name: str = "foreshard-worker") -> None:
        """Prepare the thread; it starts with the first piece of work."""
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` on the thread and return what it returns, or raise what it raises.

        Cancelling drops work that has not begun; work that has begun runs to its end.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Drop waiting work and wait for the piece that runs; twice is fine."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class InlineExecutor:
    """Runs work where it is called: for the lab, where nothing else could use the time."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` now and return what it returns, or raise what it raises."""
        return work()

    def close(self) -> None:
        """Nothing is held; there for symmetry with `ThreadExecutor`."""
