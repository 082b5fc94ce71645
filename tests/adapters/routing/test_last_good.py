"""What a relay remembers: whole, or refused with a reason."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from foreshard.adapters.routing.last_good import Kept, LastGood
from foreshard.adapters.routing.seal import Seal
from foreshard.model.errors import SinkError
from tests.adapters.routing.test_edition import KEY, NEW, OLD, PLAIN, made


def test_nothing_was_ever_kept_in_an_empty_directory(tmp_path: Path) -> None:
    assert LastGood(tmp_path, "eu", PLAIN).load() == Kept(edition=None)


def test_the_newest_edition_comes_back_and_says_when_it_was_last_confirmed(tmp_path: Path) -> None:
    store = LastGood(tmp_path / "kept", "eu", PLAIN)
    store.save(OLD)
    store.save(NEW)
    file = tmp_path / "kept" / "eu.edition"
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert store.load() == Kept(edition=NEW, confirmed_at_s=1_700_000_000, is_newest=True)
    store.confirm()
    assert store.load().confirmed_at_s > 1_700_000_000


def test_a_file_from_the_future_was_confirmed_now_at_the_latest(tmp_path: Path) -> None:
    store = LastGood(tmp_path, "eu", PLAIN)
    store.save(OLD)
    os.utime(tmp_path / "eu.edition", (2**32, 2**32))
    assert store.load().confirmed_at_s <= time.time()


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_damaged_file_is_refused_and_the_one_before_it_serves(tmp_path: Path, cut: int) -> None:
    store = LastGood(tmp_path, "eu", PLAIN)
    store.save(OLD)
    store.save(NEW)
    file = tmp_path / "eu.edition"
    file.write_bytes(file.read_bytes()[:cut])
    kept = store.load()
    assert kept.edition == OLD
    (problem,) = kept.problems
    assert problem.startswith(f"last good plan {file} is refused: ")


def test_two_damaged_files_are_two_problems_and_no_plan(tmp_path: Path) -> None:
    store = LastGood(tmp_path, "eu", PLAIN)
    store.save(OLD)
    store.save(NEW)
    for file in tmp_path.iterdir():
        file.write_bytes(b"{}")
    kept = store.load()
    assert kept.edition is None
    assert len(kept.problems) == 2


def test_a_key_that_changed_refuses_what_was_kept(tmp_path: Path) -> None:
    LastGood(tmp_path, "eu", KEY).save(OLD)
    kept = LastGood(tmp_path, "eu", Seal(b"another key of some length")).load()
    assert kept.edition is None
    assert "another key" in kept.problems[0]


def test_the_plan_of_another_origin_is_refused_under_this_name(tmp_path: Path) -> None:
    LastGood(tmp_path, "us", PLAIN).save(made({"search": ["a"]}, origin="us"))
    (tmp_path / "us.edition").rename(tmp_path / "eu.edition")
    kept = LastGood(tmp_path, "eu", PLAIN).load()
    assert kept.edition is None
    assert "for origin 'us', not 'eu'" in kept.problems[0]


def test_an_origin_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    store = LastGood(directory, "../eu", PLAIN)
    store.save(made({"search": ["a"]}, origin="../eu"))
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert store.load().edition is not None


def test_a_disk_that_refuses_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        LastGood(blocked, "eu", PLAIN).save(OLD)
    with pytest.raises(SinkError, match="cannot be touched"):
        LastGood(tmp_path, "eu", PLAIN).confirm()


def test_a_full_disk_costs_neither_the_plan_nor_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LastGood(tmp_path, "eu", PLAIN)
    store.save(OLD)
    store.save(NEW)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SinkError, match="No space left"):
        store.save(made({"search": ["c"]}, version=43))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_refused_file_does_not_take_the_place_of_the_good_one_before_it(tmp_path: Path) -> None:
    store = LastGood(tmp_path, "eu", PLAIN)
    store.save(OLD)
    store.save(NEW)
    (tmp_path / "eu.edition").write_bytes(b"damaged")
    kept = store.load()
    assert (kept.edition, kept.is_newest) == (OLD, False)
    store.save(made({"search": ["c"]}, version=43))
    (tmp_path / "eu.edition").write_bytes(b"damaged again")
    assert store.load().edition == OLD
