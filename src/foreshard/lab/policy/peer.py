"""This module is the loop that all peers share: look, think, route, each second.

What differs between peers is the rule, which has no I/O and no clock: the same views give the
same drafts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from foreshard.lab.policy.policy import Stage
from foreshard.lab.policy.program import Draft, backups, table_of_draft
from foreshard.lab.policy.setting import Setting, setting_of
from foreshard.lab.policy.view import View, blank, look
from foreshard.model.errors import LabError
from foreshard.ports import Rejected

__all__ = ["TICK_S", "Fixed", "Hand", "Peer", "Rule", "ticks"]

# Machine time: the same at every pace, and the same as the engine's fast tick.
TICK_S = 1.0


class Rule(Protocol):
    """What a peer thinks; it may remember what it saw."""

    def decide(self, view: View) -> Draft:
        """What to route from now on; the very same draft again = leave it.

        The first view is blank, before the first request.
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fixed:
    """The rule of those who configure once.

    Attributes:
        draft: What they configure.
    """

    draft: Draft

    def decide(self, view: View) -> Draft:
        """The same as ever."""
        return self.draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A `Policy` made of a rule.

    Attributes:
        name: As on the command line.
        begin: Makes the rule of one run.
    """

    name: str
    begin: Callable[[Setting], Rule]

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        """Route from the first request on; return soon after `stop` is set."""
        setting = setting_of(stage)
        rule, hand = self.begin(setting), Hand(stage, setting)
        await hand.put(rule.decide(blank(setting, now_s=stage.clock.now_s() - stage.start_s)))
        async for _ in ticks(stage, stop):
            await hand.put(rule.decide(await look(stage, setting)))


class Hand:
    """Makes drafts live, on whichever stage.

    Args:
        stage: Where.
        setting: Its fleet.
    """

    def __init__(self, stage: Stage, setting: Setting) -> None:
        self._stage = stage
        self._setting = setting
        self._near = backups(setting)
        self._live: Draft | None = None
        self._version = 0

    async def put(self, draft: Draft) -> None:
        """Make a draft live, unless it is.

        Raises:
            LabError: The balancers refused it, or it cannot be told to real ones.
        """
        if draft is self._live:
            return
        self._version += 1
        if self._stage.balancer is not None:
            await self._stage.balancer.route(draft.routing(self._setting, self._near))
        else:
            table = table_of_draft(draft, self._setting, version=self._version)
            answer = await self._stage.sink.apply(table)
            if isinstance(answer, Rejected):
                raise LabError(f"a peer's table {answer.version} was refused: {answer.because}")
        self._live = draft


async def ticks(stage: Stage, stop: asyncio.Event) -> AsyncIterator[float]:
    """Each second, until it is told to stop: the moment, since the start of the scenario."""
    due_s = stage.clock.now_s()
    while True:
        due_s = max(due_s + TICK_S, stage.clock.now_s())
        await stage.clock.sleep(due_s - stage.clock.now_s())
        if stop.is_set():
            return
        yield stage.clock.now_s() - stage.start_s
