"""This module is the last turns of the engine on the disk, whole: what replay is made of.

A segment is one file: a first state, then what each turn saw and decided. A line is packed by
itself, so that a killed process costs at most the line it was writing. The oldest segments make
room for the newest.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from foreshard.adapters.store.exact import WORDS, exact
from foreshard.model.errors import InvalidValueError, StoreError

__all__ = ["SUFFIX", "TurnFiles", "essence", "lines_of"]

SUFFIX = ".turns.gz"
MOST_BYTES = 32 * 1024 * 1024
SEGMENT_BYTES = 2 * 1024 * 1024
# A state of 10,000 cells is a few megabytes.
MOST_OF_A_LINE = 64 * 1024 * 1024
# Fast: the size is that of numbers, which pack badly whatever is tried.
PACKING = 1


def essence(decision: object) -> str:
    """What a decision is, without its words: equal for equal decisions."""
    document = json.dumps(_wordless(exact(decision)), separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()


def _wordless(document: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(document, dict):
        return {
            key: _wordless(item)
            for key, item in document.items()
            if key not in WORDS or not isinstance(item, str)
        }
    return [_wordless(item) for item in document] if isinstance(document, list) else document


def lines_of(
    packed: bytes, *, damaged: Callable[[str], None] = lambda _: None
) -> Iterator[Mapping[str, Any]]:
    """The lines of a segment, up to the first that a kill cut off or that is damaged.

    Args:
        packed: All of the file.
        damaged: Told why it ends before its end.
    """
    try:
        with gzip.open(BytesIO(packed)) as file:
            # A few bytes of a foreign file may unpack to any length.
            while line := file.readline(MOST_OF_A_LINE):
                if len(line) == MOST_OF_A_LINE:
                    damaged(f"a line is longer than {MOST_OF_A_LINE} bytes")
                    return
                value = json.loads(line)
                if not isinstance(value, dict):
                    damaged("a line is no JSON object")
                    return
                yield value
    except (EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
        damaged(f"{type(error).__name__}: {error}")


class TurnFiles:
    """Segments in one directory; one process writes.

    Args:
        directory: Made when it is missing.
        most_bytes: Of all segments together.
    """

    def __init__(self, directory: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._path: Path | None = None

    @property
    def is_full(self) -> bool:
        """Whether the next line should begin a new segment."""
        try:
            return self._path is None or self._path.stat().st_size >= SEGMENT_BYTES
        except OSError:
            return True

    def begin(self, head: Mapping[str, object], *, at_s: float) -> None:
        """Begin a segment.

        Raises:
            StoreError: It cannot be written.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room()
        except OSError as error:
            raise StoreError(f"turns {self._directory}: {error}") from error
        self._path = self._directory / f"{at_s:.3f}{SUFFIX}"
        self.add(head)

    def add(self, line: Mapping[str, object]) -> None:
        """Add a line to the segment.

        Raises:
            StoreError: It cannot be written, or holds what has no exact form.
        """
        assert self._path is not None  # noqa: S101 - begin comes first
        try:
            document = {key: exact(value) for key, value in line.items()}
            text = json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"
            with self._path.open("ab") as file:
                file.write(gzip.compress(text.encode(), PACKING, mtime=0))
        except (OSError, InvalidValueError) as error:
            raise StoreError(f"turns {self._path}: {error}") from error

    def essence(self, decision: object) -> str:
        """See `essence`."""
        return essence(decision)

    def _make_room(self) -> None:
        segments = sorted(self._directory.glob(f"*{SUFFIX}"))
        sizes = [path.stat().st_size for path in segments]
        excess = sum(sizes) + SEGMENT_BYTES - self._most_bytes
        for path, size in zip(segments, sizes, strict=True):
            if excess <= 0:
                return
            path.unlink()
            excess -= size
