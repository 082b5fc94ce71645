"""This module is the record read back: for `why`, beside a live writer or after its death."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foreshard.adapters.store.decision_json import text_of
from foreshard.adapters.store.intent import spans_in
from foreshard.adapters.store.schema import (
    FILE_NAME,
    INTENTS_SINCE,
    open_reader,
    translated,
    version_of,
)
from foreshard.model.errors import StoreError
from foreshard.model.plan import IntentSpan

__all__ = ["SqliteReader", "pack", "unpack"]

# Below this, packing saves less than a page.
PACK_ABOVE_BYTES = 2048

_ROWS = """
SELECT d.kind, d.first_s, d.last_s, d.times, d.id = d.frame, d.body, f.body
FROM subject AS s JOIN decision AS d ON d.id = s.decision LEFT JOIN decision AS f ON f.id = d.frame
WHERE s.name = ? ORDER BY s.decision DESC LIMIT ?
"""

_RECENT = """
SELECT d.id, d.kind, d.first_s, d.last_s, d.times, d.id = d.frame, d.body, f.body
FROM decision AS d LEFT JOIN decision AS f ON f.id = d.frame
WHERE d.id < ? ORDER BY d.id DESC LIMIT 64
"""


def pack(value: Mapping[str, Any]) -> str | bytes:
    """JSON text of a mapping, with dataclasses in it or not, deflated when it is long.

    Raises:
        InvalidValueError: Something in it has no JSON form.
    """
    text = text_of(value)
    return zlib.compress(text.encode(), 1) if len(text) > PACK_ABOVE_BYTES else text


def unpack(body: str | bytes) -> dict[str, Any]:
    """What `pack` packed.

    Raises:
        StoreError: It is damaged.
    """
    try:
        value = json.loads(zlib.decompress(body) if isinstance(body, bytes) else body)
    except (zlib.error, ValueError) as error:
        raise StoreError(f"a kept decision is damaged: {error}") from error
    if not isinstance(value, dict):
        raise StoreError(f"a kept decision is damaged: it is a {type(value).__name__}")
    return value


class SqliteReader:
    """The read half of the store; close it when done, a reader holds the log back.

    A record has `decision` (the fields of `Decision`; `routing` has a `kind`), `inputs` (what
    it saw) and `kept`: when it was made with these reasons, from `first_s` to `last_s`, how
    many `times`, and `is_frame`, whether it was kept whole. One that was not has the `plan`
    of its key frame and empty `inputs`; its texts and figures are those of `last_s`.
    """

    def __init__(self, directory: Path, *, connection: sqlite3.Connection | None = None) -> None:
        """Open the store of a data directory for reading.

        Args:
            directory: Where `SqliteStore` writes.
            connection: An open one to use instead.

        Raises:
            StoreError: There is no store, or it is damaged, newer or not ours.
        """
        self._path = directory / FILE_NAME
        self._connection = connection or open_reader(self._path)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice is fine."""
        with self._lock, translated(self._path):
            self._connection.close()

    def latest(self, cell: str) -> Mapping[str, Any] | None:
        """See `StateStore.latest`.

        Raises:
            StoreError: The file cannot be read.
        """
        found = self.history(cell, limit=1)
        return found[0] if found else None

    def history(self, cell: str, *, limit: int = 20) -> tuple[Mapping[str, Any], ...]:
        """Kept decisions that have a reason about a cell (or "fleet"), newest first.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._lock, translated(self._path):
            rows = self._connection.execute(_ROWS, (cell, limit)).fetchall()
        return tuple(_record(*row) for row in rows)

    def recent(self) -> Iterator[Mapping[str, Any]]:
        """All kept decisions, newest first, read as they are asked for.

        Raises:
            StoreError: The file cannot be read.
        """
        before = sys.maxsize
        while True:
            with self._lock, translated(self._path):
                rows = self._connection.execute(_RECENT, (before,)).fetchall()
            if not rows:
                return
            for row, *record in rows:
                yield _record(*record)
                before = row

    def intents(self) -> tuple[IntentSpan, ...]:
        """What forecasts asked for and what of it was withheld, by when it began.

        Raises:
            StoreError: The file cannot be read, or is of a Foreshard that kept none.
        """
        with self._lock, translated(self._path):
            version = version_of(self._connection, self._path) or 0
            if version < INTENTS_SINCE:
                raise StoreError(
                    f"store {self._path}: has schema {version}, of a Foreshard that did not keep "
                    "what forecasts ask for; the engine of this one brings it up to date when it "
                    "starts (foreshard run)"
                )
            return spans_in(self._connection)

    def get(self, key: str) -> Mapping[str, Any] | None:
        """See `StateStore.get`.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._lock, translated(self._path):
            row = self._connection.execute(
                "SELECT value FROM state WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else unpack(row[0])


def _record(
    kind: str,
    first_s: float,
    last_s: float,
    times: int,
    is_frame: int,
    body: str | bytes,
    frame: str | bytes | None,
) -> Mapping[str, Any]:
    record = unpack(body)
    decision = record["decision"]
    if "plan" not in decision:
        # The frame may have been dropped by retention while its last repeat was not.
        decision["plan"] = {"splits": {}} if frame is None else unpack(frame)["decision"]["plan"]
    record["kept"] = {
        "kind": kind,
        "first_s": first_s,
        "last_s": last_s,
        "times": times,
        "is_frame": bool(is_frame),
    }
    return record
