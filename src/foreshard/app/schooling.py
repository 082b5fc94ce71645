"""This module is the school of a fleet on trial: a data directory as days of Foreshard leave it.

`history/` holds the days, `models/` what `foreshard train` makes of them, by its own code: the
same record, contest, calibration and card. A school is kept under what it depends on, which is
the fleet, what is asked of it, the seed and the length; nothing of what is to befall it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from foreshard.adapters.store import segment
from foreshard.app.places import history_dir
from foreshard.app.remembering import recorded, siblings_of
from foreshard.app.training import train
from foreshard.app.trying import settings_for
from foreshard.config import Settings
from foreshard.forecast.history import History
from foreshard.lab.run import START_S, Core
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.school.curriculum import Term
from foreshard.lab.school.days import Tell, enrolled, lived, silent, term_for
from foreshard.lab.school.lesson import Class, pupil
from foreshard.lab.simulation.canonical import text_of
from foreshard.model.errors import ForeshardError, LabError

__all__ = [
    "SEED",
    "Report",
    "School",
    "attend",
    "report_in",
    "seed_beside",
    "settings_at_school",
]

# Of the school, unless a trial has taken it.
SEED = 1_000_003
SAMPLES_A_FILE = 360


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a school for one learner.

    Attributes:
        learner: Its name.
        model: Id of the model that was made; "" = none was.
        wins: Whether it flies where it must win its contest.
        because: The verdict of the contest, or why nothing was learned.
        played_s: Seconds of cpu that the days took.
        trained_s: Seconds of cpu that training took.
    """

    learner: str
    model: str
    wins: bool
    because: str
    played_s: float
    trained_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """Which school.

    Attributes:
        scenario: Whose fleet; its faults, length and words are not looked at.
        folder: Where runs of this edition are kept.
        seed: Of the school; not the trial's.
        term: How long it lasts; None = by the size of the fleet.
    """

    scenario: Scenario
    folder: Path
    seed: int
    term: Term | None = None

    @property
    def fleet(self) -> Scenario:
        """Who goes there."""
        return enrolled(pupil(self.scenario))

    @property
    def length(self) -> Term:
        """How long it lasts."""
        return self.term or term_for(len(self.fleet.sites))

    @property
    def directory(self) -> Path:
        """Its data directory."""
        told = f"{text_of(self.fleet)} {self.length!r} {self.seed}"
        return self.folder / "school" / sha256(told.encode()).hexdigest()[:16]

    def note(self, learner: str) -> Path:
        """The file of the report on a learner."""
        return self.directory / f"{learner}.json"


def seed_beside(trial_seed: int) -> int:
    """The seed of the school of a trial: another one."""
    return SEED if trial_seed != SEED else SEED + 1


def attend(school: School, learner: str, *, core: Core, tell: Tell = silent) -> Report:
    """Send a fleet to school for one learner, unless it was there before.

    Args:
        school: Which.
        learner: Name of who learns.
        core: What plays the trial.
        tell: Told what is under way and which part of it is done.

    Returns:
        What came of it; a learner that learned nothing is reported, not raised.

    Raises:
        LabError: The days cannot be played or kept.
    """
    directory, note = school.directory, school.note(learner)
    with _alone(directory):
        if note.exists():
            return report_in(note)
        settings = settings_at_school(school.fleet, learner, directory)
        played_s = _played(school, settings, core, tell)
        began_s = time.process_time()
        try:
            until_s = START_S * school.fleet.pace
            model, wins, because = _trained(settings, learner, until_s, tell)
        except ForeshardError as error:
            model, wins, because = "", False, str(error)
        report = Report(
            learner=learner,
            model=model,
            wins=wins,
            because=because,
            played_s=played_s,
            trained_s=time.process_time() - began_s,
        )
        _write(note, json.dumps(asdict(report), indent=1))
    return report


def settings_at_school(scenario: Scenario, learner: str, directory: Path) -> Settings:
    """How a scenario's fleet keeps its history and trains: as in production, at its pace.

    Args:
        scenario: Whose fleet; a model learns minutes and days, however fast it lives.
        learner: Who learns.
        directory: The data directory.
    """
    settings = settings_for(replace(scenario, pace=1.0), forecast=learner)
    return settings.model_copy(update={"data_dir": directory})


def report_in(note: Path) -> Report:
    """What came of a school, as it was kept.

    Raises:
        LabError: It cannot be read.
    """
    try:
        return Report(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise LabError(f"school {note}: holds no report ({error}); remove it") from error


def _played(school: School, settings: Settings, core: Core, tell: Tell) -> float:
    """Live through the days, unless they are there; seconds of cpu that they took."""
    directory, done = history_dir(settings), school.directory / "days.json"
    if done.exists():
        return float(json.loads(done.read_text(encoding="utf-8"))["played_s"])
    began_s = time.process_time()
    who = Class(
        fleet=school.fleet,
        step_s=settings.history.step_s / school.fleet.pace,
        siblings=siblings_of(settings),
        seed=school.seed,
        core=core,
    )
    history = lived(who, school.length, tell=tell)
    shutil.rmtree(directory, ignore_errors=True)
    _keep(history, directory)
    played_s = time.process_time() - began_s
    _write(done, json.dumps({"played_s": played_s}))
    return played_s


def _trained(
    settings: Settings, learner: str, until_s: float, tell: Tell
) -> tuple[str, bool, str]:
    """Id of the model, whether it won its contest, and why."""

    def stage(text: str) -> Callable[[float], None]:
        return lambda part: tell(text, part)

    refused: list[str] = []
    record = recorded(settings, until_s=until_s, refused=refused.append)
    if refused:
        raise LabError(f"school {settings.data_dir}: {refused[0]}; remove it")
    trained = train(settings, learner, record, now_s=until_s, stage=stage)
    return trained.name, trained.promoted, trained.card.because


def _keep(history: History, directory: Path) -> None:
    """Write the days as an engine would have kept them."""
    times, count = history.time_s(), len(history.cells)
    scales = zip(history.gauges, history.scales_with_load.tolist(), strict=True)
    follows = frozenset(name for name, is_so in scales if is_so)
    for first in range(0, history.samples, SAMPLES_A_FILE):
        part = history.between(first, min(first + SAMPLES_A_FILE, history.samples))
        segment.write(
            directory,
            segment.Rows(
                step_s=history.step_s,
                cells=history.cells,
                cell=np.repeat(np.arange(count), part.samples),
                time_s=np.tile(times[first : first + part.samples], count),
                gauges={n: part.value[:, g].ravel() for g, n in enumerate(history.gauges)},
                scales_with_load=follows,
                load=part.load.ravel(),
                up_s=part.up_s.ravel(),
                censored=part.censored.ravel(),
            ),
        )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Be the only one at a school; whoever comes meanwhile waits, and finds it done."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "school.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise LabError(f"school {directory}: cannot be used ({error})") from error


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
