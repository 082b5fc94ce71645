"""This module is what `serve` remembers: the last committed table, and whether it is frozen.

A file is written whole beside the old one and then takes its place, so that a crash leaves
either the old or the new. The one before is kept: a damaged file is refused and says so, and
the previous table is served, because an old plan serves requests and none does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foreshard.adapters.routing.durable import read_file, replace_file
from foreshard.adapters.routing.json_document import Document
from foreshard.adapters.routing.table_json import (
    SCHEMA_VERSION,
    checksum,
    decode_table,
    encode_table,
)
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable

__all__ = ["Committed", "CommittedTable", "Freeze", "FreezeFile"]

TABLE = "committed.json"
PREVIOUS = "committed.previous.json"
FREEZE = "frozen.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What was found on disk.

    Attributes:
        table: The newest readable table; None = none.
        problems: What is wrong with files that could not be used, for people.
        saved_at_s: When the table was committed.
        is_newer: A file that could not be used was written by a newer Foreshard.
    """

    table: RoutingTable | None
    problems: tuple[str, ...] = ()
    saved_at_s: float = field(default=0.0, compare=False)
    is_newer: bool = False


class _NewerTableError(SinkError):
    """A newer Foreshard wrote it."""


class CommittedTable:
    """The last committed table in a data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, table: RoutingTable) -> None:
        """Make a table the committed one, durably; blocks for as long as the disk takes.

        Raises:
            SinkError: It cannot be written; what was committed before still is.
        """
        path = self._directory / TABLE
        document = encode_table(table)
        content = _bytes({"checksum": checksum(document), "table": document})
        try:
            replace_file(path, content, previous=self._directory / PREVIOUS)
        except OSError as error:
            raise SinkError(f"committed table {path}: cannot be written ({error})") from error

    def load(self) -> Committed:
        """The newest table that is readable, and what is wrong with the others."""
        problems: list[str] = []
        is_newer = False
        for name in (TABLE, PREVIOUS):
            path = self._directory / name
            try:
                table, saved_at_s = _read_table(path), path.stat().st_mtime
            except FileNotFoundError:
                continue
            except (OSError, SinkError) as error:
                is_newer |= isinstance(error, _NewerTableError)
                problems.append(f"committed table {path} is refused: {error}")
            else:
                return Committed(
                    table=table,
                    problems=tuple(problems),
                    saved_at_s=saved_at_s,
                    is_newer=is_newer,
                )
        return Committed(table=None, problems=tuple(problems), is_newer=is_newer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """An operator's word that nothing may change."""

    reason: str
    since_s: float


class FreezeFile:
    """The freeze in a data directory; it survives restarts."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FREEZE

    def load(self) -> Freeze | None:
        """The freeze, if there is one; a file that cannot be read freezes too.

        Somebody froze the plan and we no longer know why: thawing by accident is worse.
        """
        try:
            document = Document(json.loads(read_file(self._path)), at="frozen")
            return Freeze(reason=document.text("reason"), since_s=document.number("since_s"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SinkError) as error:
            return Freeze(reason=f"{self._path} is unreadable ({error}); thaw it", since_s=0.0)

    def save(self, freeze: Freeze | None) -> None:
        """Keep a freeze, or end it.

        Raises:
            SinkError: The disk refuses.
        """
        try:
            if freeze is None:
                self._path.unlink(missing_ok=True)
            else:
                content = _bytes({"reason": freeze.reason, "since_s": freeze.since_s})
                replace_file(self._path, content)
        except OSError as error:
            raise SinkError(f"freeze {self._path}: cannot be written ({error})") from error


def _read_table(path: Path) -> RoutingTable:
    try:
        document = Document(json.loads(read_file(path)), at="file")
    except ValueError as error:
        raise SinkError(f"not JSON ({error})") from error
    stored = document.text("checksum")
    table = document.value("table")
    if not isinstance(table, dict):
        raise SinkError("file.table is not an object")
    schema = Document(table, at="table").whole("schema")
    if schema > SCHEMA_VERSION:
        raise _NewerTableError(
            f"it has schema {schema}, this Foreshard reads up to {SCHEMA_VERSION}"
        )
    found = checksum(table)
    if found != stored:
        raise SinkError(f"checksum is {found[:12]}, the file says {stored[:12]}")
    return decode_table(table)


def _bytes(document: Mapping[str, object]) -> bytes:
    # Not sorted: the order of mappings is part of the table, see `table_json`.
    return json.dumps(document, allow_nan=False).encode()
