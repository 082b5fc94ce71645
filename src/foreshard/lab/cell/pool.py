"""This module is a pool of connections: each request holds one, who finds none waits in line."""

from __future__ import annotations

import asyncio
from collections import deque

from foreshard.model.errors import InvalidValueError

__all__ = ["Pool"]


class Pool:
    """A fixed number of connections, some of which may have leaked away."""

    def __init__(self, *, size: int) -> None:
        if size < 1:
            raise InvalidValueError(f"pool: size is {size}, must be at least 1")
        self.size = size
        self._lost = 0
        self._held = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def used(self) -> int:
        """Connections that are held or lost, at most `size`."""
        return min(self.size, self._held + self._lost)

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._waiting)

    def try_acquire(self) -> bool:
        """Take a connection if one is free and nobody waits."""
        if self._waiting or self._held + self._lost >= self.size:
            return False
        self._held += 1
        return True

    async def acquire(self, *, timeout_s: float) -> bool:
        """Take a connection, waiting in line; False when none came in time."""
        if self.try_acquire():
            return True
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        expiry = loop.call_later(timeout_s, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.release()
            else:
                self._give_up(turn)
            raise
        finally:
            expiry.cancel()

    def release(self) -> None:
        """Put a connection back."""
        self._held -= 1
        self._hand_on()

    def lose(self, count: int) -> None:
        """Let so many connections be gone in all; fewer than before brings some back."""
        self._lost = min(count, self.size)
        self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting and self._held + self._lost < self.size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._held += 1
                turn.set_result(True)

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        if not turn.done():
            turn.set_result(False)
