"""This module is the `foresee` process: what the champion says of the fleet, step by step.

It reads the metric history from the disk, also that from before its own start, remembers a week
of it in bounded room, and writes an outlook whenever a step is over. It holds no other process up,
and none waits for it.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import structlog

from foreshard.adapters.store.shelf import Shelf
from foreshard.app.advising import tell
from foreshard.app.places import alone, models_dir
from foreshard.app.remembering import recall, siblings_of
from foreshard.app.shelving import flying
from foreshard.app.signals import stop_on_signals
from foreshard.config import Settings
from foreshard.forecast.card import Card
from foreshard.forecast.history import History
from foreshard.forecast.outlook import Outlook, explained, outlook_of
from foreshard.forecast.past import REACH_S, Past
from foreshard.forecast.refit import Flying
from foreshard.forecast.reliability import Reliability
from foreshard.forecast.trend import TrendForecaster
from foreshard.model.errors import ConfigError, ForecastError, StoreError

__all__ = ["Seer", "run_foresee_process"]

log = structlog.get_logger(__name__)

# Nobody should wait for it: the machine is the engine's and the discovery service's first.
NICENESS = 5
MOST_LOOK_S, LEAST_LOOK_S = 1.0, 0.1
NOTHING_TOLD = ("", float("-inf"))
# Moments of the past at which a model that begins to fly here is asked what it would have said.
MOST_RELIVED = 200


def run_foresee_process(settings: Settings) -> None:
    """Say what the champion foresees until a signal ends it."""

    async def work(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(alone(settings.data_dir, "foresee"))
            seer = Seer(settings)
            look_s = min(MOST_LOOK_S, max(LEAST_LOOK_S, settings.history.step_s / 10.0))
            while not stop.is_set():
                seer.look(now_s=time.time())
                try:
                    await asyncio.wait_for(stop.wait(), timeout=look_s)
                except TimeoutError:
                    continue

    os.nice(NICENESS)
    stop_on_signals(work)


class Seer:
    """The champion, what it remembers, and whether it keeps its word.

    Args:
        settings: Of the Foreshard it is for.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loads = TrendForecaster().loads
        self._past = Past(
            step_s=settings.history.step_s,
            most_bytes=round(settings.history.memory_mb * 1e6),
            siblings=siblings_of(settings),
        )
        self._champion: tuple[Flying, Card] | None = None
        self._reliability: Reliability | None = None
        self._refused: set[str] = set()
        self._told = NOTHING_TOLD
        self._trouble = ""

    def look(self, *, now_s: float) -> bool:
        """Take in what is new; whether an outlook was written.

        Never raises for what is wrong with a model or a file, but says so.
        """
        try:
            self._take_over_champion()
            recall(
                self._past,
                self._settings,
                since_s=now_s - REACH_S,
                refused=self._refuse,
            )
            return self._speak()
        except (ConfigError, ForecastError, StoreError, ValueError, ArithmeticError) as error:
            self._complain(str(error))
            return False

    def _take_over_champion(self) -> None:
        learner = self._settings.forecast.model
        name = Shelf(models_dir(self._settings), learner).note().champion
        if self._champion is not None and self._champion[0].name == name:
            return
        self._champion, self._reliability = None, None
        self._told = NOTHING_TOLD
        found = flying(models_dir(self._settings), learner)
        if found is None:
            return
        self._champion = found
        card = found[1]
        self._reliability = Reliability(card.rule, ranges=card.ranges)
        log.info("champion.flies", model=found[0].name, learned_until_s=card.learned_until_s)

    def _speak(self) -> bool:
        history = self._past.history()
        if self._champion is None or self._reliability is None or history is None:
            return False
        champion, card = self._champion
        if self._told == NOTHING_TOLD:
            self._relive(champion, card, history)
        newest = (champion.name, float(history.time_s()[-1]))
        if newest == self._told:
            return False
        outlook = outlook_of(champion.name, champion.model, history, loads=self._loads)
        self._reliability.take(outlook, history)
        outlook = replace(outlook, broken=self._reliability.broken())
        outlook = explained(outlook, champion.model, history)
        tell(self._settings, outlook, _notes(self._reliability))
        self._told = newest
        if self._trouble:
            log.info("outlook.recovered", model=champion.name)
            self._trouble = ""
        return True

    def _relive(self, champion: Flying, card: Card, history: History) -> None:
        """Find out how the model has kept its word since it was made, as far as is remembered.

        So a restart of this process forgets no broken word.
        """
        if self._reliability is None:
            return
        learned = (card.learned_until_s - history.begins_s) / history.step_s
        first = max(0, math.ceil(learned) + 1)
        stride = max(
            history.steps(champion.model.horizons_s[0]),
            -(-max(0, history.samples - first) // MOST_RELIVED),
        )
        for t in range(first, history.samples - 1, max(stride, 1)):
            then = history.until(t + 1)
            outlook = outlook_of(champion.name, champion.model, then, loads=(1.0,))
            self._reliability.take(outlook, then)

    def _complain(self, because: str) -> None:
        """Say that nothing can be foreseen, here and to the engine, once for each reason."""
        if because == self._trouble:
            return
        self._trouble = because
        log.error("outlook.failed", error=because, effect="the engine forecasts by trend")
        champion = self._champion[0].name if self._champion else self._settings.forecast.model
        horizons_s = tuple(self._settings.forecast.horizons_s)
        silent = Outlook(
            name=champion,
            made_at_s=self._past.ends_s or 0.0,
            step_s=self._past.step_s,
            horizons_s=horizons_s,
            loads=(1.0,),
            cells=(),
            gauges=(),
            by_gauge=np.zeros((len(horizons_s), 1, 0, 0), dtype=np.float32),
            any=np.zeros((len(horizons_s), 1, 0), dtype=np.float32),
            seen=np.zeros(0, dtype=np.int64),
            broken=because,
        )
        self._told = NOTHING_TOLD
        try:
            tell(self._settings, silent, {})
        except StoreError as error:
            log.warning("outlook.unwritten", error=str(error))

    def _refuse(self, because: str) -> None:
        """Each file is refused once aloud; it is looked at again all the same."""
        if because not in self._refused:
            self._refused.add(because)
            log.warning("history.refused", because=because, effect="it is not remembered")


def _notes(reliability: Reliability) -> Mapping[str, Any]:
    return {
        "kept": {
            f"{horizon_s:g}": {
                "moments": kept.moments,
                "promised": round(kept.promised_all, 3),
                "came": kept.came,
                "averted": kept.averted,
            }
            for horizon_s, kept in reliability.kept().items()
        },
        "beyond": {name: round(part, 4) for name, part in reliability.beyond().items()},
    }
