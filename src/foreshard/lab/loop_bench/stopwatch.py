"""This module is where the time of a turn goes: each stage's own, without what it waits for.

Stages lie in one another (a push encodes messages); what an inner one takes is not the outer
one's. It is cpu time of this process, its threads included: what others do on the machine is no
part of it, and a turn on one core takes at least so long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import process_time
from typing import ParamSpec, TypeVar

__all__ = ["Stopwatch"]

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """Stages of turns, in milliseconds."""

    def __init__(self) -> None:
        self.turns: list[dict[str, float]] = []
        self._stages: list[str] = []
        self._since_s = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One turn; what is in no stage is `rest`."""
        self.turns.append({})
        with self.stage("rest"):
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage, inside a turn or another stage."""
        self._book()
        self._stages.append(name)
        try:
            yield
        finally:
            self._book()
            self._stages.pop()

    def timed(self, name: str, work: Callable[P, T]) -> Callable[P, T]:
        """The same work, as a stage."""

        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.stage(name):
                return work(*args, **kwargs)

        return wrapped

    def _book(self) -> None:
        now_s = process_time()
        if self._stages and self.turns:
            turn, stage = self.turns[-1], self._stages[-1]
            turn[stage] = turn.get(stage, 0.0) + 1e3 * (now_s - self._since_s)
        self._since_s = now_s
