"""This module is the door to the live stage: real processes, the real Envoy, real sockets."""

from __future__ import annotations

import os

from foreshard.app.lab.playing import scenario_of
from foreshard.app.lab.real import live_runs
from foreshard.lab.trial.task import Task

__all__ = ["play_live"]


def play_live(task: Task) -> None:
    """Play a task on the live stage, and write its record to `task.path`, whole or not at all.

    Raises:
        LabError: The scenario or the policy cannot be played there, or something could not be
            started.
    """
    task.path.parent.mkdir(parents=True, exist_ok=True)
    draft = task.path.with_name(f".{task.path.name}.{os.getpid()}")
    (record,) = live_runs(scenario_of(task), [task.policy], [task.seed], side_by_side=1)
    record.save(draft)
    draft.replace(task.path)
