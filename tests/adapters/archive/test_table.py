from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from foreshard.adapters.archive.forecasts import ForecastRows, write_forecasts
from foreshard.adapters.archive.table import TableArchive
from foreshard.model.errors import SourceError
from foreshard.ports import Wanted

WANTED = Wanted(columns={"g": "gauge"}, entity="entity", time="ts")


def table(folder: Path, rows: str, *, name: str = "data.csv") -> Path:
    file = folder / name
    file.write_text(rows, encoding="utf-8")
    return file


def made(folder: Path, sql: str, *, name: str = "data.parquet") -> Path:
    file = folder / name
    duckdb.connect(":memory:").execute(f"COPY ({sql}) TO '{file}' (FORMAT parquet)")
    return file


CSV = "entity,ts,gauge\nb,60,2.5\na,60,1.5\na,0,NaN\nb,0,2.0\n"


def test_rows_come_sorted_by_entity_and_time(tmp_path: Path) -> None:
    found = TableArchive(table(tmp_path, CSV)).read(WANTED)
    assert found.entities == ("a", "b")
    assert found.entity.tolist() == [0, 0, 1, 1]
    assert found.time_s.tolist() == [0.0, 60.0, 0.0, 60.0]
    assert np.array_equal(found.columns["g"], [np.nan, 1.5, 2.0, 2.5], equal_nan=True)


def test_parquet_keeps_its_bits_and_timestamps_become_seconds(tmp_path: Path) -> None:
    sql = (
        "SELECT 'a' AS entity, make_timestamp(1700000000000000 + 60000000 * i) AS ts, "
        "CAST(i / 3 AS FLOAT) AS gauge, 'x' AS grp FROM range(3) t(i)"
    )
    wanted = Wanted(columns={"g": "gauge"}, entity="entity", time="ts", group="grp")
    found = TableArchive(made(tmp_path, sql)).read(wanted)
    assert found.time_s.tolist() == [1.7e9, 1.7e9 + 60.0, 1.7e9 + 120.0]
    assert found.columns["g"].dtype == np.float32
    assert found.groups == ("x",)


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    for i in range(2):
        made(tmp_path, f"SELECT 'a' AS entity, {i} AS ts, 1.0 AS gauge", name=f"{i}.parquet")
    assert len(TableArchive(tmp_path).read(WANTED).time_s) == 2


def test_units_of_time_are_those_of_the_spec(tmp_path: Path) -> None:
    wanted = Wanted(columns={"g": "gauge"}, entity="entity", time="ts", unit_s=1e-3)
    assert TableArchive(table(tmp_path, CSV)).read(wanted).time_s[1] == pytest.approx(0.06)


def test_entities_may_be_numbers_and_names_may_be_odd(tmp_path: Path) -> None:
    file = table(tmp_path, 'the "id",ts,a b\n7,0,1\n', name="it's.csv")
    wanted = Wanted(columns={"g": "a b"}, entity='the "id"', time="ts")
    assert TableArchive(file).read(wanted).entities == ("7",)


def test_infinity_is_missing(tmp_path: Path) -> None:
    file = made(tmp_path, "SELECT 'a' AS entity, 0 AS ts, CAST('inf' AS DOUBLE) AS gauge")
    assert np.isnan(TableArchive(file).read(WANTED).columns["g"][0])


def test_every_column_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = table(tmp_path, "cell,ts,gauge\na,0,high\n")
    with pytest.raises(SourceError) as refused:
        TableArchive(file).read(
            Wanted(columns={"g": "gauge", "m": "gauges"}, entity="entity", time="ts")
        )
    said = str(refused.value)
    assert "no column 'entity' (the entity); there are cell, ts, gauge" in said
    assert "no column 'gauges' (gauge m); did you mean 'gauge'?" in said
    assert "column 'gauge' (gauge g) is VARCHAR, must be numbers" in said


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("entity,ts,gauge\na,0,1\na,0,2\nb,5,1\n", "1 moments have more than one row: a at 0"),
        ("entity,ts,gauge\n,0,1\na,1,2\n", "1 of 2 rows have no 'entity' or no 'ts'"),
        ("entity,ts,gauge\n", "has no rows"),
        ("entity,ts,gauge\na,soon,1\n", "'ts' \\(the time\\) is VARCHAR, must be numbers"),
    ],
)
def test_bad_rows_are_refused_in_words(rows: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        TableArchive(table(tmp_path, rows)).read(WANTED)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        TableArchive(tmp_path / "none.parquet").read(WANTED)
    with pytest.raises(SourceError, match="must end in one of"):
        TableArchive(table(tmp_path, "x", name="x.txt")).read(WANTED)
    with pytest.raises(SourceError, match="cannot be read as a table"):
        TableArchive(table(tmp_path, "not parquet at all", name="x.parquet")).read(WANTED)


def test_forecasts_read_back_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    rows = ForecastRows(
        model="m",
        horizon_s=300.0,
        entity=np.array([1, 0]),
        time_s=np.array([60.0, 0.0]),
        p=np.array([0.25, np.nan], dtype=np.float32),
    )
    write_forecasts(file, ["a", "b"], [rows], with_model=False)
    base = duckdb.connect(":memory:")
    found = base.execute("SELECT * FROM read_parquet(?)", [str(file)])
    assert [column[0] for column in found.description] == ["entity", "ts", "horizon_s", "p"]
    assert found.fetchall() == [("a", 0.0, 300.0, None), ("b", 60.0, 300.0, 0.25)]
    write_forecasts(file, ["a", "b"], [rows], with_model=True)
    again = base.execute("SELECT DISTINCT model FROM read_parquet(?)", [str(file)])
    assert again.fetchall() == [("m",)]
    with pytest.raises(SourceError, match="cannot be written"):
        write_forecasts(tmp_path / "no" / "f.parquet", ["a", "b"], [rows], with_model=False)
