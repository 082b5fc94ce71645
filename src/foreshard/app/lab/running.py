"""This module is runs asked for by name: played, scored, written down, and repeated from that."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json import loads
from pathlib import Path
from typing import Any

import numba
import numpy as np

from foreshard import __version__
from foreshard.app.lab.cast import core_for, policy_names
from foreshard.app.lab.matrix import FOLDER, LIVE, Entry, Matrix
from foreshard.app.lab.playing import edition, record_of, where
from foreshard.app.trying import settings_for
from foreshard.config.plain_file import read_bytes
from foreshard.config.scenario import read_scenario
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.trial.comparison import compared
from foreshard.lab.trial.tale import tale_of
from foreshard.lab.trial.task import Task
from foreshard.model.errors import LabError

__all__ = ["RUN_FORMAT", "Again", "again", "opened", "run_file"]

# Of the JSON; a reader of another one would read nonsense.
RUN_FORMAT = 1
# So that a disk image does not fill the memory.
MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A run that was repeated.

    Attributes:
        label: Which.
        was, now: Digests; equal = the same to the bit.
    """

    label: str
    was: str
    now: str

    @property
    def is_same(self) -> bool:
        """Whether it was the same to the bit."""
        return self.was == self.now


def run_file(matrix: Matrix, *, command: str) -> dict[str, Any]:
    """Everything about the runs of a matrix that was played, as JSON values.

    Args:
        matrix: Played.
        command: That asked for it.
    """
    tables, tales = [], []
    for entry in matrix.entries:
        scores = matrix.scores(entry)
        if not scores:
            continue
        tables.append(compared(entry.scenario, scores))
        for one in (each for of in scores.values() for each in of):
            record = RunRecord.load(matrix.task(entry, one.policy, one.seed).path)
            tales.append(tale_of(record, entry.scenario, one) | _setting(entry, one.policy))
    return {
        "format": RUN_FORMAT,
        "made_at": datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "edition": matrix.folder.name,
        "versions": {
            "foreshard": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
        },
        "scenarios": {each.scenario.name: each.text for each in matrix.entries},
        "tables": tables,
        "runs": tales,
    }


def opened(path: Path) -> Mapping[str, Any]:
    """A file that `run_file` was written to.

    Raises:
        LabError: It cannot be read, or is something else.
    """
    hint = "name a file that `foreshard lab run --json FILE` wrote"
    try:
        values = loads(read_bytes(path, most=MOST_BYTES))
    except OSError as error:
        raise LabError(f"run {path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise LabError(f"run {path}: this is no JSON; {hint}") from error
    if not isinstance(values, dict) or "runs" not in values:
        raise LabError(f"run {path}: this holds no runs; {hint}")
    if values.get("format") != RUN_FORMAT:
        raise LabError(
            f"run {path}: format is {values.get('format')}, this Foreshard reads {RUN_FORMAT}"
        )
    return values


def again(
    path: Path, *, policies: Sequence[str] = (), seeds: Sequence[int] = ()
) -> Iterator[Again]:
    """Play the runs of a file once more, from what stands in it alone.

    Args:
        path: Of the file.
        policies: Only these; none = all.
        seeds: Only these; none = all.

    Raises:
        LabError: It is no such file, or holds no such run.
        ConfigError: Its scenario is refused by this Foreshard.
    """
    wanted = [
        tale
        for tale in opened(path)["runs"]
        if (not policies or tale["policy"] in policies) and (not seeds or tale["seed"] in seeds)
    ]
    if not wanted:
        raise LabError(f"run {path}: no run in it is of these policies and seeds")
    texts = opened(path)["scenarios"]
    for tale in wanted:
        task = _task_of(tale, texts[tale["scenario"]])
        yield Again(label=task.label, was=tale["digest"], now=record_of(task).digest())


def _task_of(tale: Mapping[str, Any], text: str) -> Task:
    if tale["core"] == LIVE:
        raise LabError(
            f"run {tale['scenario']}, {tale['policy']}: it was live, and no live run comes twice"
        )
    scenario = read_scenario(text, name=tale["scenario"])
    (policy,) = policy_names([tale["policy"]])
    core = core_for(scenario, tale["core"])
    return Task(
        scenario=scenario.name,
        text=text,
        policy=policy,
        seed=tale["seed"],
        core=core,
        is_calm=False,
        # Nothing is written there; what the run must have learned lies beside it.
        path=where(FOLDER / edition(), scenario, policy, tale["seed"], core),
    )


def _setting(entry: Entry, policy: str) -> dict[str, Any]:
    """How Foreshard was set up, for whoever reads the file."""
    if not policy.startswith("foreshard"):
        return {"settings": None}
    settings = settings_for(entry.scenario).model_dump(mode="json")
    told = ("forecast", "thresholds", "budget", "tick_s", "mode")
    return {"settings": {name: settings[name] for name in told}}
