"""This module is the file of editions, tokens and questions: written by many, never half.

It stands apart from the record of decisions, which one process writes and which is put aside when
it is damaged: what a person defined must outlive that. Every change is one transaction that is on
the disk (`synchronous = FULL`) before anybody hears of it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foreshard.adapters.store.schema import translated
from foreshard.model.errors import StoreError

__all__ = ["CatalogueFile"]

FILE_NAME = "catalogue.sqlite"
SCHEMA_VERSION = 1
# "4shc".
APPLICATION_ID = 0x34736863
# A writer waits so long for another one.
PATIENCE_S = 5.0

_SCHEMA = """
CREATE TABLE edition (
    version INTEGER PRIMARY KEY,
    at_s REAL NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    base TEXT NOT NULL,
    document TEXT
);
CREATE TABLE deed (
    id INTEGER PRIMARY KEY,
    at_s REAL NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    version INTEGER
);
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    created_s REAL NOT NULL,
    expires_s REAL,
    revoked_s REAL
) WITHOUT ROWID;
CREATE TABLE question (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    asked_s REAL NOT NULL,
    body TEXT NOT NULL,
    answer TEXT
);
"""


class CatalogueFile:
    """One open file; calls may come from any thread, one at a time. Close it when done.

    Args:
        directory: Made when it is missing.
        patience_s: How long to wait for another process that writes.

    Raises:
        StoreError: It is damaged, newer than this Foreshard, not ours, or not writable.
    """

    def __init__(self, directory: Path, *, patience_s: float = PATIENCE_S) -> None:
        self.path = directory / FILE_NAME
        self._lock = threading.RLock()
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(
                f"store {self.path}: directory cannot be made: {error.strerror}"
            ) from error
        with translated(self.path):
            self._db = sqlite3.connect(
                self.path, timeout=patience_s, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @staticmethod
    def is_in(directory: Path) -> bool:
        """Whether there is one, as far as one may look."""
        try:
            return (directory / FILE_NAME).exists()
        except OSError:
            return False

    def close(self) -> None:
        """Close it; twice is fine."""
        with self._lock, translated(self.path):
            self._db.close()

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query finds.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._lock, translated(self.path):
            return self._db.execute(query, values).fetchall()

    def write(self, query: str, values: Sequence[object] = ()) -> int:
        """Change rows; how many were. Inside `transaction`, or by itself.

        Raises:
            StoreError: The file cannot be written.
        """
        with self._lock, translated(self.path):
            return self._db.execute(query, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside the block is kept, or nothing of it.

        Raises:
            StoreError: The file cannot be written, or another process writes for too long.
        """
        with self._lock, translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _prepare(self) -> None:
        version = self._version()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version is None:
            # Several processes may find the file empty.
            with self.transaction():
                if self._version() is None:
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self) -> int | None:
        tables = int(self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        mark = int(self._db.execute("PRAGMA application_id").fetchone()[0])
        if not tables and not version and not mark:
            return None
        if mark != APPLICATION_ID:
            raise StoreError(f"store {self.path}: is another program's file; move it away")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"store {self.path}: has schema {version}, this Foreshard knows up to "
                f"{SCHEMA_VERSION}; run a newer Foreshard, or move the file away"
            )
        return version
