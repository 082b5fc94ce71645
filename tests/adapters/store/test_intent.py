from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.adapters.store import schema
from foreshard.adapters.store.reading import SqliteReader
from foreshard.adapters.store.schema import FILE_NAME
from foreshard.adapters.store.sqlite import Retention, SqliteStore
from foreshard.model.errors import InvalidValueError, StoreError
from foreshard.model.plan import COIN_S, Decision, Hold, Intent, IntentSpan, Plan, Reason

DAY_S = 86_400.0
INTENT = Intent(cell="eu-1", request_class="report", p=0.6, propensity=0.9, acted=False)


def asked(now_s: float, *intents: Intent, code: str = "memory.exhausts") -> Decision:
    because = (Reason(subject="eu-1", code=code, text="why"),)
    return Decision(
        now_s=now_s, routing=Hold(because=because), plan=Plan(splits={}), intents=intents
    )


def before_intents(directory: Path) -> None:
    """Make a store as the Foreshard before this one left it."""
    SqliteStore(directory).close()
    with closing(sqlite3.connect(directory / FILE_NAME)) as db:
        db.executescript("DROP TABLE intent; PRAGMA user_version = 1")


def test_what_is_repeated_under_one_coin_is_one_row_with_its_highest_p(tmp_path: Path) -> None:
    with SqliteStore(tmp_path) as store:
        for i, p in enumerate((0.6, 0.9, 0.7)):
            store.record(asked(10.0 + 5.0 * i, replace(INTENT, p=p)), {})
        store.record(asked(30.0), {})
        assert store.intents() == (
            IntentSpan(intent=replace(INTENT, p=0.9), first_s=10.0, last_s=20.0),
        )
    with SqliteReader(tmp_path) as reader:
        (span,) = reader.intents()
    assert span.coin == 0


def test_cells_classes_coins_and_sides_of_the_coin_have_rows_of_their_own(
    tmp_path: Path,
) -> None:
    others = (
        replace(INTENT, cell="eu-2"),
        replace(INTENT, request_class=""),
        replace(INTENT, acted=True),
        replace(INTENT, propensity=0.8),
    )
    with SqliteStore(tmp_path) as store:
        store.record(asked(COIN_S - 1.0, INTENT, *others), {})
        store.record(asked(COIN_S, INTENT), {})
        found = store.intents()
    assert {span.intent for span in found} == {INTENT, *others}
    assert [span.coin for span in found] == [0] * 5 + [1]


def test_intents_outlive_the_decisions_that_they_stood_in(tmp_path: Path) -> None:
    retention = Retention(max_age_s=DAY_S, max_intent_age_s=100.0 * DAY_S)
    with SqliteStore(tmp_path, retention=retention) as store:
        for day in range(0, 150, 10):
            store.record(asked(day * DAY_S, INTENT), {})
        assert [span.first_s / DAY_S for span in store.intents()] == list(range(40, 150, 10))
        assert len(store.history("eu-1")) <= 2


def test_the_rows_are_bounded_whatever_is_asked_for(tmp_path: Path) -> None:
    """4 MiB give an eighth to intents: 4,096 rows of 128 bytes."""
    retention = Retention(max_bytes=4 * 1024 * 1024)
    with SqliteStore(tmp_path, retention=retention) as store:
        for hour in range(12):
            many = [replace(INTENT, cell=f"a-cell-of-a-large-fleet-{i}") for i in range(1_000)]
            store.record(asked(hour * COIN_S, *many), {})
        found = store.intents()
        assert len(found) == 4_096
        assert max(span.coin for span in found) == 11
        pages = store._db.execute(
            "SELECT sum(pgsize) FROM dbstat WHERE name = 'intent'"
        ).fetchone()
    assert pages[0] <= retention.max_bytes // 8


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b"]), unique=True), max_size=8))
def test_each_intent_of_each_decision_lies_in_one_span(
    tmp_path_factory: pytest.TempPathFactory, turns: list[list[str]]
) -> None:
    with SqliteStore(tmp_path_factory.mktemp("store")) as store:
        for i, cells in enumerate(turns):
            intents = [replace(INTENT, cell=cell) for cell in cells]
            store.record(asked(i * COIN_S / 3.0, *intents), {})
        found = store.intents()
    for i, cells in enumerate(turns):
        now_s = i * COIN_S / 3.0
        holding = [s for s in found if s.first_s <= now_s <= s.last_s]
        assert {s.intent.cell for s in holding} >= set(cells)
    assert all(s.coin == int(s.last_s // COIN_S) for s in found)


def test_a_decision_that_cannot_be_kept_leaves_no_intent_behind(tmp_path: Path) -> None:
    with SqliteStore(tmp_path) as store:
        store.record(asked(1.0), {})
        store._db.execute(
            "CREATE TRIGGER no BEFORE INSERT ON intent WHEN new.cell = 'eu-9' "
            "BEGIN SELECT raise(ABORT, 'refused'); END"
        )
        with pytest.raises(StoreError, match="refused"):
            store.record(asked(2.0, INTENT, replace(INTENT, cell="eu-9"), code="cell.doubted"), {})
        assert store.intents() == ()
        assert len(store.history("eu-1")) == 1
        store.record(asked(3.0, INTENT), {})
        assert len(store.intents()) == 1


def test_a_store_of_the_foreshard_before_gets_its_table_and_loses_nothing(
    tmp_path: Path,
) -> None:
    before_intents(tmp_path)
    with SqliteReader(tmp_path) as reader, pytest.raises(StoreError) as refused:
        reader.intents()
    assert "has schema 1" in str(refused.value)
    assert "foreshard run" in str(refused.value)
    with SqliteStore(tmp_path) as store:
        store.put("memory", {"kept": 1})
        assert store.intents() == ()
        store.record(asked(1.0, INTENT), {})
        assert len(store.intents()) == 1
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)


def test_a_new_file_and_a_migrated_one_have_the_same_tables(tmp_path: Path) -> None:
    def tables(directory: Path) -> set[tuple[str, str]]:
        SqliteStore(directory).close()
        with closing(sqlite3.connect(directory / FILE_NAME)) as db:
            rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            return {(name, " ".join(sql.split())) for name, sql in rows}

    before_intents(tmp_path / "old")
    assert tables(tmp_path / "old") == tables(tmp_path / "new")


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    with SqliteStore(tmp_path) as store:
        store.record(asked(1.0, INTENT), {})
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute("UPDATE intent SET propensity = 7.0")
        db.commit()
    with (
        SqliteReader(tmp_path) as reader,
        pytest.raises(StoreError, match=r"'eu-1' is damaged: .*propensity is 7\.0"),
    ):
        reader.intents()


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"from 2\.0 to 1\.0"):
        IntentSpan(intent=INTENT, first_s=2.0, last_s=1.0)
    with pytest.raises(InvalidValueError, match="max_intent_age_s is 0"):
        Retention(max_intent_age_s=0.0)
