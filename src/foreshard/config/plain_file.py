"""This module is a file that a person names, which may be none: a pipe, a device, a directory.

Reading one of those waits for ever or never ends, and to put a file in the place of a device is to
take the device away. So only what is a regular file is opened, or replaced.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

__all__ = ["open_plain", "place_of", "read_bytes"]


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


def place_of(path: Path) -> Path:
    """Where a file of that name is to be put; behind a link, the file that it leads to.

    Raises:
        OSError: Something is there that is no regular file.
    """
    try:
        place = path.resolve()
    except RuntimeError as error:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if place.exists() and not place.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return place
