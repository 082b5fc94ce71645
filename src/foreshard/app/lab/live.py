"""This module is the door to the live stage: real processes, the real Envoy, real sockets."""

from __future__ import annotations

from foreshard.lab.trial.task import Task
from foreshard.model.errors import LabError

__all__ = ["play_live"]


def play_live(task: Task) -> None:
    """Play a task on the live stage, and write its record to `task.path`, whole or not at all.

    Raises:
        LabError: This build has no live stage.
    """
    raise LabError(
        f"this build has no live stage, so {task.scenario} was not played on it; say --stage sim"
    )
