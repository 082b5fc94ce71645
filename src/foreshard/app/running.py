"""This module is `foreshard run`: the parent of the processes that do the work."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from foreshard.app.places import private
from foreshard.app.signals import stop_on_signals
from foreshard.config import Settings
from foreshard.controller.supervise import supervise

__all__ = ["run"]


def run(config: Path, settings: Settings) -> None:
    """Supervise `serve`, `engine` and, where it is wanted, `web` until a signal ends them.

    Without `serve` nothing is steered, and a port that is taken should be told at once. Without
    an engine the last plan is served, as long as it takes. Without the API classes stay as they
    are.
    """
    names = ["serve", "engine", *(["web"] if settings.api.listen is not None else [])]
    commands = {name: [sys.executable, "-m", "foreshard", name, str(config)] for name in names}

    async def work(stop: asyncio.Event) -> None:
        await supervise(commands, vital={"serve"}, log_dir=settings.data_dir / "logs", stop=stop)

    with private():
        stop_on_signals(work)
