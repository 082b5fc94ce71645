"""This module is a file that a crash leaves old or new, never half: replaced whole, by name.

What is read back is a file too: a pipe in its place would be waited for, a device read for ever.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISREG

__all__ = ["read_file", "replace_file"]

# A table of 10,000 cells and 4,096 slots a class has a few megabytes.
MOST_BYTES = 256 * 1024 * 1024


def read_file(path: Path) -> bytes:
    """What a file holds.

    Raises:
        OSError: It cannot be read, or is none of ours: no regular file, or one that is too large.
    """
    seen = path.stat()
    if not S_ISREG(seen.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if seen.st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES} bytes", str(path))
    return path.read_bytes()


def replace_file(path: Path, content: bytes, *, previous: Path | None = None) -> None:
    """Put content in the place of a file, durably; blocks for as long as the disk takes.

    Args:
        path: The file; need not exist.
        content: All of it.
        previous: Gets what was there before.

    Raises:
        OSError: The disk refuses; the file and the one before are as they were.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    # Only now, or a full disk would cost the one before as well.
    if previous is not None and path.exists():
        # A second name for the same bytes, which are on the disk already.
        aside = previous.with_name(f"{previous.name}.new")
        aside.unlink(missing_ok=True)
        aside.hardlink_to(path)
        aside.replace(previous)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
