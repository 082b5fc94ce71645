"""This module is the worker that keeps the forecast fresh without holding up the tick.

The tick never waits for a model: it takes the newest forecast there is, which carries its age.
"""

from __future__ import annotations

import asyncio

import structlog

from foreshard.forecast.announcement import events_by_cell
from foreshard.forecast.forecaster import Forecaster
from foreshard.forecast.window import Window, WindowBuffer
from foreshard.model.errors import ForecastError
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.telemetry import Observation
from foreshard.ports import Executor

__all__ = ["Foresight"]

log = structlog.get_logger(__name__)


class Foresight:
    """Collects observations, and has a forecast made of them every `every_s` seconds.

    Args:
        forecaster: Called on the executor, one call at a time.
        buffer: Holds the stretch of observations that a forecast is made of.
        executor: Where it is computed.
        every_s: Between the starts of two forecasts.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        buffer: WindowBuffer,
        executor: Executor,
        *,
        every_s: float,
    ) -> None:
        self._forecaster = forecaster
        self._buffer = buffer
        self._executor = executor
        self._every_s = every_s
        self._due_s = float("-inf")
        self._work: asyncio.Task[None] | None = None
        self._latest: Forecast | None = None

    @property
    def latest(self) -> Forecast | None:
        """The newest forecast; None before the first."""
        return self._latest

    def take(self, observation: Observation) -> None:
        """Add an observation; start a forecast when one is due and none is being made."""
        try:
            self._buffer.append(observation)
        except (ForecastError, ValueError, ArithmeticError) as error:
            # A broken model costs its forecasts, never the loop; the engine says how old they are.
            log.warning("forecast.unfed", error=str(error), kept=self._latest is not None)
            return
        idle = self._work is None or self._work.done()
        if idle and observation.now_s >= self._due_s:
            self._due_s = observation.now_s + self._every_s
            window = self._buffer.window()
            self._work = asyncio.ensure_future(
                self._forecast(window, events_by_cell(observation), observation.now_s)
            )

    async def aclose(self) -> None:
        """Wait for the forecast in the making."""
        if self._work is not None:
            await self._work

    async def _forecast(
        self, window: Window, events: tuple[SystemEvent, ...], now_s: float
    ) -> None:
        try:
            self._latest = await self._executor.run(
                lambda: self._forecaster.forecast(window, events, now_s=now_s)
            )
        except (ForecastError, ValueError, ArithmeticError) as error:
            # A broken model costs its forecasts, never the loop; the engine says how old they are.
            log.warning("forecast.failed", error=str(error), kept=self._latest is not None)
