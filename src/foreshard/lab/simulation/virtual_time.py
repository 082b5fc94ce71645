"""This module is time that costs nothing: an event loop that jumps from one timer to the next.

Nothing outside the process can happen on it. Whoever opens a socket, starts a thread or waits
for something that no timer will bring gets a `LabError` that names it, instead of a run that
hangs, or that depends on the machine it ran on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from selectors import BaseSelector, SelectorKey
from typing import Any, TypeVar, TypeVarTuple

from foreshard.model.errors import LabError

__all__ = ["VirtualClock", "VirtualExecutor", "VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Turns of the loop at one moment. A policy of thousands of tasks needs some dozens; more is a
# task that asks again and again for what only time can bring.
MOST_TURNS = 100_000
# Waiting tasks that an error names.
NAMED = 5


class _Leap(BaseSelector):
    """A selector that nobody can wait on: asked to wait, it moves time instead."""

    def __init__(self, leap: Callable[[float | None], None]) -> None:
        self._leap = leap
        self._keys: dict[int, SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:  # noqa: ANN401 - the signature of its base
        """Take in the loop's own wake-up pipe, which is the first; refuse all else."""
        if self._keys:
            raise LabError(
                "virtual time: something waits for a socket or a pipe, and nothing outside the "
                "run can happen in it; use the stage's ports"
            )
        key = SelectorKey(fileobj, _descriptor(fileobj), events, data)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:  # noqa: ANN401 - the signature of its base
        """Let the pipe go."""
        return self._keys.pop(_descriptor(fileobj))

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Move time on; nothing is ever ready."""
        self._leap(timeout)
        return []

    def get_map(self) -> Mapping[Any, SelectorKey]:
        """What is registered, by file descriptor."""
        return self._keys


def _descriptor(file: Any) -> int:  # noqa: ANN401 - a number, or whatever has one
    return file if isinstance(file, int) else int(file.fileno())


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is virtual.

    Timers of the same moment run in an order that is the same in every run (asyncio's heap has
    no other promise), so a run is the same to the bit as long as nobody in it asks the real
    world for anything.

    Args:
        start_s: The first moment.
        advance: Called with the moment that time jumps to, before anything of it runs.
    """

    def __init__(
        self, *, start_s: float = 0.0, advance: Callable[[float], None] = lambda _: None
    ) -> None:
        self._virtual_s = start_s
        self._advance = advance
        self._turns = 0
        super().__init__(_Leap(self._leap))
        # What lies closer together is one moment: a timer must be due at the very double it
        # names, also where doubles are coarser than the nanosecond of the system's clock.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """The present virtual moment, seconds."""
        return self._virtual_s

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Refuse: a thread keeps real time.

        Raises:
            LabError: Always.
        """
        name = getattr(func, "__qualname__", str(func))
        raise LabError(
            f"virtual time: {name} was to run on a thread, which keeps real time; use the "
            "stage's executor"
        )

    def _leap(self, timeout: float | None) -> None:
        """Move to the next timer.

        Args:
            timeout: Seconds until it; 0 = something is ready now, None = there is none.
        """
        if timeout is None:
            raise LabError(f"virtual time: nothing will ever happen; {_waiting(self)}")
        if timeout <= 0.0:
            self._turns += 1
            if self._turns > MOST_TURNS:
                raise LabError(
                    f"virtual time: stood still at {self._virtual_s:g} s for {MOST_TURNS} turns "
                    f"of the loop; {_waiting(self)}"
                )
            return
        self._turns = 0
        self._virtual_s += timeout
        self._advance(self._virtual_s)


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    """Who waits, and where, in words that are the same on every machine."""
    places = sorted(_place(task) for task in asyncio.all_tasks(loop))
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return f"waiting: {', '.join(places[:NAMED]) or 'nobody'}{more}"


def _place(task: asyncio.Task[Any]) -> str:
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", "?")
    while (inner := getattr(coroutine, "cr_await", None)) is not None and hasattr(
        inner, "cr_frame"
    ):
        coroutine = inner
    frame = getattr(coroutine, "cr_frame", None)
    where = f" in {coroutine.__qualname__}, line {frame.f_lineno}" if frame is not None else ""
    return f"{name}{where}"


class VirtualClock:
    """The `Clock` of a virtual loop.

    Args:
        loop: Whose time it tells.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_s(self) -> float:
        """The present moment."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let that much virtual time pass; 0 or less only yields to other tasks."""
        await asyncio.sleep(max(0.0, seconds))


class VirtualExecutor:
    """The `Executor` of a virtual loop: computes at once, and answers later.

    What is handed in while something is being computed waits for its turn, as it would for
    the one worker thread of the real engine.

    Args:
        clock: Whose time it takes.
        delay_s: Virtual time that a piece of work takes; >= 0, finite.
    """

    def __init__(self, clock: VirtualClock, *, delay_s: float) -> None:
        if not 0.0 <= delay_s < math.inf:
            raise LabError(f"virtual executor: delay_s is {delay_s}, must be 0 or more")
        self._clock = clock
        self._delay_s = delay_s
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` and return what it returns, or raise what it raises, after the delay."""
        async with self._turn:
            try:
                return work()
            finally:
                # Good or bad, the answer is as late as the work is long.
                await self._clock.sleep(self._delay_s)
