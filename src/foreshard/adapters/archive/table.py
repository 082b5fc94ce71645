"""This module is a tidy table in a Parquet or CSV file: one row for an entity and a moment.

DuckDB reads it, and of it only the columns that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from foreshard.model.errors import SourceError
from foreshard.ports import Samples, Wanted

__all__ = ["TableArchive"]

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst")
# Types of DuckDB whose values are numbers.
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
NUMBERS = (*WHOLE, *(f"U{name}" for name in WHOLE), "FLOAT", "DOUBLE", "BOOLEAN")
MOMENTS = ("TIMESTAMP", "DATE")
SHOWN = 3


class TableArchive:
    """`Archive` over one file, or a folder of Parquet files."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is opened when it is read."""
        self._path = path

    def read(self, wanted: Wanted) -> Samples:
        """See `Archive.read`."""
        with duckdb.connect(":memory:") as base:
            try:
                base.execute(f"CREATE VIEW told AS SELECT * FROM {self._source()}")  # noqa: S608 - the path is quoted
                types = {
                    str(row[0]): str(row[1]) for row in base.execute("DESCRIBE told").fetchall()
                }
                if _row(base.execute("SELECT count(*), 0 FROM told"))[0] == 0:
                    raise SourceError(f"{self._path}: has no rows")
                self._refuse_columns(types, wanted)
                self._refuse_rows(base, types, wanted)
                return _samples(base, types, wanted)
            except duckdb.Error as error:
                first = str(error).splitlines()[0]
                raise SourceError(f"{self._path}: cannot be read as a table: {first}") from error

    def _source(self) -> str:
        """The table function that reads the path."""
        path = self._path
        if path.is_dir():
            return f"read_parquet({_text(str(path / '**' / '*.parquet'))})"
        if not path.is_file():
            raise SourceError(f"{path}: there is no such file; name a Parquet or a CSV file")
        name = path.name.lower()
        if name.endswith(PARQUET):
            return f"read_parquet({_text(str(path))})"
        if name.endswith(CSV):
            return f"read_csv({_text(str(path))}, header = true, nullstr = ['', 'NaN', 'nan'])"
        raise SourceError(f"{path}: must end in one of {', '.join((*PARQUET, *CSV))}")

    def _refuse_columns(self, types: Mapping[str, str], wanted: Wanted) -> None:
        asked = {wanted.entity: "the entity", wanted.time: "the time"}
        asked |= {source: f"gauge {name}" for name, source in wanted.columns.items()}
        asked |= {wanted.group: "the group"} if wanted.group else {}
        said = []
        for column, what in asked.items():
            if column not in types:
                near = get_close_matches(column, types, n=1)
                right = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(types)}"
                said.append(f"no column {column!r} ({what}); {right}")
        numbers = set(wanted.columns.values()) & set(types)
        said += [
            f"column {column!r} ({asked[column]}) is {types[column]}, must be numbers"
            for column in sorted(numbers)
            if not _is_number(types[column])
        ]
        kind = types.get(wanted.time, "DOUBLE")
        if not (_is_number(kind) or kind.startswith(MOMENTS)):
            said.append(f"column {wanted.time!r} (the time) is {kind}, must be numbers or moments")
        if said:
            raise SourceError("\n  ".join([f"{self._path}: cannot be used", *said]))

    def _refuse_rows(
        self, base: duckdb.DuckDBPyConnection, types: Mapping[str, str], wanted: Wanted
    ) -> None:
        entity, time = _name(wanted.entity), _moment(wanted, types)
        count, bare = _row(
            base.execute(
                f"SELECT count(*), count(*) FILTER (WHERE {entity} IS NULL OR {time} IS NULL "  # noqa: S608 - names are quoted
                f"OR NOT isfinite({time})) FROM told"
            )
        )
        if bare:
            raise SourceError(
                f"{self._path}: {bare} of {count} rows have no {wanted.entity!r} or no "
                f"{wanted.time!r}; leave them out or fill them in"
            )
        twice = base.execute(
            f"SELECT {entity}, any_value({_name(wanted.time)}), count(*), count(*) OVER () "  # noqa: S608 - as above
            f"FROM told GROUP BY {entity}, {time} HAVING count(*) > 1 ORDER BY 1, 2 LIMIT {SHOWN}"
        ).fetchall()
        if twice:
            told = "; ".join(f"{e} at {t} stands there {n} times" for e, t, n, _ in twice)
            raise SourceError(
                f"{self._path}: {twice[0][3]} moments have more than one row: {told}; keep one "
                "row for an entity and a moment"
            )


def _samples(base: duckdb.DuckDBPyConnection, types: Mapping[str, str], wanted: Wanted) -> Samples:
    entity, time = _name(wanted.entity), _moment(wanted, types)
    group = f"coalesce(CAST(min({_name(wanted.group)}) AS VARCHAR), '')" if wanted.group else "''"
    base.execute(
        f"CREATE TABLE named AS SELECT *, row_number() OVER (ORDER BY name) - 1 AS place FROM "  # noqa: S608 - names are quoted
        f"(SELECT CAST({entity} AS VARCHAR) AS name, {group} AS family FROM told GROUP BY 1)"
    )
    names = base.execute("SELECT name, family FROM named ORDER BY place").fetchall()
    columns = [
        f"CAST({_name(source)} AS {'FLOAT' if types[source] == 'FLOAT' else 'DOUBLE'}) AS c{i}"
        for i, source in enumerate(wanted.columns.values())
    ]
    asked = ", ".join([f"CAST(place AS INTEGER) AS e, CAST({time} AS DOUBLE) AS t", *columns])
    found = base.execute(
        f"SELECT {asked} FROM told JOIN named ON name = CAST({entity} AS VARCHAR) ORDER BY e, t"  # noqa: S608 - as above
    ).fetchnumpy()
    return Samples(
        entities=tuple(str(name) for name, _ in names),
        groups=tuple(str(family) for _, family in names),
        entity=np.asarray(found["e"], dtype=np.int32),
        time_s=np.asarray(found["t"], dtype=np.float64),
        columns={name: _numbers(found[f"c{i}"]) for i, name in enumerate(wanted.columns)},
    )


def _numbers(column: Any) -> np.ndarray[Any, np.dtype[np.floating]]:  # noqa: ANN401 - DuckDB's
    """NULL and infinity as NaN."""
    values = np.ma.filled(column, np.nan) if isinstance(column, np.ma.MaskedArray) else column
    return np.where(np.isfinite(values), values, np.nan).astype(values.dtype)


def _moment(wanted: Wanted, types: Mapping[str, str]) -> str:
    """Seconds, as SQL."""
    column = _name(wanted.time)
    if types[wanted.time].startswith(MOMENTS):
        return f"epoch({column})"
    return f"(CAST({column} AS DOUBLE) * {wanted.unit_s!r})"


def _is_number(kind: str) -> bool:
    return kind in NUMBERS or kind.startswith("DECIMAL")


def _row(found: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    first = found.fetchone()
    return (int(first[0]), int(first[1])) if first else (0, 0)


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
