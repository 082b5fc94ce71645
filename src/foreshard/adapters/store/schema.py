"""This module is how the file is opened: format, settings, and what is refused.

A file of a newer Foreshard is refused rather than guessed at; a damaged one is refused rather
than overwritten, because it is the only record of what was decided.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from foreshard.model.errors import StoreError

__all__ = [
    "FILE_NAME",
    "INTENTS_SINCE",
    "PAGE_BYTES",
    "SCHEMA_VERSION",
    "WAL_BYTES",
    "NewerStoreError",
    "newer_state",
    "open_reader",
    "open_writer",
    "translated",
    "version_of",
]

FILE_NAME = "foreshard.sqlite"
SCHEMA_VERSION = 2
# Files of older schemata have no table of intents.
INTENTS_SINCE = 2
# "4sha": tells our files from any other SQLite file.
APPLICATION_ID = 0x34736861
# The write-ahead log is checkpointed, and cut back, at this size.
WAL_BYTES = 1024 * 1024
PAGE_BYTES = 4096
# Somebody else holds the file for as long as a checkpoint takes; longer is a second writer.
BUSY_S = 0.25

_INTENTS = """
CREATE TABLE intent (
    hour INTEGER NOT NULL,
    cell TEXT NOT NULL,
    class TEXT NOT NULL,
    acted INTEGER NOT NULL,
    propensity REAL NOT NULL,
    first_s REAL NOT NULL,
    last_s REAL NOT NULL,
    p REAL NOT NULL,
    PRIMARY KEY (hour, cell, class, acted, propensity)
) WITHOUT ROWID
"""

# What makes a file of version N one of N + 1; one script each. The table `state` never changes:
# an older Foreshard that meets a newer file still takes its memory from there.
MIGRATIONS: Mapping[int, str] = {1: _INTENTS}

_SCHEMA = f"""
CREATE TABLE decision (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    first_s REAL NOT NULL,
    last_s REAL NOT NULL,
    times INTEGER NOT NULL,
    frame INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE subject (
    name TEXT NOT NULL,
    decision INTEGER NOT NULL,
    PRIMARY KEY (name, decision)
) WITHOUT ROWID;
CREATE INDEX subject_decision ON subject (decision);
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
{_INTENTS};
"""


class NewerStoreError(StoreError):
    """The file was written by a newer Foreshard."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a `StoreError` that names the file and the way out."""
    try:
        yield
    except PermissionError as error:
        raise StoreError(
            f"store {path}: you may not look there; ask as the user that Foreshard runs as "
            "(sudo -u)"
        ) from error
    except sqlite3.ProgrammingError as error:
        raise StoreError(f"store {path}: {error}") from error
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"store {path}: {error}; see that there is room, and that file and "
            "directory may be written"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"store {path}: {error}; move it away (with -wal and -shm) to begin a new one"
        ) from error
    except sqlite3.Error as error:
        raise StoreError(f"store {path}: {error}") from error


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that writes; the file is made when there is none.

    Raises:
        StoreError: It is damaged, newer than this Foreshard, not ours, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"store {path}: directory cannot be made: {error.strerror}") from error
    with translated(path):
        # One thread at a time is seen to by the caller's lock.
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            version = version_of(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // PAGE_BYTES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            if version is None:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID}; "
                    f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
            for old in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
                connection.executescript(
                    f"BEGIN IMMEDIATE; {MIGRATIONS[old]}; PRAGMA user_version = {old + 1}; COMMIT;"
                )
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that reads beside a live writer, or after its death.

    Raises:
        StoreError: There is no such file, or it is damaged, newer or not ours.
    """
    with translated(path):
        if not path.exists():
            raise StoreError(
                f"store {path}: there is none; has Foreshard run with this directory?"
            )
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, check_same_thread=False)
        try:
            version = version_of(connection, path)
        except BaseException:
            connection.close()
            raise
    if version is None:
        connection.close()
        raise StoreError(f"store {path}: is empty, nothing was decided yet")
    return connection


def newer_state(path: Path) -> Mapping[str, str] | None:
    """What the `state` table of a newer Foreshard's file holds, as text; None = it is not newer.

    Raises:
        StoreError: It is damaged or not ours.
    """
    with translated(path):
        if not path.exists():
            return None
    with translated(path), closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        try:
            version_of(connection, path)
        except NewerStoreError:
            rows = connection.execute("SELECT key, value FROM state").fetchall()
            return {str(key): value for key, value in rows}
    return None


def version_of(connection: sqlite3.Connection, path: Path) -> int | None:
    """The schema's version; None for a file without any content.

    Raises:
        StoreError: It is another program's, or newer than this Foreshard.
    """
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    mark = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if not tables and not version and not mark:
        return None
    if mark != APPLICATION_ID:
        raise StoreError(f"store {path}: is another program's file; name another directory")
    if version > SCHEMA_VERSION:
        raise NewerStoreError(
            f"store {path}: has schema {version}, this Foreshard knows up to {SCHEMA_VERSION}; "
            "run a newer Foreshard, or move the file away"
        )
    return version
