"""This module is how long something takes, for benchmarks that print it line by line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["say", "took"]


def took(work: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """Least cpu and wall seconds, after one run that is not counted."""
    work()
    figures = []
    for _ in range(repetitions):
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        work()
        figures.append((time.process_time() - cpu_s, time.perf_counter() - wall_s))
    return min(c for c, _ in figures), min(w for _, w in figures)


def say(line: str) -> None:
    """One line to the standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
