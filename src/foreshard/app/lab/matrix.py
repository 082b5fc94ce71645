"""This module is scenarios x policies x seeds as tasks, and the scores of what was played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foreshard.app.lab.bounding import BOUND, bound_of
from foreshard.app.lab.cast import core_for, learner_of, policy_names
from foreshard.app.lab.playing import UNRELIEVED, calm_twin, edition, school_of, where
from foreshard.app.schooling import Report, report_in
from foreshard.config.scenario import read_scenario, shipped_scenarios, text_of_scenario
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.trial.score import Companions, Score, score
from foreshard.lab.trial.task import Task
from foreshard.model.errors import LabError

__all__ = ["FOLDER", "LIVE", "SIM", "Entry", "Matrix", "entries", "matrix", "shelf"]

FOLDER = Path("build/lab")
SIM = "sim"
LIVE = "live"
# Their rows never change: what they have there is what they have anywhere.
FIXED = frozenset({"static", "outlier", "sticky", "p2c", "prequal"})
# Whoever moves because it knows moves with reason.
KNOWING = frozenset({"oracle"})
# Made for the live stage, or to be held against what was measured there.
APART = ("live-", "measured-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A scenario and the text of its file."""

    text: str
    scenario: Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """All runs that are wanted.

    Attributes:
        entries: The scenarios.
        policies: Their names, in the order of the tables.
        seeds: Of each.
        core: Name of the plant; "" = by size.
        stage: `sim` or `live`.
        folder: Where records are kept, of this edition.
    """

    entries: tuple[Entry, ...]
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    core: str = ""
    stage: str = SIM
    folder: Path

    def tasks(self) -> list[Task]:
        """Everything to be played, seed after seed, so that a part of it is a small whole.

        Schools come first: whoever plays before his has ended waits for it.
        """
        return (
            [*self._schools()]
            + [
                task
                for seed in self.seeds
                for entry in self.entries
                for policy in self.policies
                for task in self._pair(entry, policy, seed)
            ]
            + ([self._bounding(entry) for entry in self.entries] if self.stage == SIM else [])
        )

    def task(self, entry: Entry, policy: str, seed: int, *, is_calm: bool = False) -> Task:
        """One field."""
        core = core_for(entry.scenario, self.core) if self.stage == SIM else LIVE
        played = calm_twin(entry.scenario, policy) if is_calm else entry.scenario
        return Task(
            scenario=entry.scenario.name,
            text=entry.text,
            policy=policy,
            seed=seed,
            core=core,
            is_calm=is_calm,
            path=where(self.folder, played, policy, seed, core),
        )

    def schools(self) -> Iterator[tuple[Task, Report]]:
        """Who went to school, and what came of it, once each."""
        found = {task.path: task for task in self._schools() if task.path.exists()}
        for path, task in found.items():
            yield task, report_in(path)

    def scores(self, entry: Entry) -> dict[str, list[Score]]:
        """By policy, over the seeds that all of them were played with."""
        seeds = [
            seed
            for seed in self.seeds
            if all(self.task(entry, policy, seed).path.exists() for policy in self.policies)
        ]
        found: dict[str, list[Score]] = {policy: [] for policy in self.policies}
        for seed in seeds:
            for policy, one in zip(self.policies, self._scored(entry, seed), strict=True):
                found[policy].append(one)
        return found if seeds else {}

    def _scored(self, entry: Entry, seed: int) -> Iterator[Score]:
        records = {p: RunRecord.load(self.task(entry, p, seed).path) for p in self.policies}
        bound = self._bound(entry)
        twins = {p: self._twin(entry, p, seed, record) for p, record in records.items()}
        for policy, record in records.items():
            yield score(
                record,
                entry.scenario,
                Companions(
                    calm=record if policy in FIXED else twins[policy],
                    unrelieved=records.get(self._unrelieved),
                    unrelieved_calm=twins.get(self._unrelieved),
                    bound=bound,
                ),
            )

    @property
    def _unrelieved(self) -> str:
        """Who never takes work off a living cell; "" = nobody who is played."""
        return next((name for name in UNRELIEVED if name in self.policies), "")

    def _pair(self, entry: Entry, policy: str, seed: int) -> Iterator[Task]:
        yield self.task(entry, policy, seed)
        if self._has_twin(entry, policy):
            yield self.task(entry, policy, seed, is_calm=True)

    def _schools(self) -> Iterator[Task]:
        learners = [name for p in self.policies if self.stage == SIM and (name := learner_of(p))]
        for entry in self.entries:
            for learner in learners:
                yield school_of(
                    self.folder,
                    entry.scenario,
                    learner,
                    text=entry.text,
                    seed=self.seeds[0],
                    core=core_for(entry.scenario, self.core),
                )

    def _has_twin(self, entry: Entry, policy: str) -> bool:
        """Where nothing happens anyway, a run is its own twin."""
        if not entry.scenario.faults or policy in KNOWING or self.stage == LIVE:
            return False
        return policy not in FIXED or policy == self._unrelieved

    def _twin(self, entry: Entry, policy: str, seed: int, record: RunRecord) -> RunRecord | None:
        if not entry.scenario.faults:
            return record
        path = self.task(entry, policy, seed, is_calm=True).path
        wanted = self._has_twin(entry, policy) and path.exists()
        return RunRecord.load(path) if wanted else None

    def _bounding(self, entry: Entry) -> Task:
        """The bound does not hang on how requests are followed, nor on who is played."""
        return Task(
            scenario=entry.scenario.name,
            text=entry.text,
            policy=BOUND,
            seed=0,
            core=BOUND,
            is_calm=False,
            path=where(self.folder, entry.scenario, BOUND, 0, BOUND),
        )

    def _bound(self, entry: Entry) -> float | None:
        path = self._bounding(entry).path
        return bound_of(path, entry.scenario) if path.exists() else None


def entries(named: Sequence[str]) -> tuple[Entry, ...]:
    """Scenarios by name or path, each once.

    Raises:
        ConfigError: One does not exist, or something in it is wrong.
        LabError: Two of them have one name.
    """
    found: dict[str, Entry] = {}
    for each in dict.fromkeys(named):
        text = text_of_scenario(each)
        entry = Entry(text=text, scenario=read_scenario(text, name=each))
        name = entry.scenario.name
        if name in found and found[name].text != text:
            raise LabError(f"scenario {each}: another one is called {name!r} too; rename one")
        found[name] = entry
    return tuple(found.values())


def shelf() -> tuple[str, ...]:
    """The scenarios of the scoreboard."""
    return tuple(name for name in shipped_scenarios() if not name.startswith(APART))


def matrix(
    named: Sequence[str],
    policies: Sequence[str],
    seeds: tuple[int, ...],
    *,
    core: str = "",
    stage: str = SIM,
    folder: Path = FOLDER,
) -> Matrix:
    """What the words of a command ask for.

    Raises:
        ForeshardError: A scenario, policy or core is unknown or wrong.
    """
    if stage not in (SIM, LIVE):
        raise LabError(f"stage is {stage!r}, must be {SIM} or {LIVE}")
    return Matrix(
        entries=entries(named),
        policies=policy_names(policies),
        seeds=seeds,
        core=core,
        stage=stage,
        folder=folder / edition(),
    )
