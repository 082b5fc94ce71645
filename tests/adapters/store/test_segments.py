from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.adapters.store import segment, segments
from foreshard.adapters.store.segment import Rows
from foreshard.adapters.store.segments import Keep, SegmentFiles, segments_in, spans_of
from foreshard.model.errors import StoreError
from foreshard.ports import StepTable

START_S, STEP_S = 1_000_000_020.0, 60.0
KEEP = Keep(for_s=1e9, most_bytes=10**9)


def step(number: int, *, cells: tuple[str, ...] = ("a", "b"), gauge: str = "memory") -> StepTable:
    count = len(cells)
    return StepTable(
        step_s=STEP_S,
        ends_s=START_S + STEP_S * number,
        cells=cells,
        gauges={
            gauge: np.arange(count, dtype=np.float32) + number,
            'latency:it\'s "odd"': np.full(count, np.nan, dtype=np.float32),
        },
        scales_with_load=frozenset({gauge}),
        load=np.full(count, 0.5, dtype=np.float32),
        up_s=np.full(count, np.nan, dtype=np.float32),
        censored=np.arange(count) == 1,
    )


def all_rows(directory: Path, said: list[str] | None = None) -> list[Rows]:
    told = said if said is not None else []
    return list(spans_of(segments_in(directory, refused=told.append), refused=told.append))


def moments(rows: list[Rows], cell: str) -> list[float]:
    return [
        (t - START_S) / STEP_S
        for each in rows
        for t in each.time_s[each.cell == each.cells.index(cell)].tolist()
    ]


def test_steps_come_back_as_they_were_written(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path, KEEP)
    for number in range(3):
        files.publish(step(number))
    (rows,) = all_rows(tmp_path)
    assert rows.cells == ("a", "b")
    assert rows.step_s == STEP_S
    assert rows.scales_with_load == {"memory"}
    assert moments([rows], "a") == [0, 1, 2]
    assert rows.gauges["memory"].tolist() == [0, 1, 2, 1, 2, 3]
    assert np.isnan(rows.gauges['latency:it\'s "odd"']).all()
    assert np.isnan(rows.up_s).all()
    assert rows.censored.tolist() == [False] * 3 + [True] * 3


def test_an_hour_of_steps_becomes_one_file_and_nothing_is_lost(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path, KEEP)
    for number in range(segments.MERGED + 5):
        files.publish(step(number, gauge="memory" if number < 30 else "disk"))
    assert len(segments_in(tmp_path)) == 6
    rows = all_rows(tmp_path)
    assert moments(rows, "b") == list(range(segments.MERGED + 5))
    (first, *_) = rows
    assert np.isnan(first.gauges["disk"][:30]).all()
    assert first.gauges["disk"][30:60].tolist() == list(range(30, 60))


def test_anyone_may_read_them_as_a_tidy_table(tmp_path: Path) -> None:
    SegmentFiles(tmp_path, KEEP).publish(step(4))
    found = duckdb.execute(
        f"SELECT entity, ts, memory, _load FROM '{tmp_path}/*.parquet' ORDER BY entity"  # noqa: S608
    ).fetchall()
    assert found == [("a", START_S + 240.0, 4.0, 0.5), ("b", START_S + 240.0, 5.0, 0.5)]


def test_what_is_too_old_or_too_much_goes_the_oldest_first(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path / "old", Keep(for_s=600.0, most_bytes=10**9))
    for number in range(30):
        files.publish(step(number))
    assert moments(all_rows(tmp_path / "old"), "a") == list(range(19, 30))
    size = segments_in(tmp_path / "old")[0].path.stat().st_size
    files = SegmentFiles(tmp_path / "large", Keep(for_s=1e9, most_bytes=5 * size + size // 2))
    for number in range(30):
        files.publish(step(number))
    assert 3 <= len(segments_in(tmp_path / "large")) <= 6
    assert moments(all_rows(tmp_path / "large"), "a")[-1] == 29


@settings(max_examples=12, deadline=None)
@given(where=st.floats(0.0, 1.0, exclude_max=True), how=st.sampled_from(["cut", "flip", "drop"]))
def test_a_damaged_segment_is_skipped_with_a_reason_and_the_others_are_read(
    tmp_path_factory: pytest.TempPathFactory, where: float, how: str
) -> None:
    directory = tmp_path_factory.mktemp("history")
    files = SegmentFiles(directory, KEEP)
    for number in range(3):
        files.publish(step(number))
    victim = segments_in(directory)[1].path
    content = bytearray(victim.read_bytes())
    at = int(where * len(content))
    if how == "cut":
        content = content[:at]
    elif how == "flip":
        content[at] ^= 0x55
    else:
        del content[at : at + 7]
    victim.write_bytes(content)
    said: list[str] = []
    assert moments(all_rows(directory, said), "a") == [0, 2]
    assert [victim.name in text for text in said] == [True]


def test_foreign_and_newer_files_are_skipped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SegmentFiles(tmp_path, KEEP)
    files.publish(step(1))
    duckdb.sql(f"COPY (SELECT 'x' AS entity, 1.0 AS ts) TO '{tmp_path}/notes.parquet'")
    duckdb.sql(f"COPY (SELECT 'x' AS entity, 1.0 AS ts) TO '{tmp_path}/x.parquet'")
    checksum = segment._checksum(tmp_path / "x.parquet")
    (tmp_path / "x.parquet").rename(tmp_path / f"{10**12}-{10**12}-60000-{checksum:08x}.parquet")
    monkeypatch.setattr(segment, "FORMAT", 99)
    files.publish(step(2))
    monkeypatch.setattr(segment, "FORMAT", 1)
    said: list[str] = []
    assert moments(all_rows(tmp_path, said), "a") == [1]
    assert len(said) == 3
    assert sum("by its name" in text for text in said) == 1
    assert sum("not written by Foreshard" in text for text in said) == 1
    assert sum("newer Foreshard" in text for text in said) == 1


def test_a_damaged_step_does_not_keep_the_others_from_becoming_one(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path, KEEP)
    for number in range(segments.MERGED - 1):
        files.publish(step(number))
    victim = segments_in(tmp_path)[7].path
    victim.write_bytes(b"")
    with pytest.raises(StoreError, match="damaged"):
        files.publish(step(segments.MERGED - 1))
    files.publish(step(segments.MERGED))
    assert len(segments_in(tmp_path)) == 1
    assert len(moments(all_rows(tmp_path), "a")) == segments.MERGED


def test_a_disk_that_refuses_is_said_and_leaves_no_scratch(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        SegmentFiles(tmp_path / "file", KEEP).publish(step(1))
    files = SegmentFiles(tmp_path / "full", KEEP)
    files.publish(step(1))
    with no_file_may_grow_over(600), pytest.raises(StoreError, match="cannot be written"):
        files.publish(step(2))
    assert len(list((tmp_path / "full").iterdir())) == 1
    files.publish(step(3))
    assert moments(all_rows(tmp_path / "full"), "a") == [1, 3]


@contextmanager
def no_file_may_grow_over(most_bytes: int) -> Iterator[None]:
    """What a full disk does, to this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
