"""A fleet that goes to a very short school, and flies what it learned there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.adapters.store.segments import segments_in, spans_of
from foreshard.app.flying import Schooled
from foreshard.app.schooling import SEED, Report, School, attend, report_in, seed_beside
from foreshard.lab.run import run
from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.school.curriculum import Term
from foreshard.lab.simulation.record import RunRecord
from foreshard.model.errors import LabError
from tests.app.past_on_disk import install_student
from tests.lab.simulation.small import FORMULA, scenario_of

LEAK = FaultLine(kind=Kind.LEAK, cells=("eu-2",), at_s=20.0, grows_s=50.0)
EXAM = scenario_of(LEAK, duration_s=85.0, pace=15.0)
TERM = Term(days=2.0, lessons=8, lesson_s=3_600.0, calm_s=2_400.0, rest_s=3_600.0)
LEARNER = "student"


def school_in(folder: Path, scenario: Scenario = EXAM, *, seed: int = SEED) -> School:
    return School(scenario=scenario, folder=folder, seed=seed, term=TERM)


@pytest.fixture(scope="module", autouse=True)
def _student(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(install_student(tmp_path_factory.mktemp("student")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edition")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return attend(school_in(folder), LEARNER, core=FORMULA)


@pytest.fixture(scope="module")
def flight(folder: Path, report: Report) -> RunRecord:
    assert report.wins, report.because
    return flown(folder, LEARNER)


def flown(folder: Path, learner: str, *, is_contested: bool = True) -> RunRecord:
    seed = 3
    policy = Schooled(
        name=f"foreshard-{learner}", learner=learner, is_contested=is_contested, term=TERM
    )
    policy = policy.after_school(EXAM, folder=folder, seed=seed, core=FORMULA)
    return run(EXAM, policy, seed=seed, core=FORMULA)


def days_of(school: School) -> dict[str, NDArray[np.generic]]:
    found: dict[str, list[NDArray[np.generic]]] = {}
    for rows in spans_of(segments_in(school.directory / "history")):
        columns: dict[str, NDArray[np.generic]] = {"": rows.time_s, "load": rows.load}
        for name, column in (columns | dict(rows.gauges)).items():
            found.setdefault(name, []).append(column)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def test_a_school_is_kept_under_the_fleet_and_not_under_what_befalls_it(tmp_path: Path) -> None:
    quiet = scenario_of(duration_s=200.0, pace=15.0)
    assert school_in(tmp_path, quiet).directory == school_in(tmp_path).directory
    slower = scenario_of(LEAK, duration_s=85.0, pace=10.0)
    assert school_in(tmp_path, slower).directory != school_in(tmp_path).directory
    assert all(seed_beside(seed) != seed for seed in (1, 2, SEED, SEED + 1))


def test_the_same_seed_gives_the_same_days_and_the_same_model(
    folder: Path, report: Report, tmp_path: Path
) -> None:
    # Not even a fleet that has another exam before it learns anything else.
    again = school_in(tmp_path, scenario_of(duration_s=200.0, pace=15.0))
    assert attend(again, LEARNER, core=FORMULA).model == report.model != ""
    first, second = days_of(school_in(folder)), days_of(again)
    assert list(first) == list(second)
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name])
    other = school_in(tmp_path, seed=SEED + 1)
    attend(other, LEARNER, core=FORMULA)
    assert not np.array_equal(days_of(other)["load"], first["load"])


def test_nobody_goes_to_the_same_school_twice(folder: Path, report: Report) -> None:
    told: list[str] = []
    again = attend(
        school_in(folder), LEARNER, core=FORMULA, tell=lambda what, _: told.append(what)
    )
    assert again == report
    assert told == []


def test_what_was_learned_reaches_the_engine_from_the_first_minute(
    flight: RunRecord, report: Report
) -> None:
    by = {name: n for name, n in flight.counts.items() if name.startswith("foreseen by ")}
    mine = by.pop(f"foreseen by {report.model}")
    # Before the worker has spoken for the first time, the trend does.
    assert mine > 20 * sum(by.values())
    events = {str(line["event"]) for line in flight.log}
    assert {"school.attended", "champion.flies"} <= events
    assert "school.failed" not in events
    assert len(flight.risk.at_s) == mine + sum(by.values())


def test_a_flight_leaves_the_school_as_it_was_and_comes_out_the_same_again(
    folder: Path, flight: RunRecord
) -> None:
    before = sorted(path.name for path in school_in(folder).directory.rglob("*"))
    assert flown(folder, LEARNER).digest() == flight.digest()
    assert sorted(path.name for path in school_in(folder).directory.rglob("*")) == before


def test_who_loses_its_contest_does_not_fly_and_the_run_says_so(
    folder: Path,
) -> None:
    # Headroom stands against itself in its contest, and nobody wins against himself.
    record = flown(folder, "headroom")
    said = [line for line in record.log if line["event"] == "school.failed"]
    assert [line["level"] for line in said] == ["error"]
    assert "does not fly" in str(said[0]["because"])
    assert said[0]["effect"] == "forecasts are those of trend alone"
    by = {name for name in record.counts if name.startswith("foreseen by ")}
    assert by == {"foreseen by trend"}
    lost = report_in(school_in(folder).note("headroom"))
    assert not lost.wins
    alone = flown(folder, "headroom", is_contested=False)
    assert f"foreseen by {lost.model}" in alone.counts


def test_a_learner_that_cannot_learn_is_reported_with_its_reason(
    folder: Path, report: Report
) -> None:
    made = attend(school_in(folder), "hazard", core=FORMULA)
    assert (made.model, made.wins) == ("", False)
    assert "days of history, it takes at least 2" in made.because
    assert made.played_s == report.played_s


def test_a_report_that_is_none_is_refused(tmp_path: Path) -> None:
    note = tmp_path / "hazard.json"
    note.write_text(json.dumps({"learner": "hazard"}), encoding="utf-8")
    with pytest.raises(LabError, match="holds no report"):
        report_in(note)
