"""This module is the memory of a cell: real pages of this process, measured as the kernel does.

Leaks and garbage are mapped page by page and touched, past the allocator: its free lists, still
resident from the imports, would swallow the first megabytes unseen. What requests hold comes
from the allocator; with `HEAP_ENVIRONMENT` set before the process starts, glibc gives larger
blocks back to the kernel when they are freed, without it they would stay resident.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

from foreshard.model.errors import InvalidValueError

__all__ = ["HEAP_ENVIRONMENT", "Heap", "rss_bytes"]

BLOCK_BYTES: Final = 64 * 1024
HEAP_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MALLOC_MMAP_THRESHOLD_": str(BLOCK_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(2 * BLOCK_BYTES),
        "MALLOC_MMAP_MAX_": "1000000",
        "MALLOC_ARENA_MAX": "1",
    }
)
# Garbage that a collector would let stand for a while: up to 3 % of the demo's room.
GARBAGE_BYTES: Final = (1_000_000, 3_000_000)
GARBAGE_STEP_BYTES: Final = (BLOCK_BYTES, 4 * BLOCK_BYTES)
GARBAGE_STEP_P: Final = 0.15
STATM: Final = Path("/proc/self/statm")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def rss_bytes() -> int:
    """Resident set size of this process, in bytes."""
    return int(STATM.read_bytes().split()[1]) * PAGE_BYTES


class Heap:
    """Memory that may grow by `room_bytes` over what the process has now.

    Args:
        room_bytes: > 0.
        seed: Of the wobble; the same on both fleets' twins.
        measure: Tells the bytes in use.
    """

    def __init__(
        self, *, room_bytes: int, seed: str, measure: Callable[[], int] = rss_bytes
    ) -> None:
        if room_bytes <= 0:
            raise InvalidValueError(f"heap: room_bytes is {room_bytes}, must be > 0")
        self._measure = measure
        self._random = Random(seed)
        self._leaked: list[mmap.mmap] = []
        self._leaked_bytes = 0
        self._garbage: list[mmap.mmap] = []
        self._garbage_bytes = 0
        self._collect_at_bytes = self._random.randint(*GARBAGE_BYTES)
        self.limit_bytes = measure() + room_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes in use now."""
        return self._measure()

    @property
    def room_bytes(self) -> int:
        """Bytes left to the limit; 0 when it is passed."""
        return max(0, self.limit_bytes - self._measure())

    @property
    def leaked_bytes(self) -> int:
        """Bytes that nothing but `forgive` frees."""
        return self._leaked_bytes

    def leak_to(self, target_bytes: float) -> None:
        """Leak until about that much is leaked, in uneven steps, as a busy process would."""
        missing = target_bytes - self._leaked_bytes
        if missing < BLOCK_BYTES:
            return
        step = max(BLOCK_BYTES, int(missing * self._random.uniform(0.4, 1.0)))
        self._leaked.append(_pages(step))
        self._leaked_bytes += step

    def forgive(self) -> None:
        """Give everything leaked back."""
        self._leaked.clear()
        self._leaked_bytes = 0

    def breathe(self) -> None:
        """Make some garbage, or collect it: a wobble that no request causes."""
        if self._random.random() > GARBAGE_STEP_P:
            return
        step = self._random.randint(*GARBAGE_STEP_BYTES)
        self._garbage.append(_pages(step))
        self._garbage_bytes += step
        if self._garbage_bytes > self._collect_at_bytes:
            self._garbage.clear()
            self._garbage_bytes = 0
            self._collect_at_bytes = self._random.randint(*GARBAGE_BYTES)


def _pages(size_bytes: int) -> mmap.mmap:
    """Fresh memory of which every page is resident."""
    block = mmap.mmap(-1, size_bytes)
    block[::PAGE_BYTES] = b"\1" * len(range(0, size_bytes, PAGE_BYTES))
    return block
