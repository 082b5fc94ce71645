"""This module is Foreshard itself on trial: the real loop, given a stage instead of the world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from foreshard.controller.loop import Loop
from foreshard.lab.policy.policy import Stage

__all__ = ["Foreshard"]


class Foreshard:
    """A `Policy` that is the shipped loop.

    Args:
        name: As on the command line.
        make_loop: Puts the loop together on a stage, as `app` puts it together on the world.
    """

    def __init__(self, name: str, make_loop: Callable[[Stage], Loop]) -> None:
        self._name = name
        self._make_loop = make_loop

    @property
    def name(self) -> str:
        """As on the command line."""
        return self._name

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        """Steer until `stop` is set."""
        await self._make_loop(stage).run(stop)
