"""This module is one task being played, in this process, and its record written whole."""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import foreshard
from foreshard import __version__
from foreshard.app.flying import Schooled
from foreshard.app.lab.bounding import BOUND, save_bound
from foreshard.app.lab.cast import CORES, is_told, policy_named
from foreshard.app.schooling import School, attend, seed_beside
from foreshard.config.scenario import read_scenario
from foreshard.lab.run import run
from foreshard.lab.scenario.fault import FaultLine
from foreshard.lab.scenario.scenario import Family, Scenario
from foreshard.lab.simulation.canonical import text_of
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.trial.task import Task

__all__ = [
    "SCHOOL_OF",
    "UNRELIEVED",
    "calm_twin",
    "edition",
    "play",
    "record_of",
    "scenario_of",
    "school_of",
    "where",
]

# The twin that nobody relieved: the first of these that is played.
UNRELIEVED = ("sticky", "static")
# In production's seconds: until then every policy has found its ordinary shares.
CALM_S = 300.0
# A school is played in the place of a policy.
SCHOOL_OF = "school of "
# What cannot change the bits of a run: how it is scored, shown and asked for.
ASIDE = ("app/lab", "cli", "lab/trial", "lab/report", "lab/scenarios", "__main__.py")


def calm_twin(scenario: Scenario, policy: str) -> Scenario:
    """The same scenario, in which nothing happens; equal for all that differ in faults alone.

    Of whom nobody is relieved, every second is compared; of others only the usual share is asked
    for, and a few minutes tell it.
    """
    faults: tuple[FaultLine, ...] = ()
    lasts_s = scenario.duration_s
    if policy not in UNRELIEVED:
        lasts_s = min(lasts_s, scenario.warm_up_s + CALM_S / scenario.pace)
    return replace(
        scenario,
        name="calm",
        about="Nothing.",
        family=Family.TRAP,
        faults=faults,
        duration_s=lasts_s,
    )


def scenario_of(task: Task) -> Scenario:
    """What a task plays."""
    scenario = read_scenario(task.text, name=task.scenario)
    return calm_twin(scenario, task.policy) if task.is_calm else scenario


def play(task: Task) -> None:
    """Play on the simulated stage; the record is there whole, or not at all."""
    task.path.parent.mkdir(parents=True, exist_ok=True)
    draft = task.path.with_name(f".{task.path.name}.{os.getpid()}")
    if task.policy.startswith(SCHOOL_OF):
        _go_to_school(task)
        return
    if task.policy == BOUND:
        save_bound(scenario_of(task), task.seed, draft)
    else:
        record_of(task).save(draft)
    draft.replace(task.path)


def record_of(task: Task) -> RunRecord:
    """Play on the simulated stage."""
    scenario, policy, core = scenario_of(task), policy_named(task.policy), CORES[task.core]
    if isinstance(policy, Schooled):
        folder = task.path.parents[1]
        policy = policy.after_school(scenario, folder=folder, seed=task.seed, core=core)
    return run(
        scenario,
        policy,
        seed=task.seed,
        core=core,
        is_told=is_told(task.policy),
    )


def school_of(
    folder: Path, scenario: Scenario, learner: str, *, text: str, seed: int, core: str
) -> Task:
    """The task of sending a scenario's fleet to school.

    Args:
        folder: Of this edition.
        scenario: Whose fleet.
        learner: Who learns.
        text: Of the scenario's file.
        seed: Of the trial.
        core: Of the trial.
    """
    school = School(scenario=scenario, folder=folder, seed=seed_beside(seed))
    return Task(
        scenario=scenario.name,
        text=text,
        policy=f"{SCHOOL_OF}{learner}",
        seed=school.seed,
        core=core,
        is_calm=False,
        path=school.note(learner),
    )


def _go_to_school(task: Task) -> None:
    """Send a fleet to school; the report is there whole, or not at all."""
    learner = task.policy.removeprefix(SCHOOL_OF)
    school = School(scenario=scenario_of(task), folder=task.path.parents[2], seed=task.seed)
    attend(school, learner, core=CORES[task.core])


def edition() -> str:
    """Version and hash of the code that a run depends on: what may be kept from before."""
    root = Path(foreshard.__file__).parent
    digest = sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(ASIDE):
            digest.update(f"{name}\n".encode())
            digest.update(path.read_bytes())
    return f"{__version__}-{digest.hexdigest()[:12]}"


def where(folder: Path, scenario: Scenario, policy: str, seed: int, core: str) -> Path:
    """Where the record of a run is kept.

    Args:
        folder: Of this edition.
        scenario: That is played; its whole text counts.
        policy: Of the run.
        seed: Of the run.
        core: Of the run.
    """
    digest = sha256(text_of(scenario).encode()).hexdigest()[:12]
    return folder / f"{scenario.name}-{digest}" / f"{policy}-{core}-{seed}.npz"
