"""This module is how much memory a process and all it started hold, read from the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["resident_mb"]


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its descendants, in MiB; 0 when it has ended.

    Pages that processes share count once for each.
    """
    pages = sum(_pages(each) for each in _tree(pid))
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return
    for child in children:
        yield from _tree(int(child))


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
