from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from foreshard.adapters.store import late, schema
from foreshard.adapters.store.schema import FILE_NAME, SCHEMA_VERSION, newer_state
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app import deciding
from foreshard.app.deciding import _store, _store_or_later
from foreshard.model.errors import StoreError


def test_a_damaged_store_is_put_aside_and_steering_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with _store(directory) as store:
        store.put("status", {"version": 1})
    for file in directory.iterdir():
        file.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with _store(directory) as store:
        assert store.get("status") is None
    assert len(list(tmp_path.glob("state.damaged-*"))) == 1


def test_a_file_where_the_directory_should_be_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    with _store(tmp_path / "state") as store:
        store.put("status", {"version": 1})
    assert len(list(tmp_path.glob("state.damaged-*"))) == 1


def test_a_full_disk_does_not_keep_the_engine_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = "SQLITE_FULL"
    is_full = [True]

    def opened(directory: Path) -> SqliteStore:
        if is_full[0]:
            raise StoreError("store: database or disk is full") from full
        return SqliteStore(directory)

    monkeypatch.setattr(deciding, "_store", opened)
    monkeypatch.setattr(late, "AGAIN_S", 0.0)
    with _store_or_later(tmp_path / "state") as store:
        assert store.get("memory") is None
        with pytest.raises(StoreError, match="disk is full"):
            store.put("memory", {"a": 1})
        is_full[0] = False
        store.put("memory", {"a": 1})
        assert store.get("memory") == {"a": 1}


def test_a_store_that_somebody_else_holds_still_stops_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(directory: Path) -> SqliteStore:
        raise StoreError("store: in use")

    monkeypatch.setattr(deciding, "_store", held)
    with pytest.raises(StoreError, match="in use"):
        _store_or_later(tmp_path / "state")


def test_a_newer_store_is_put_aside_after_its_memory_was_taken_over(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with _store(directory) as store:
        store.put("memory", {"cells": {"eu-1": {"phase": "drained"}}, "long": "x" * 5000})
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with _store(directory) as store:
        memory = store.get("memory")
        assert memory is not None
        assert memory["cells"] == {"eu-1": {"phase": "drained"}}
    (aside,) = tmp_path.glob("state.newer-*")
    assert newer_state(aside / FILE_NAME) is not None, "it is kept as it was"


def test_an_older_store_is_brought_up_to_date_and_nothing_of_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _store(tmp_path) as store:
        store.put("memory", {"kept": 1})
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    script = "CREATE TABLE note (text TEXT)"
    monkeypatch.setattr(schema, "MIGRATIONS", {**schema.MIGRATIONS, SCHEMA_VERSION: script})
    with _store(tmp_path) as store:
        assert store.get("memory") == {"kept": 1}
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)
        assert connection.execute("SELECT count(*) FROM note").fetchone() == (0,)
