"""This module is what runs beside the engine: the trained model, and the making of the next."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from foreshard.adapters.clock import SystemClock
from foreshard.adapters.store.segments import segments_in
from foreshard.adapters.store.shelf import Shelf
from foreshard.app.advising import is_model_wanted
from foreshard.app.places import history_dir, models_dir
from foreshard.config import Settings
from foreshard.config.patience import NEED_NO_TRAINING
from foreshard.controller.companion import accompany
from foreshard.controller.training import Agenda, is_due, refit_when_due

__all__ = ["beside", "is_refit_due"]

# Training takes hours of a processor that is wanted for steering.
NICENESS = 15


def beside(settings: Settings, config: Path) -> tuple[Coroutine[Any, Any, None], ...]:
    """What to run beside the loop, each until it is cancelled.

    Args:
        settings: Of the engine.
        config: Their file.
    """
    learner, logs = settings.forecast.model, settings.data_dir / "logs"
    if learner in NEED_NO_TRAINING:
        return ()
    ours = [sys.executable, "-m", "foreshard"]
    foresees = accompany(
        "foresee",
        [*ours, "foresee", str(config)],
        log_file=logs / "foresee.log",
        is_wanted=lambda: is_model_wanted(settings),
    )
    if settings.training.every_s is None or not settings.history.most_mb:
        return (foresees,)
    trains = [*ours, "train", "--config", str(config), "--model", learner, "--quiet"]
    refits = refit_when_due(
        [*trains, "--nice", str(NICENESS)],
        clock=SystemClock(),
        log_file=logs / "train.log",
        due=lambda now_s: is_refit_due(settings, now_s=now_s),
    )
    return (foresees, refits)


def is_refit_due(settings: Settings, *, now_s: float) -> bool:
    """Whether it is time to train, by what lies on the disk."""
    training = settings.training
    if training.every_s is None:
        return False
    files = segments_in(history_dir(settings))
    kept_s = max((each.last_s for each in files), default=0.0) - min(
        (each.first_s for each in files), default=0.0
    )
    return is_due(
        Agenda(every_s=training.every_s, least_s=training.least_s),
        now_s=now_s,
        trained_at_s=Shelf(models_dir(settings), settings.forecast.model).newest_at_s(),
        kept_s=kept_s,
    )
