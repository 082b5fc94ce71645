from __future__ import annotations

from pathlib import Path

import pytest

from foreshard.lab.trial.runner import missing, played
from foreshard.lab.trial.task import Task, seeds_of
from foreshard.model.errors import InvalidValueError, LabError
from tests.lab.trial.sample import task


def touch(one: Task) -> None:
    if one.policy == "broken":
        raise LabError("it fell over")
    one.path.write_text(one.label, encoding="utf-8")


@pytest.mark.parametrize("jobs", [1, 2])
def test_everything_missing_is_played_and_what_is_there_is_not(tmp_path: Path, jobs: int) -> None:
    tasks = [task(tmp_path, seed=seed) for seed in (1, 2, 3)]
    touch(tasks[1])
    left = missing(tasks)
    assert [each.seed for each in left] == [1, 3]
    assert {e.task.seed for e in played(left, touch, jobs=jobs)} == {1, 3}
    assert missing(tasks) == ()


def test_a_record_that_two_ask_for_is_played_once(tmp_path: Path) -> None:
    assert len(missing([task(tmp_path), task(tmp_path), task(tmp_path, seed=2)])) == 2


def test_a_run_that_fails_leaves_a_hole_and_says_why(tmp_path: Path) -> None:
    tasks = [task(tmp_path, "broken"), task(tmp_path)]
    ended = {e.task.policy: e.because for e in played(tasks, touch, jobs=1)}
    assert ended == {"broken": "it fell over", "sticky": ""}
    assert [each.policy for each in missing(tasks)] == ["broken"]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (3,)), ("1-4", (1, 2, 3, 4)), ("7, 1-2,2", (1, 2, 7))]
)
def test_seeds_are_read_as_people_write_them(text: str, seeds: tuple[int, ...]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "3-1", "1-", "-4", "1;2", "0-99999999"])
def test_what_says_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="seeds are"):
        seeds_of(text)
