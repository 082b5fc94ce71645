"""This module is an ear on a child's log: what it writes from now on is said again by us.

The file is the record; this is a courtesy to whoever looks at the terminal. It never holds the
child up (there is no pipe that could fill), and when it falls behind it skips and says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

__all__ = ["FILE_VARIABLE", "FORMAT_VARIABLE", "Follower", "follow"]

log = structlog.get_logger(__name__)

FORMAT_VARIABLE = "FORESHARD_LOG_FORMAT"
FILE_VARIABLE = "FORESHARD_LOG_FILE"

LOOK_S = 0.2
# More in one look is a flood: the file has it all.
MOST_BYTES = 256 * 1024
# Said every few seconds when all goes well.
COMMONPLACE = frozenset({"traffic.followed"})
LEVELS = logging.getLevelNamesMapping()


class Follower:
    """New lines of a file that grows, and that is put aside and begun anew now and then."""

    def __init__(self, path: Path) -> None:
        """Begin at the end of what is there."""
        self._path = path
        self._file: int | None = None
        self._rest = b""
        self._open(at_end=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def lines(self) -> Iterator[str]:
        """Whole lines since the call before."""
        if self._file is None:
            self._open(at_end=False)
        if self._file is None:
            return
        yield from self._read(self._file)
        if self._is_aside(self._file):
            yield from self._read(self._file)
            self.close()
            self._open(at_end=False)
            if self._file is not None:
                yield from self._read(self._file)

    def _open(self, *, at_end: bool) -> None:
        try:
            self._file = os.open(self._path, os.O_RDONLY)
        except OSError:
            return
        self._rest = b""
        if at_end:
            os.lseek(self._file, 0, os.SEEK_END)

    def _is_aside(self, file: int) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(file).st_ino
        except OSError:
            return False

    def _read(self, file: int) -> Iterator[str]:
        behind = os.fstat(file).st_size - os.lseek(file, 0, os.SEEK_CUR)
        if behind > MOST_BYTES:
            os.lseek(file, -MOST_BYTES, os.SEEK_END)
            self._rest = b""
            yield f"({behind - MOST_BYTES} bytes are skipped here; {self._path} has them)"
        *whole, self._rest = (self._rest + os.read(file, MOST_BYTES)).split(b"\n")
        for line in whole:
            if line.strip():
                yield line.decode(errors="replace")


async def follow(path: Path, *, process: str) -> None:
    """Say again what a process writes into its log, until cancelled."""
    follower = Follower(path)
    try:
        while True:
            for line in follower.lines():
                _say(line, process)
            await asyncio.sleep(LOOK_S)
    finally:
        for line in follower.lines():
            _say(line, process)
        follower.close()


def _say(line: str, process: str) -> None:
    fields = _fields(line)
    if fields is None:
        log.warning("process.said", process=process, text=line)
        return
    event = str(fields.pop("event"))
    level = LEVELS.get(str(fields.pop("level", "info")).upper(), logging.INFO)
    if event not in COMMONPLACE:
        log.log(level, event, **{**fields, "process": process})


def _fields(line: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None
