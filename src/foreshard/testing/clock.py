"""This module is time that passes only when somebody waits for it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

__all__ = ["FakeClock"]

# A task that was woken may need a few turns of the event loop (gather, queues, other fakes)
# before it sleeps again; until then the next sleeper must not move time on.
SETTLING_TURNS = 50


class FakeClock:
    """Virtual time: `sleep` moves it, to the earliest sleeper first.

    Everything between two sleeps takes no time, as long as it stays on the event loop: work in
    threads or on sockets is not waited for. Sleepers of the same moment wake in the order in
    which they went to sleep, so a run is repeatable.

    Args:
        start_s: The first moment, seconds since the epoch.

    Example:
        >>> clock = FakeClock(start_s=100.0)
        >>> asyncio.run(clock.sleep(3600.0))
        >>> clock.now_s()
        3700.0
    """

    def __init__(self, start_s: float = 1_000_000.0) -> None:
        self._now_s = start_s
        self._order = count()
        self._sleepers: list[tuple[float, int]] = []

    def now_s(self) -> float:
        """The present moment."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move time on by hand; >= 0.

        Raises:
            ValueError: Time would run backwards.
        """
        if seconds < 0.0:
            raise ValueError(f"clock: cannot advance by {seconds} s, must be 0 or more")
        self._now_s += seconds

    async def sleep(self, seconds: float) -> None:
        """Return when that much virtual time has passed; 0 or less only lets others run."""
        me = (self._now_s + max(0.0, seconds), next(self._order))
        heapq.heappush(self._sleepers, me)
        try:
            await self._turn(me)
            self._now_s = max(self._now_s, me[0])
        finally:
            self._sleepers.remove(me)
            heapq.heapify(self._sleepers)

    async def _turn(self, me: tuple[float, int]) -> None:
        """Return once nobody else has anything to do before `me`."""
        seen, calm = -1, 0
        while calm < SETTLING_TURNS:
            await asyncio.sleep(0)
            state = hash(tuple(self._sleepers))
            calm = calm + 1 if self._sleepers[0] == me and state == seen else 0
            seen = state
