"""This module is the keeping of turns for replay: a first state, then what each turn saw.

A state is written only where the line breaks (a start, a new adoption, a full segment): from it,
what was seen makes every later one again. Where keeping takes more than its part of the time (a
large fleet), it rests, and begins anew with a state: then stretches are kept, not all.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Protocol

import structlog

from foreshard import __version__
from foreshard.engine import EngineState
from foreshard.model.errors import StoreError
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Act, Decision
from foreshard.model.telemetry import Observation

__all__ = ["Recording", "TurnLog"]

log = structlog.get_logger(__name__)

# Part of the engine's time that keeping may take.
PART = 0.05


class TurnLog(Protocol):
    """Where turns are kept."""

    @property
    def is_full(self) -> bool:
        """Whether the next line should begin a new segment."""

    def begin(self, head: Mapping[str, object], *, at_s: float) -> None:
        """Begin a segment.

        Raises:
            StoreError: It cannot be written.
        """

    def add(self, line: Mapping[str, object]) -> None:
        """Add a line to the segment.

        Raises:
            StoreError: It cannot be written.
        """

    def essence(self, decision: Decision) -> str:
        """What a decision is, without its words."""


class Recording:
    """Keeps turns.

    Args:
        turns: Where.
        served: The engine's classes and the default one; None = those of the configuration.
    """

    def __init__(self, turns: TurnLog, served: Mapping[str, object] | None = None) -> None:
        self._turns = turns
        self.served = served
        self._expected: EngineState | None = None
        self._forecast: Forecast | None = None
        self._rests_until_s = float("-inf")

    def keep(
        self,
        before: EngineState,
        observation: Observation,
        forecast: Forecast | None,
        decision: Decision,
        after: EngineState,
    ) -> None:
        """Keep one turn; never raises for what it cannot keep, but says so.

        Args:
            before: The state that was stepped from.
            observation: What the step saw.
            forecast: What it foresaw with.
            decision: What it decided.
            after: The state once the sink had answered.
        """
        if observation.now_s < self._rests_until_s:
            self._expected = None
            return
        began_s = perf_counter()
        try:
            self._keep(before, observation, forecast, decision, after)
        except StoreError as error:
            log.warning("turn.unkept", error=str(error), effect="it cannot be replayed")
            self._expected = None
        else:
            self._expected = after
        took_s = perf_counter() - began_s
        rest_s = took_s / PART - took_s
        if rest_s > observation.interval_s:
            self._rests_until_s = observation.now_s + rest_s

    def _keep(
        self,
        before: EngineState,
        observation: Observation,
        forecast: Forecast | None,
        decision: Decision,
        after: EngineState,
    ) -> None:
        if self._expected is not before or self._turns.is_full:
            head = {"foreshard": __version__, "served": self.served, "state": before}
            self._turns.begin(head, at_s=observation.now_s)
            self._forecast = None
        line: dict[str, object] = {"observation": observation}
        if forecast is not self._forecast:
            line["forecast"] = forecast
            self._forecast = forecast
        if isinstance(decision.routing, Act):
            line["applied"] = after.table is decision.routing.table
        line["essence"] = self._turns.essence(decision)
        self._turns.add(line)
