"""This module is system events from a file that a person or a job writes.

The file is JSON or YAML: a list of entries like

    - id: power-work-17
      kind: maintenance            # known_bug, dependency, deploy, freeze
      cells: [eu-1]                # all = every cell
      starts_at_s: 2026-11-23T21:00:00Z    # ISO 8601 with a time zone, or epoch seconds
      ends_at_s: 2026-11-23T22:00:00Z
      note: the host is powered off        # optional, like known_at_s
    - id: heap-bug
      kind: known_bug
      version: 4.2.1               # only cells that run it, of those named; also of a deploy
      cells: all
      starts_at_s: 2026-11-20T00:00:00Z
      ends_at_s: 2026-12-20T00:00:00Z
    - id: payments-down
      kind: dependency
      dependency: payments         # as request classes name it
      level: partial_outage        # operational, degraded_performance, partial_outage,
      cells: all                   # major_outage, under_maintenance
      starts_at_s: 2026-11-23T21:00:00Z
      ends_at_s: 2026-11-23T22:00:00Z

Replace it by renaming a finished file over it. An empty file is an error and not "no events"
(write `[]`): it is what a truncated write looks like, and a forgotten maintenance is an outage.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG

import yaml

from foreshard.model.errors import InvalidValueError, SourceError
from foreshard.model.events import DependencyLevel, EventKind, SystemEvent

__all__ = ["FileEventSource"]

# The end of the year 9999: what is later is a slip of the keyboard, and no date.
END_OF_TIME_S = 253_402_300_800
# Larger than any calendar; a bigger file is the wrong file.
LARGEST_FILE_BYTES = 1024 * 1024

REQUIRED = frozenset({"id", "kind", "cells", "starts_at_s", "ends_at_s"})
OPTIONAL = frozenset({"known_at_s", "note", "version", "dependency", "level"})

_Stamp = tuple[int, int, int]


class FileEventSource:
    """`EventSource` over one file, read again when its time, size or inode changes.

    An entry without `known_at_s` became known when the file that first held it was written.
    """

    def __init__(self, path: Path, *, now_s: Callable[[], float]) -> None:
        """Name the file; it is not touched before the first `read`.

        Args:
            path: The file; parsed as JSON when its name ends in `.json`, else as YAML.
            now_s: Seconds since the epoch: events that are over by then are left out.
        """
        self._path = path
        self._now_s = now_s
        self._stamp: _Stamp | None = None
        self._said: tuple[SystemEvent, ...] | SourceError = ()
        self._known_at_s: dict[str, float] = {}

    async def read(self) -> tuple[SystemEvent, ...]:
        """See `EventSource.read`.

        Raises:
            SourceError: The file is missing, cannot be parsed or holds a bad entry (named by
                its number and key). None of its events is used then.
        """
        stamp = self._look()
        if stamp != self._stamp:
            # Off the loop: a megabyte of YAML takes seconds.
            self._said = await asyncio.to_thread(self._load, stamp)
            self._stamp = stamp
        if isinstance(self._said, SourceError):
            raise SourceError(str(self._said))
        now_s = self._now_s()
        return tuple(event for event in self._said if event.ends_at_s > now_s)

    def _look(self) -> _Stamp:
        try:
            found = self._path.stat()
        except OSError as error:
            raise SourceError(
                f"events file {self._path}: {error.strerror}; create it, with [] for no events"
            ) from error
        if not S_ISREG(found.st_mode):
            # To read a pipe is to wait for ever.
            raise SourceError(f"events file {self._path}: is no regular file; name one")
        if found.st_size > LARGEST_FILE_BYTES:
            raise SourceError(
                f"events file {self._path}: has {found.st_size} bytes, more than "
                f"{LARGEST_FILE_BYTES}"
            )
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self, stamp: _Stamp) -> tuple[SystemEvent, ...] | SourceError:
        try:
            text = self._path.read_text(encoding="utf-8")
            if self._look() != stamp:
                return SourceError(f"events file {self._path}: is being written")
            return self._events(_parse(text, is_json=self._path.suffix == ".json"), stamp)
        except (OSError, UnicodeDecodeError) as error:
            return SourceError(f"events file {self._path}: cannot be read: {error}")
        except (SourceError, InvalidValueError) as error:
            return SourceError(f"events file {self._path}: {error}")

    def _events(self, entries: object, stamp: _Stamp) -> tuple[SystemEvent, ...]:
        if not isinstance(entries, list):
            what = "empty" if entries is None else f"a {type(entries).__name__}"
            raise SourceError(f"is {what}, must be a list of events ([] for none)")
        events: dict[str, SystemEvent] = {}
        known_at_s: dict[str, float] = {}
        for number, entry in enumerate(entries, start=1):
            where = f"entry {number}"
            event = _event(entry, where=where, known=self._known_at_s, written_s=stamp[0] / 1e9)
            if event.id in events:
                raise SourceError(f"{where}: id {event.id!r} is used by an earlier entry")
            events[event.id] = event
            known_at_s[event.id] = event.known_at_s
        self._known_at_s = known_at_s
        return tuple(events.values())


def _parse(text: str, *, is_json: bool) -> object:
    try:
        parsed: object = json.loads(text) if is_json else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        because = " ".join(str(error).split())
        raise SourceError(f"is not {'JSON' if is_json else 'YAML'}: {because}") from error
    return parsed


def _event(entry: object, *, where: str, known: dict[str, float], written_s: float) -> SystemEvent:
    if not isinstance(entry, dict):
        raise SourceError(f"{where}: is {entry!r}, must be a mapping with {_listed(REQUIRED)}")
    missing = REQUIRED - entry.keys()
    strange = {str(key) for key in entry} - REQUIRED - OPTIONAL
    if missing:
        raise SourceError(f"{where}: has no {_listed(missing)}")
    if strange:
        raise SourceError(
            f"{where}: has {_listed(strange)}, known are {_listed(REQUIRED | OPTIONAL)}"
        )
    name, kind = entry["id"], entry["kind"]
    if not isinstance(name, str) or not name:
        raise SourceError(f"{where}: id is {name!r}, must be text")
    if kind not in tuple(EventKind):
        raise SourceError(f"{where}: kind is {kind!r}, must be one of {_listed(set(EventKind))}")
    known_at: object = entry.get("known_at_s", known.get(name, written_s))
    try:
        return SystemEvent(
            id=name,
            kind=EventKind(kind),
            cells=_cells(entry["cells"], where=where),
            known_at_s=_seconds(known_at, where=f"{where}: known_at_s"),
            starts_at_s=_seconds(entry["starts_at_s"], where=f"{where}: starts_at_s"),
            ends_at_s=_seconds(entry["ends_at_s"], where=f"{where}: ends_at_s"),
            note=_text(entry, "note", where=where),
            version=_text(entry, "version", where=where),
            dependency=_text(entry, "dependency", where=where),
            level=_level(entry.get("level"), where=where),
        )
    except InvalidValueError as error:
        raise SourceError(f"{where}: {error}") from error


def _text(entry: dict[str, object], key: str, *, where: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str):
        # YAML reads 4.2 as a number, and 4.20 as the same one.
        raise SourceError(f"{where}: {key} is {value!r}, must be text: write it in quotes")
    return value


def _level(value: object, *, where: str) -> DependencyLevel | None:
    if value is None:
        return None
    if value not in tuple(DependencyLevel):
        raise SourceError(
            f"{where}: level is {value!r}, must be one of {_listed(set(DependencyLevel))}"
        )
    return DependencyLevel(str(value))


def _cells(value: object, *, where: str) -> frozenset[str]:
    if value == "all":
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(cell, str) and cell for cell in value):
        raise SourceError(f"{where}: cells is {value!r}, must be a list of cell names, or all")
    return frozenset(value)


def _seconds(value: object, *, where: str) -> float:
    """Epoch seconds from a number, or from a moment with a time zone."""
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = value
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            utc = moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
            raise SourceError(f"{where} is {value}, has no time zone: write {utc} for UTC")
        return moment.timestamp()
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0.0 <= value < END_OF_TIME_S
    ):
        raise SourceError(
            f"{where} is {value!r}, must be epoch seconds or a time like 2026-11-23T21:00:00Z"
        )
    return float(value)


def _listed(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))
