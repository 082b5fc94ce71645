"""What `serve` remembers: whole, or refused with a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from foreshard.adapters.routing.committed import Committed, CommittedTable, Freeze, FreezeFile
from foreshard.adapters.routing.table_json import decode_table
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from tests.adapters.routing.test_table_json import sample


def table(version: int) -> RoutingTable:
    return decode_table({**sample(), "version": version})


def test_nothing_was_ever_committed_in_an_empty_directory(tmp_path: Path) -> None:
    assert CommittedTable(tmp_path).load() == Committed(table=None)


def test_the_newest_table_comes_back(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        CommittedTable(tmp_path).save(table(version))
    assert CommittedTable(tmp_path).load() == Committed(table=table(3))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "committed.json",
        "committed.previous.json",
    ]


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_damaged_file_is_refused_and_the_one_before_it_serves(tmp_path: Path, cut: int) -> None:
    committed = CommittedTable(tmp_path)
    committed.save(table(1))
    committed.save(table(2))
    path = tmp_path / "committed.json"
    path.write_bytes(path.read_bytes()[:cut])

    found = committed.load()

    assert found.table == table(1)
    assert "not JSON" in found.problems[0]
    assert str(path) in found.problems[0]


def test_a_pipe_or_a_device_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    committed = CommittedTable(tmp_path)
    committed.save(table(1))
    committed.save(table(2))
    path = tmp_path / "committed.json"
    path.unlink()
    for lay in (os.mkfifo, lambda place: place.symlink_to("/dev/zero")):
        lay(path)
        found = committed.load()
        assert found.table == table(1)
        assert "it is no regular file" in found.problems[0]
        path.unlink()
    os.mkfifo(tmp_path / "frozen.json")
    freeze = FreezeFile(tmp_path).load()
    assert freeze is not None
    assert "is unreadable" in freeze.reason


def test_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    committed = CommittedTable(tmp_path)
    committed.save(table(7))
    path = tmp_path / "committed.json"
    path.write_text(path.read_text().replace('"version": 7', '"version": 9'))
    found = committed.load()
    assert found.table is None
    assert "checksum is" in found.problems[0]


def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot be written"):
        CommittedTable(tmp_path / "gone").save(table(1))


def test_a_freeze_is_kept_until_it_is_ended(tmp_path: Path) -> None:
    file = FreezeFile(tmp_path)
    assert file.load() is None
    file.save(Freeze(reason="release", since_s=12.5))
    assert FreezeFile(tmp_path).load() == Freeze(reason="release", since_s=12.5)
    file.save(None)
    assert file.load() is None


def test_an_unreadable_freeze_freezes(tmp_path: Path) -> None:
    (tmp_path / "frozen.json").write_text(json.dumps({"since_s": 3}))
    freeze = FreezeFile(tmp_path).load()
    assert freeze is not None
    assert "unreadable" in freeze.reason
