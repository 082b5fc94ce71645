"""This module is one segment of metric history: a Parquet file of steps, made by DuckDB.

A row is a cell at a moment: `entity`, `ts` (seconds since the epoch), one column a gauge (fraction
of its limit), and three of ours: `_load`, `_up_s`, `_censored`. So `foreshard backtest --data` and
any other tool read it as they read every tidy table.

The name says the first and the last moment and the step between them, in milliseconds, and the
checksum of the whole file: what was cut off or damaged is known before it is looked at. Files of
others are refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from foreshard.adapters.store.parcel import sync_directory
from foreshard.model.errors import StoreError

__all__ = ["SUFFIX", "Named", "Rows", "named", "read", "write"]

SUFFIX = ".parquet"
LOAD, UP, CENSORED = "_load", "_up_s", "_censored"
ENTITY, TIME = "entity", "ts"
OWN = (ENTITY, TIME, LOAD, UP, CENSORED)
FORMAT = 1
# Between the marks of a file: what it is, and what no column says.
MARK, SCALES = "foreshard.history", "foreshard.scales_with_load"
NAME = re.compile(r"(\d{1,16})-(\d{1,16})-(\d{1,10})-([0-9a-f]{8})\.parquet")
CHUNK = 1024 * 1024
# One thread: the engine's machine has better to do.
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the name of a file says.

    Attributes:
        path: The file.
        first_s: Its first moment.
        last_s: Its last.
        step_s: Between moments.
        checksum: CRC-32 of all of it.
    """

    path: Path
    first_s: float
    last_s: float
    step_s: float
    checksum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is in a file, by cell and then by time.

    Attributes:
        step_s: Between moments.
        cells: C names, sorted.
        cell: int64 [N], index of the cell.
        time_s: float64 [N].
        gauges: float32 [N] by name, NaN = missing.
        scales_with_load: Names of gauges that do.
        load: float32 [N], NaN = unknown.
        up_s: float32 [N], NaN = unknown.
        censored: bool [N].
    """

    step_s: float
    cells: tuple[str, ...]
    cell: NDArray[np.int64]
    time_s: NDArray[np.float64]
    gauges: Mapping[str, NDArray[np.float32]]
    scales_with_load: frozenset[str]
    load: NDArray[np.float32]
    up_s: NDArray[np.float32]
    censored: NDArray[np.bool_]


def named(path: Path) -> Named:
    """What a file's name says.

    Raises:
        StoreError: It is none of ours.
    """
    found = NAME.fullmatch(path.name)
    if found is None:
        raise StoreError(f"history {path}: is no segment of ours by its name")
    return Named(
        path=path,
        first_s=int(found[1]) / 1e3,
        last_s=int(found[2]) / 1e3,
        step_s=int(found[3]) / 1e3,
        checksum=int(found[4], 16),
    )


def write(directory: Path, rows: Rows) -> Named:
    """Publish rows as a new segment, whole or not at all.

    Raises:
        StoreError: It cannot be written: no room, no right.
    """
    if not len(rows.time_s):
        raise StoreError(f"history {directory}: a segment without rows")
    table: dict[str, NDArray[Any]] = {
        ENTITY: np.array(rows.cells, dtype=object)[rows.cell],
        TIME: rows.time_s,
        LOAD: rows.load,
        UP: rows.up_s,
        CENSORED: rows.censored,
    }
    table |= {name: column for name, column in rows.gauges.items() if name not in OWN}
    marks = {
        MARK: str(FORMAT),
        SCALES: json.dumps(sorted(rows.scales_with_load)),
    }
    scratch = directory / f".{os.getpid()}.part"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with duckdb.connect(":memory:", config=SETTINGS) as connection:
            connection.register("rows", table)
            listed = ", ".join(f"{_name(k)}: {_text(v)}" for k, v in marks.items())
            # A gauge that was never heard is a column of NULL.
            columns = ", ".join(
                f"{_name(n)}" if n in OWN else f"nullif({_name(n)}, 'NaN'::FLOAT) AS {_name(n)}"
                for n in table
            )
            connection.execute(
                f"COPY (SELECT {columns} FROM rows ORDER BY {ENTITY}, {TIME}) "  # noqa: S608 - names are quoted
                f"TO {_text(str(scratch))} "
                f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{listed}}})"
            )
        spoken = (rows.time_s.min(), rows.time_s.max(), rows.step_s)
        first, last, step = (round(1e3 * seconds) for seconds in spoken)
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
        checksum = _checksum(scratch)
        path = directory / f"{first}-{last}-{step}-{checksum:08x}{SUFFIX}"
        scratch.replace(path)
        sync_directory(directory)
    except (OSError, duckdb.Error) as error:
        raise StoreError(f"history {directory}: cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
    return named(path)


def read(files: Sequence[Named]) -> Rows:
    """The rows of some segments of one step together; what stands there twice comes twice.

    Raises:
        StoreError: One is damaged, foreign, newer, or gone.
    """
    scales = set[str]()
    for each in files:
        if _checked(each.path) != each.checksum:
            raise StoreError(f"history {each.path}: is damaged, its checksum does not match")
    try:
        with duckdb.connect(":memory:", config=SETTINGS) as connection:
            for each in files:
                marks = _marks(connection, each.path)
                scales |= set(json.loads(marks[SCALES]))
            paths = [each.path for each in files]
            return _read(connection, paths, files[0].step_s, frozenset(scales))
    except (OSError, duckdb.Error, ValueError, KeyError, TypeError) as error:
        because = f"{type(error).__name__}: {error}"
        raise StoreError(f"history {files[0].path}: cannot be read ({because})") from error


def _marks(connection: duckdb.DuckDBPyConnection, path: Path) -> Mapping[str, str]:
    found = connection.execute(
        f"SELECT key, value FROM parquet_kv_metadata({_text(str(path))})"  # noqa: S608 - quoted
    ).fetchall()
    marks = {bytes(key).decode(): bytes(value).decode() for key, value in found}
    if MARK not in marks:
        raise StoreError(f"history {path}: was not written by Foreshard")
    if int(marks[MARK]) > FORMAT:
        raise StoreError(
            f"history {path}: was written by a newer Foreshard (format {marks[MARK]}, this one "
            f"reads up to {FORMAT})"
        )
    return marks


def _read(
    connection: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    step_s: float,
    scales: frozenset[str],
) -> Rows:
    listed = ", ".join(_text(str(path)) for path in paths)
    connection.execute(
        f"CREATE VIEW rows AS SELECT * FROM read_parquet([{listed}], union_by_name = true)"  # noqa: S608 - quoted
    )
    cells = [
        str(name)
        for (name,) in connection.execute(
            f"SELECT DISTINCT {ENTITY} FROM rows ORDER BY {ENTITY}"  # noqa: S608 - ours
        ).fetchall()
    ]
    names = [row[0] for row in connection.execute("DESCRIBE rows").fetchall()]
    gauges = [name for name in names if name not in OWN]
    index = {"entity": np.array(cells, dtype=object), "i": np.arange(len(cells))}
    connection.register("cells", index)
    told = ", ".join(f"CAST({_name(n)} AS FLOAT) AS {_name(n)}" for n in (LOAD, UP, *gauges))
    found = connection.execute(
        f"SELECT i, {TIME}, {CENSORED}, {told} FROM rows JOIN cells USING ({ENTITY}) "  # noqa: S608 - quoted
        f"ORDER BY i, {TIME}"
    ).fetchnumpy()

    def numbers(name: str) -> NDArray[np.float32]:
        column = np.ma.asarray(found[name], dtype=np.float32)
        return np.asarray(np.ma.filled(column, np.float32(np.nan)))

    return Rows(
        step_s=step_s,
        cells=tuple(cells),
        cell=np.asarray(found["i"], dtype=np.int64),
        time_s=np.asarray(found[TIME], dtype=np.float64),
        gauges={name: numbers(name) for name in gauges},
        scales_with_load=scales,
        load=numbers(LOAD),
        up_s=numbers(UP),
        censored=np.asarray(np.ma.filled(np.ma.asarray(found[CENSORED]), fill_value=False)),
    )


def _checked(path: Path) -> int:
    try:
        return _checksum(path)
    except OSError as error:
        raise StoreError(f"history {path}: cannot be read ({error.strerror})") from error


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _name(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def _text(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"
