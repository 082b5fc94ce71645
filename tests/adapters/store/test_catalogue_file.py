"""Editions and tokens on the disk: whole or not there, whoever is killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foreshard.adapters.store import editions
from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.adapters.store.editions import Editions
from foreshard.adapters.store.questions import Questions
from foreshard.adapters.store.tokens import Tokens
from foreshard.model.catalogue import Actor, Edition, Role
from foreshard.model.errors import EditError, NotThereError, StaleEditError, StoreError

ANNA = Actor(name="anna", role=Role.OPERATOR)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[CatalogueFile]:
    with CatalogueFile(tmp_path) as opened:
        yield opened


def append(file: CatalogueFile, expected: int, size: int = 1) -> Edition:
    return Editions(file).append(
        {"text": "x" * size}, expected=expected, by=ANNA, action="try", base="b", at_s=1.0
    )


def test_an_edition_comes_back_as_it_was_made(file: CatalogueFile) -> None:
    kept = Editions(file)
    assert (kept.newest_version(), kept.edition(1), kept.editions()) == (0, None, ())
    made = append(file, 0)
    assert made.version == kept.newest_version() == 1
    assert kept.edition(1) == made
    follows = kept.append(None, expected=1, by=ANNA, action="back", base="b", at_s=2.0)
    assert kept.editions() == (follows, made)
    assert [(deed.version, deed.by) for _, deed in kept.deeds()] == [(2, ANNA), (1, ANNA)]


def test_whoever_comes_second_is_told(file: CatalogueFile) -> None:
    append(file, 0)
    with pytest.raises(StaleEditError, match="version is 1, not 0"):
        append(file, 0)
    assert len(Editions(file).deeds()) == 1


def test_of_many_writers_each_version_is_had_by_one(tmp_path: Path) -> None:
    def write(_: int) -> int:
        with CatalogueFile(tmp_path) as own:
            while True:
                try:
                    return append(own, Editions(own).newest_version()).version
                except StaleEditError:
                    continue

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, range(12))) == list(range(1, 13))


WRITER = """
import sys
from pathlib import Path
from foreshard.adapters.store.catalogue_file import CatalogueFile
from tests.adapters.store.test_catalogue_file import append
with CatalogueFile(Path(sys.argv[1])) as file:
    for version in range(100_000):
        append(file, version, size=100_000)
        print(version + 1, flush=True)
"""


def test_what_was_said_to_be_kept_is_there_after_a_kill_and_nothing_is_half(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        said += [int(line) for line in writer.stdout]
    with CatalogueFile(tmp_path) as file:
        kept = Editions(file)
        newest = kept.newest_version()
        assert newest in {said[-1], said[-1] + 1}
        for each in kept.editions(most=1_000):
            assert each.document == {"text": "x" * 100_000}
        assert [deed.version for _, deed in kept.deeds(most=1_000)] == list(range(newest, 0, -1))
        append(file, newest)


def test_old_editions_make_room_and_the_newest_stays(
    file: CatalogueFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editions, "MOST_EDITIONS", 3)
    for version in range(5):
        append(file, version)
    assert [each.version for each in Editions(file).editions()] == [5, 4, 3]
    monkeypatch.setattr(editions, "MOST_CHARACTERS", 10)
    append(file, 5, size=100)
    assert [each.version for each in Editions(file).editions()] == [6]
    monkeypatch.setattr(editions, "LARGEST", 50)
    with pytest.raises(EditError, match="at most 50"):
        append(file, 6, size=100)


def test_a_token_is_found_by_its_secret_alone_until_it_is_revoked(file: CatalogueFile) -> None:
    tokens = Tokens(file)
    token, secret = tokens.create(ANNA, by=ANNA, now_s=1.0, expires_s=5.0)
    assert tokens.find(secret) == token
    assert tokens.find(secret[:-1]) is None
    assert token.is_good(4.9)
    assert not token.is_good(5.0)
    tokens.revoke(token.id, by=ANNA, now_s=3.0)
    found = tokens.find(secret)
    assert found is not None
    assert not found.is_good(4.0)
    with pytest.raises(NotThereError, match="'nope'"):
        tokens.revoke("nope", by=ANNA, now_s=3.0)


def test_a_question_is_answered_once_and_forgotten(file: CatalogueFile) -> None:
    questions = Questions(file)
    first = questions.ask({"n": 1}, now_s=10.0)
    second = questions.ask({"n": 2}, now_s=11.0)
    assert questions.open(since_s=0.0) == (first, {"n": 1})
    assert questions.take(first) is None
    questions.answer(first, {"a": 1})
    assert questions.open(since_s=0.0) == (second, {"n": 2})
    assert questions.open(since_s=12.0) is None
    assert questions.take(first) == {"a": 1}
    assert questions.take(first) is None
    questions.withdraw(second)
    questions.answer(second, {"a": 2})
    assert questions.take(second) is None


def test_another_s_file_and_a_newer_one_are_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "catalogue.sqlite") as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="another program's"):
        CatalogueFile(tmp_path)
    newer = tmp_path / "newer"
    CatalogueFile(newer).close()
    with sqlite3.connect(newer / "catalogue.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="has schema 99"):
        CatalogueFile(newer)
