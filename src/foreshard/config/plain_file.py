"""This module is a file that a person names, which may be none: a pipe, a device, a directory.

Reading one of those waits for ever or never ends, so only what is a regular file is opened.
"""

from __future__ import annotations

import errno
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

__all__ = ["open_plain", "read_bytes"]


def open_plain(path: Path) -> BinaryIO:
    """A regular file, open for reading.

    Raises:
        OSError: It is none, or cannot be read.
    """
    if not S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.open("rb")


def read_bytes(path: Path, *, most: int) -> bytes:
    """The first bytes of a regular file, at most so many.

    Raises:
        OSError: It is none, or cannot be read.
    """
    with open_plain(path) as file:
        return file.read(most)
