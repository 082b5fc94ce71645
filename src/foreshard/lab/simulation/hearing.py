"""This module is an ear for what a run logs: kept in memory, and kept from everybody's log.

structlog's configuration is one for the whole process. A run puts one processor in front of what
is configured and takes it away afterwards; it touches only lines of its own context, so whoever
logs beside the run (another thread, a command line) is written as before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.typing import WrappedLogger

__all__ = ["heard"]

# The last lines are the ones that explain an end.
KEPT_LINES = 500

Line = dict[str, str | float]
LISTENER: ContextVar[object] = ContextVar("foreshard_lab_listener")


@contextmanager
def heard(now_s: Callable[[], float]) -> Iterator[deque[Line]]:
    """Keep the last lines that are logged inside the block, and write none of them.

    Tasks that are started inside the block are inside it.

    Args:
        now_s: Tells a line's moment.
    """
    kept: deque[Line] = deque(maxlen=KEPT_LINES)

    def keep(
        _: WrappedLogger, level: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if LISTENER.get(None) is not kept:
            return event
        said = {
            key: value if isinstance(value, str) else str(value) for key, value in event.items()
        }
        kept.append({"at_s": now_s(), "level": level, **said})
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    processors.insert(0, keep)
    token = LISTENER.set(kept)
    try:
        yield kept
    finally:
        LISTENER.reset(token)
        processors.remove(keep)
