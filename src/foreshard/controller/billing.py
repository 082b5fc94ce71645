"""This module is how the profiler hears what requests say that they cost: now and then.

Costs change with deploys, not with seconds, and nobody's plan waits for them: they are asked for
in the background, and who does not answer holds up no tick.
"""

from __future__ import annotations

import asyncio

import structlog

from foreshard.controller.profiling import Profiling
from foreshard.controller.tidings import Reminder
from foreshard.model.errors import SourceError
from foreshard.ports import CostSource

__all__ = ["Billing"]

log = structlog.get_logger(__name__)

EVERY_S = 5.0


class Billing:
    """Brings reports of costs to a profiler.

    Args:
        source: Who has them.
        profiling: Who wants them.
    """

    def __init__(self, source: CostSource, profiling: Profiling) -> None:
        self._source, self._profiling = source, profiling
        self._due_s = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._trouble = Reminder()

    def look(self, now_s: float) -> None:
        """Ask if it is time to; what is answered is with the profiler a moment later."""
        if now_s < self._due_s or (self._asking is not None and not self._asking.done()):
            return
        self._due_s = now_s + EVERY_S
        self._asking = asyncio.ensure_future(self._ask(now_s))

    async def aclose(self) -> None:
        """Give up what is asked for."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self, now_s: float) -> None:
        try:
            reports = await self._source.read()
        except SourceError as error:
            if self._trouble.is_due(str(error), now_s):
                effect = "costs are told from what cells use alone"
                log.warning("profile.unreported", error=str(error), effect=effect)
        else:
            self._trouble.end()
            self._profiling.report(reports)
