from __future__ import annotations

from dataclasses import replace

import pytest

from foreshard.model.errors import InvalidValueError
from foreshard.model.events import DependencyLevel, EventKind, SystemEvent

BUG = SystemEvent(
    id="bug",
    kind=EventKind.KNOWN_BUG,
    cells=frozenset(),
    known_at_s=0.0,
    starts_at_s=0.0,
    ends_at_s=100.0,
    version="4.2",
)


def test_a_bug_is_about_the_cells_that_run_its_version() -> None:
    among = BUG.among({"a": "4.2", "b": "4.1", "c": "4.2"})
    assert among is not None
    assert among.cells == {"a", "c"}


def test_a_bug_of_a_version_that_runs_nowhere_is_about_nobody_and_not_about_all() -> None:
    assert BUG.among({"a": "4.1"}) is None
    assert BUG.among({}) is None


def test_a_bug_of_some_cells_is_not_about_others_of_the_version() -> None:
    among = replace(BUG, cells=frozenset({"a", "b"})).among({"a": "4.2", "b": "4.1", "c": "4.2"})
    assert among is not None
    assert among.cells == {"a"}


def test_what_is_told_of_no_version_is_taken_as_it_is() -> None:
    plain = replace(BUG, version="")
    assert plain.among({"a": "4.1"}) is plain
    deploy = replace(BUG, kind=EventKind.DEPLOY)
    assert deploy.among({"a": "4.1"}) is deploy


def test_a_level_without_a_dependency_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="give both"):
        replace(BUG, kind=EventKind.DEPENDENCY, version="", level=DependencyLevel.MAJOR_OUTAGE)
