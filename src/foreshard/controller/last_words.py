"""This module is where a child speaks when its log takes no more: to its parent's own stderr.

A disk that is full must not hide why a process died on it. Before a child is started its log is
tried; while it runs it keeps a spare way, which it uses for what the log refuses. Nobody ever
waits for anybody to read.
"""

from __future__ import annotations

import errno
import os
import select
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

__all__ = ["SPARE_VARIABLE", "has_room", "speak"]

SPARE_VARIABLE = "FORESHARD_SPARE_STDERR"
"""Number of the open file that leads to the parent's standard error."""
# A start and a traceback.
NEEDED_BYTES = 64 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
# As much as a pipe takes at once or not at all (pipe(7), PIPE_BUF).
MOST_BYTES = 4096


def has_room(log: Path) -> bool:
    """Whether a log takes some more; it is made if it is missing.

    What else may be wrong with it shows when it is opened.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        return error.errno not in FULL
    try:
        seen = os.fstat(file)
        if not S_ISREG(seen.st_mode):
            return False
        # Room is taken and given back: nobody writes there between two lives of a child.
        os.posix_fallocate(file, seen.st_size, NEEDED_BYTES)
        os.ftruncate(file, seen.st_size)
    except OSError as error:
        return error.errno not in FULL
    finally:
        os.close(file)
    return True


def speak(words: bytes) -> None:
    """Say on the parent's standard error what the log refused; of a long speech the end."""
    with suppress(OSError, ValueError):
        spare = int(os.environ.get(SPARE_VARIABLE, ""))
        if select.select([], [spare], [], 0.0)[1]:
            os.write(spare, words[-MOST_BYTES:])
