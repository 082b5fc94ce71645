"""This module is the keeping of metric history: steps of the fleet, published beside the tick.

The tick hands an observation over and goes on. A disk that refuses costs the steps that it
refuses, and is said; steering never waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

import structlog

from foreshard.forecast.step import Gathering, Step
from foreshard.model.errors import ForecastError, StoreError
from foreshard.model.telemetry import Observation
from foreshard.model.workload import RequestClass
from foreshard.ports import Executor, MetricLog, StepTable

__all__ = ["Chronicle"]

log = structlog.get_logger(__name__)

# Steps that wait for a slow disk; an hour of minutes, then the oldest is given up.
MOST_WAITING = 60


class Chronicle:
    """Makes steps of observations and has them published, in order.

    Args:
        gathering: Makes the steps.
        metrics: Where they are published.
        executor: Where that is done; not the one that makes forecasts.
    """

    def __init__(self, gathering: Gathering, metrics: MetricLog, executor: Executor) -> None:
        self._gathering = gathering
        self._metrics = metrics
        self._executor = executor
        self._waiting: deque[Step] = deque()
        self._work: asyncio.Task[None] | None = None

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """Read requests as those of other classes from now on."""
        self._gathering.take_up(classes)

    def take(self, observation: Observation, *, censored: frozenset[str]) -> None:
        """Add an observation; never raises for what cannot be kept, but says so.

        Args:
            observation: Newer than the one before.
            censored: See `Gathering.take`.
        """
        try:
            step = self._gathering.take(observation, censored=censored)
        except ForecastError as error:
            log.warning("history.unfed", error=str(error), effect="the observation is not kept")
            return
        if step is None:
            return
        if len(self._waiting) == MOST_WAITING:
            lost = self._waiting.popleft()
            log.warning("history.lost", step_s=lost.ends_s, because="the disk is too slow")
        self._waiting.append(step)
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._publish())

    async def aclose(self) -> None:
        """Wait for what is being published."""
        if self._work is not None:
            await self._work

    async def _publish(self) -> None:
        while self._waiting:
            publish = partial(self._metrics.publish, _table_of(self._waiting.popleft()))
            try:
                await self._executor.run(publish)
            except StoreError as error:
                log.warning("history.unkept", error=str(error), effect="nothing is learned of it")


def _table_of(step: Step) -> StepTable:
    scales = zip(step.gauges, step.scales_with_load.tolist(), strict=True)
    return StepTable(
        ends_s=step.ends_s,
        step_s=step.step_s,
        cells=step.cells,
        gauges={name: step.value[:, g] for g, name in enumerate(step.gauges)},
        scales_with_load=frozenset(name for name, follows in scales if follows),
        load=step.load,
        up_s=step.up_s,
        censored=step.censored,
    )
