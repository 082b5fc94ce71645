"""This module is the worker that keeps the forecast fresh without holding up the tick.

The tick never waits for a model: it takes the newest forecast there is, which carries its age.

What a trained model says comes from a process of its own, as an outlook. Where that is old,
broken or not to be had, the forecast is that of the last minutes alone (`trend`), and this is
said: in the log, in the status, by `why`, on the page. It is taken up again as soon as it may be
believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from foreshard.forecast.announcement import events_by_cell
from foreshard.forecast.forecaster import Forecaster
from foreshard.forecast.learned import AdvisedForecaster
from foreshard.forecast.outlook import Outlook
from foreshard.forecast.window import Window, WindowBuffer
from foreshard.model.errors import ForecastError, StoreError
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.telemetry import Observation
from foreshard.model.workload import RequestClass
from foreshard.ports import Executor

__all__ = ["Adviser", "Foresight", "Standing"]

Advised = Callable[[Outlook], Forecaster]

log = structlog.get_logger(__name__)

# A step is told of when it is over, and looked at a moment later: one that is three steps late
# comes from a worker that is dead, or too slow to be of use.
STALE_STEPS = 3.0
# With steps of a second or two, a busy machine would be taken for a dead worker.
LEAST_STALE_S = 10.0


class Adviser(Protocol):
    """Where a trained model speaks."""

    def newest(self) -> Outlook | None:
        """Its newest outlook; None = no model was ever trained, so none is missed.

        Raises:
            StoreError: A model should speak and cannot be heard, and why.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What forecasts stand on.

    Attributes:
        degraded: Why a trained model is not heard although there is one; "" = it is, or there is
            none.
        code: The same in a word; "" likewise.
        outlook_at_s: Moment of the newest step that the model has seen; None = it is not heard.
    """

    degraded: str = ""
    code: str = ""
    outlook_at_s: float | None = None


class Foresight:
    """Collects observations, and has a forecast made of them every `every_s` seconds.

    Args:
        forecaster: Called on the executor, one call at a time.
        buffer: Holds the stretch of observations that a forecast is made of.
        executor: Where it is computed.
        every_s: Between the starts of two forecasts.
        adviser: Where a trained model speaks, asked on the executor too; None = none is wanted.
        advised: The forecaster that heeds an outlook; None = `forecaster`, blended with it.
        tuned: Both for other classes; None = they know nothing of classes.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        buffer: WindowBuffer,
        executor: Executor,
        *,
        every_s: float,
        adviser: Adviser | None = None,
        advised: Advised | None = None,
        tuned: Callable[[Sequence[RequestClass]], tuple[Forecaster, Advised]] | None = None,
    ) -> None:
        self._forecaster = forecaster
        self._buffer = buffer
        self._executor = executor
        self._every_s = every_s
        self._adviser = adviser
        self._advised: Advised = advised or (
            lambda o: AdvisedForecaster(inner=forecaster, outlook=o)
        )
        self._tuned = tuned
        self._due_s = float("-inf")
        self._work: asyncio.Task[None] | None = None
        self._latest: Forecast | None = None
        self._standing = Standing()

    @property
    def latest(self) -> Forecast | None:
        """The newest forecast; None before the first."""
        return self._latest

    @property
    def standing(self) -> Standing:
        """What the newest forecast stands on."""
        return self._standing

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """Foresee for other classes from now on; what was seen of cells is kept."""
        self._buffer.take_up(classes)
        if self._tuned is not None:
            self._forecaster, self._advised = self._tuned(classes)

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
            made, standing = await self._executor.run(lambda: self._made(window, events, now_s))
        except (ForecastError, ValueError, ArithmeticError) as error:
            # A broken model costs its forecasts, never the loop; the engine says how old they are.
            log.warning("forecast.failed", error=str(error), kept=self._latest is not None)
            return
        self._latest = made
        self._say(standing, made.model)
        self._standing = standing

    def _made(
        self, window: Window, events: tuple[SystemEvent, ...], now_s: float
    ) -> tuple[Forecast, Standing]:
        outlook, standing = self._heard(now_s)
        if outlook is not None:
            try:
                told = self._advised(outlook).forecast(window, events, now_s=now_s)
            except ForecastError as error:
                standing = Standing(code="unfit", degraded=str(error))
            else:
                return told, standing
        return self._forecaster.forecast(window, events, now_s=now_s), standing

    def _heard(self, now_s: float) -> tuple[Outlook | None, Standing]:
        """An outlook that may be believed, or why there is none."""
        if self._adviser is None:
            return None, Standing()
        try:
            outlook = self._adviser.newest()
        except StoreError as error:
            return None, Standing(code="silent", degraded=str(error))
        if outlook is None:
            return None, Standing()
        doubt = _doubt(outlook, now_s)
        if doubt is not None:
            return None, doubt
        return outlook, Standing(outlook_at_s=outlook.made_at_s)

    def _say(self, standing: Standing, model: str) -> None:
        before = self._standing
        if standing.code and standing.code != before.code:
            log.error(
                "forecast.degraded",
                code=standing.code,
                because=standing.degraded,
                effect=f"forecasts are those of {model} alone",
            )
        elif before.code and not standing.code:
            log.info("forecast.recovered", model=model)
        elif standing.outlook_at_s is not None and before.outlook_at_s is None:
            log.info("forecast.learned", model=model)


def _doubt(outlook: Outlook, now_s: float) -> Standing | None:
    """Why an outlook is not to be believed; None = it may be."""
    if outlook.broken:
        return Standing(code="broken", degraded=f"{outlook.name}: {outlook.broken}")
    age_s = now_s - outlook.made_at_s
    limit_s = max(LEAST_STALE_S, STALE_STEPS * outlook.step_s)
    if age_s > limit_s:
        because = (
            f"{outlook.name} last spoke of {age_s:.0f} s ago, more than {limit_s:.0f} s: its "
            "worker is dead or too slow"
        )
        return Standing(code="stale", degraded=because)
    return None
