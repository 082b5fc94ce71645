"""This module is a file that a crash leaves old or new, never half: replaced whole, by name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["replace_file"]


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
