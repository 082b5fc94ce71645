"""This module is the embedded store: decisions and state in one SQLite file in WAL mode.

Every Act is kept whole, with its inputs: a key frame. Only who stands in for a dead cell is left
out where fleet and class say it: at 1,000 cells that would be most of a table. A Hold is kept
thin, and one that repeats the reasons of the one before only counts up; its texts are those of
the newest. Each `frame_every_s` a Hold is kept whole too. `synchronous = NORMAL` means that a
killed process loses nothing and a power cut may lose the last seconds, never the file. What
forecasts asked for is kept beside the decisions, and longer (`intent`).
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foreshard.adapters.store.decision_json import JsonValue, encode
from foreshard.adapters.store.intent import ROW_BYTES, IntentRows
from foreshard.adapters.store.reading import SqliteReader, pack
from foreshard.adapters.store.schema import (
    FILE_NAME,
    PAGE_BYTES,
    WAL_BYTES,
    open_writer,
    translated,
)
from foreshard.model.errors import InvalidValueError, StoreError
from foreshard.model.plan import Act, Decision, IntentSpan, Plan

__all__ = ["Retention", "SqliteStore"]

# Dropped in one go: few enough that no single record waits long for it.
DROP_ROWS = 64
# The log beside the file: it is cut back at WAL_BYTES, and a checkpoint may lag by as much.
LOG_BYTES = 2 * WAL_BYTES
# One decision may take this part of the budget; a larger one loses its inputs, then is refused.
LARGEST_PART = 8

_NOTHING = Plan(splits={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much is remembered.

    Attributes:
        max_age_s: Older decisions are dropped; a week covers the weekend before the question.
        max_bytes: Of all files together; the oldest decisions make room. At least 4 MiB.
        frame_every_s: The longest stretch without a decision kept whole.
        max_intent_age_s: Older intents are dropped; a year and a month, so that this winter can be
            held against the last. They take an eighth of `max_bytes` at most.
    """

    max_age_s: float = 7 * 86_400.0
    max_bytes: int = 256 * 1024 * 1024
    frame_every_s: float = 60.0
    max_intent_age_s: float = 400.0 * 86_400.0

    def __post_init__(self) -> None:
        if self.max_bytes < 4 * 1024 * 1024:
            raise InvalidValueError(
                f"retention: max_bytes is {self.max_bytes}, must be at least {4 * 1024 * 1024}"
            )
        for what in ("max_age_s", "frame_every_s", "max_intent_age_s"):
            if not getattr(self, what) > 0.0:
                raise InvalidValueError(f"retention: {what} is {getattr(self, what)}, must be > 0")


@dataclass(frozen=True, slots=True)
class _Frame:
    id: int
    at_s: float
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Newest:
    id: int
    signature: object
    may_repeat: bool


class SqliteStore:
    """`StateStore` in one directory; one process writes, any number read beside it.

    Calls may come from any thread, one at a time. Close it when done.
    """

    def __init__(self, directory: Path, *, retention: Retention | None = None) -> None:
        """Open the store, and make it where there is none.

        Args:
            directory: Made when it is missing; holds `foreshard.sqlite` and its log.
            retention: How much is remembered.

        Raises:
            StoreError: The file is damaged, newer than this Foreshard, or not writable.
        """
        self._retention = retention or Retention()
        self._path = directory / FILE_NAME
        self._db = open_writer(self._path)
        self._reader = SqliteReader(directory, connection=self._db)
        self._intents = IntentRows(
            self._db,
            max_age_s=self._retention.max_intent_age_s,
            most=self._retention.max_bytes // (LARGEST_PART * ROW_BYTES),
        )
        self._lock = threading.Lock()
        self._frame: _Frame | None = None
        self._newest: _Newest | None = None

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
        """Write the log into the file and close it; twice is fine."""
        self._reader.close()

    def record(self, decision: Decision, inputs: Mapping[str, Any]) -> None:
        """See `StateStore.record`; dataclasses in `inputs` are turned into JSON.

        Raises:
            StoreError: It cannot be written; what was kept before stays.
        """
        signature = (
            {(reason.subject, reason.code) for reason in decision.routing.because},
            dict(decision.phases),
        )
        is_frame = self._wants_frame(decision)
        newest = self._newest
        body = self._body(decision, inputs, is_frame=is_frame)
        with self._lock:
            if (
                not is_frame
                and newest is not None
                and newest.may_repeat
                and newest.signature == signature
                and self._repeat(newest.id, decision, body)
            ):
                return
            row = self._insert(decision, body, is_frame=is_frame)
        self._newest = _Newest(row, signature, not is_frame)
        if is_frame:
            self._frame = _Frame(row, decision.now_s, decision.plan)

    def latest(self, cell: str) -> Mapping[str, Any] | None:
        """See `StateStore.latest` and, for the shape, `SqliteReader`.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._reader.latest(cell)

    def history(self, cell: str, *, limit: int = 20) -> tuple[Mapping[str, Any], ...]:
        """Kept decisions that have a reason about a cell (or "fleet"), newest first.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._reader.history(cell, limit=limit)

    def intents(self) -> tuple[IntentSpan, ...]:
        """See `SqliteReader.intents`.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._reader.intents()

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """See `StateStore.put`; dataclasses in it are turned into JSON.

        Raises:
            StoreError: It cannot be written; what was there stays.
        """
        text = _packed(value)
        with self._lock, self._transaction():
            self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, text))

    def get(self, key: str) -> Mapping[str, Any] | None:
        """See `StateStore.get`.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._reader.get(key)

    def _wants_frame(self, decision: Decision) -> bool:
        frame = self._frame
        return (
            frame is None
            or isinstance(decision.routing, Act)
            or bool(decision.recycle)
            or decision.now_s - frame.at_s >= self._retention.frame_every_s
            or (decision.plan is not frame.plan and decision.plan != frame.plan)
        )

    def _body(
        self, decision: Decision, inputs: Mapping[str, Any], *, is_frame: bool
    ) -> str | bytes:
        if not is_frame:
            thin = _encoded(dataclasses.replace(decision, plan=_NOTHING))
            del thin["plan"]
            return _packed({"decision": thin, "inputs": {}})
        most = self._retention.max_bytes // LARGEST_PART
        decision = _lean(decision)
        body = _packed({"decision": decision, "inputs": inputs})
        if len(body) > most:
            left_out = {"left_out_bytes": len(body)}
            body = _packed({"decision": decision, "inputs": left_out})
        if len(body) > most:
            raise StoreError(
                f"store {self._path}: the decision has {len(body)} bytes, more than {most} (an "
                f"eighth of max_bytes, {self._retention.max_bytes}); raise max_bytes"
            )
        return body

    def _repeat(self, row: int, decision: Decision, body: str | bytes) -> bool:
        with self._transaction():
            done = self._db.execute(
                "UPDATE decision SET times = times + 1, last_s = ?, bytes = ?, body = ? "
                "WHERE id = ?",
                (decision.now_s, len(body), body, row),
            )
            self._intents.keep(decision.intents, now_s=decision.now_s)
        return done.rowcount == 1

    def _insert(self, decision: Decision, body: str | bytes, *, is_frame: bool) -> int:
        kind = "act" if isinstance(decision.routing, Act) else "hold"
        subjects = {reason.subject for reason in decision.routing.because}
        for recycle in decision.recycle:
            subjects |= {recycle.cell, recycle.because.subject}
        with self._transaction():
            row = 1 + self._number("SELECT coalesce(max(id), 0) FROM decision")
            frame = row if is_frame or self._frame is None else self._frame.id
            self._db.execute(
                "INSERT INTO decision VALUES (?, ?, ?, ?, 1, ?, ?, ?)",
                (row, kind, decision.now_s, decision.now_s, frame, len(body), body),
            )
            self._db.executemany(
                "INSERT INTO subject VALUES (?, ?)", [(name, row) for name in sorted(subjects)]
            )
            self._intents.keep(decision.intents, now_s=decision.now_s)
            outdated_s = decision.now_s - self._retention.max_age_s
            self._drop([row for row, last_s, _ in self._oldest() if last_s < outdated_s])
        with translated(self._path):
            self._make_room()
        return row

    def _make_room(self) -> None:
        room = self._retention.max_bytes - LOG_BYTES
        while (excess := PAGE_BYTES * self._number("PRAGMA page_count") - room) > 0:
            rows: list[int] = []
            for row, _, taken in self._oldest():
                if excess > 0:
                    rows.append(row)
                    excess -= taken
            with self._transaction():
                self._drop(rows)
            # As a script: a single statement would give back one page only.
            self._db.executescript("PRAGMA incremental_vacuum")
            if not rows:
                return

    def _oldest(self) -> list[tuple[int, float, int]]:
        """Row, when it was last made, and bytes of the oldest; never the newest of all."""
        return self._db.execute(
            "SELECT id, last_s, bytes FROM decision "
            "WHERE id < (SELECT max(id) FROM decision) ORDER BY id LIMIT ?",
            (DROP_ROWS,),
        ).fetchall()

    def _drop(self, rows: Sequence[int]) -> None:
        keys = [(row,) for row in rows]
        self._db.executemany("DELETE FROM subject WHERE decision = ?", keys)
        self._db.executemany("DELETE FROM decision WHERE id = ?", keys)

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _lean(decision: Decision) -> Decision:
    """The decision without the backups of classes that own no data."""
    act = decision.routing
    if not isinstance(act, Act):
        return decision
    routes = tuple(
        dataclasses.replace(route, backups={}) if route.holders is None else route
        for route in act.table.classes
    )
    table = dataclasses.replace(act.table, classes=routes)
    return dataclasses.replace(decision, routing=dataclasses.replace(act, table=table))


def _packed(value: Mapping[str, Any]) -> str | bytes:
    try:
        return pack(value)
    except InvalidValueError as error:
        raise StoreError(f"this cannot be kept: {error}") from error


def _encoded(value: object) -> dict[str, JsonValue]:
    try:
        encoded = encode(value)
    except InvalidValueError as error:
        raise StoreError(f"this cannot be kept: {error}") from error
    if not isinstance(encoded, dict):
        raise StoreError(f"this cannot be kept: {value!r} is no mapping")
    return encoded
