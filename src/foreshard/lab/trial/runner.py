"""This module is the matrix being played: both cores at work, nothing played twice.

What is finished is a file, so a matrix that was interrupted goes on where it was. A run that
fails is told and leaves a hole; the others are played.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from foreshard.lab.trial.task import Task
from foreshard.model.errors import ForeshardError

__all__ = ["Ended", "attempt", "missing", "played"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One run that is over.

    Attributes:
        task: Which.
        because: Why it failed; "" = it did not.
    """

    task: Task
    because: str = ""


def missing(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Those whose record is not there yet, each record once, in order."""
    wanted = {task.path: task for task in reversed(tasks)}
    return tuple(t for t in tasks if wanted.pop(t.path, None) is not None and not t.path.exists())


def played(tasks: Sequence[Task], play: Callable[[Task], None], *, jobs: int) -> Iterator[Ended]:
    """Play, and tell of each run as it ends.

    Args:
        tasks: What is missing.
        play: Plays one and writes its record; known by name to other processes.
        jobs: Processes; with one, everything happens in this one.
    """
    if jobs <= 1:
        for task in tasks:
            yield attempt(play, task)
        return
    with _workers(jobs) as workers:
        futures: list[Future[Ended]] = [workers.submit(attempt, play, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()


def attempt(play: Callable[[Task], None], task: Task) -> Ended:
    """Play one; what Foreshard raises on purpose is told, a bug ends the matrix."""
    try:
        play(task)
    except ForeshardError as error:
        return Ended(task=task, because=str(error))
    return Ended(task=task)


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes (`spawn`), that begin nothing more once this one is interrupted."""
    workers = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_go_quietly)
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def _go_quietly() -> None:
    """A worker that is interrupted ends at once and says nothing: the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
