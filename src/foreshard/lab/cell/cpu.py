"""This module is a few cpus and one line before them: exact, and told the time.

The demo's cells are many and the machine's cores few, so a cell does not burn cpu: a request
is told when its work would be finished and sleeps until then. Because the next start depends
on *computed* finishes and never on when a sleeper really woke, late timers cannot shrink the
capacity.
"""

from __future__ import annotations

from heapq import heapify, heapreplace

from foreshard.model.errors import InvalidValueError

__all__ = ["CpuQueue"]


class CpuQueue:
    """First come, first served on `servers` equal cpus.

    >>> queue = CpuQueue(servers=1)
    >>> queue.offer(10.0, busy_s=2.0), queue.offer(11.0, busy_s=2.0)
    (12.0, 14.0)
    >>> queue.busy_s(11.5)
    1.5
    """

    def __init__(self, *, servers: int) -> None:
        if servers < 1:
            raise InvalidValueError(f"cpu queue: servers is {servers}, must be at least 1")
        self._free_at_s = [float("-inf")] * servers
        heapify(self._free_at_s)
        self._committed_s = 0.0

    def offer(self, now_s: float, *, busy_s: float) -> float:
        """Put work in the line and return when it will be finished.

        Args:
            now_s: Never earlier than in the call before.
            busy_s: How long it keeps one cpu busy; >= 0.
        """
        finish_s = max(now_s, self._free_at_s[0]) + busy_s
        heapreplace(self._free_at_s, finish_s)
        self._committed_s += busy_s
        return finish_s

    def busy_s(self, now_s: float) -> float:
        """Cpu seconds really spent until now; never grows faster than `servers` a second.

        Whatever lies ahead of `now_s` on a cpu is one unbroken stretch of work that ends when
        the cpu falls free, so what is spent is what was promised less those stretches.
        """
        ahead_s = sum(free_s - now_s for free_s in self._free_at_s if free_s > now_s)
        return self._committed_s - ahead_s

    def wait_s(self, now_s: float) -> float:
        """How long work that arrived now would wait before it starts."""
        return max(0.0, self._free_at_s[0] - now_s)
