"""This module is what the loop keeps of each turn: the decision, the status, what must survive.

Only news is written: what must survive a restart when it has changed, the status as often as its
part of the time allows. On a large fleet it is then some seconds old, and says of when it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import thread_time
from typing import Any

import structlog

from foreshard.controller.foresight import Standing
from foreshard.controller.peering import Peering
from foreshard.controller.status import Instruments, Seen, snapshot
from foreshard.controller.vitals import Vitals
from foreshard.engine import Engine, EngineState
from foreshard.model.errors import StoreError
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Decision, Plan
from foreshard.model.telemetry import Fresh, Observation
from foreshard.model.topology import Fleet
from foreshard.ports import StateStore

__all__ = ["Keeping", "Lived"]

log = structlog.get_logger(__name__)

# Part of the engine's time that writing the status may take.
PART = 0.05
# So many writes in a row must be dear before they become fewer.
FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """One turn as it came to be.

    Attributes:
        decision: With the plan that became live, not the one that was wished for.
        observation: What it saw.
        forecast: What it foresaw with.
        before: The plan that was live before.
        after: The state once the sink had answered.
        outcome: What became of the decision, as the loop names it.
        standing: What the forecast stands on; None = there are none.
    """

    decision: Decision
    observation: Observation
    forecast: Forecast | None
    before: Plan | None
    after: EngineState
    outcome: str
    standing: Standing | None = None


@dataclass(slots=True, kw_only=True)
class Keeping:
    """Keeps turns.

    Attributes:
        engine: Whose.
        fleet: Its cells.
        store: Where; a failing one costs its records, never the loop.
        vitals: Gets the status whatever becomes of the store.
        peering: The other regions of a federation; None = there is none.
        instruments: What the engine measured of itself.
    """

    engine: Engine
    fleet: Fleet
    store: StateStore
    vitals: Vitals
    peering: Peering | None = None
    instruments: Instruments = field(default_factory=Instruments)
    _remembered: EngineState | None = None
    _rests_until_s: float = float("-inf")
    _costs_s: deque[float] = field(default_factory=lambda: deque([0.0] * FEW, maxlen=FEW))

    def keep(self, turn: Lived) -> None:
        """Keep one turn; never raises for what cannot be kept, but says so."""
        status = snapshot(
            turn.decision,
            turn.observation,
            turn.forecast,
            turn.after,
            self.instruments,
            turn.standing,
            fleet=self.fleet,
        )
        if self.peering is not None:
            told = self.peering.tell(self.engine, turn.after, turn.observation)
            status = {**status, "federation": told}
        self.vitals.status = status
        try:
            inputs = _inputs(turn.observation, status, turn.before)
            self.store.record(turn.decision, {**inputs, "outcome": turn.outcome})
            self._show(status, now_s=turn.observation.now_s)
            self._remember(turn.after)
        except StoreError as error:
            self.vitals.store_failures += 1
            log.warning("store.unwritable", error=str(error), effect="decisions go unrecorded")

    def _show(self, status: Mapping[str, Any], *, now_s: float) -> None:
        if now_s < self._rests_until_s:
            return
        # Of this thread alone, and not the clock on the wall: others' work is no reason to rest.
        began_s = thread_time()
        self.store.put("status", status)
        # The first ones are dear, while all is new: no reason to be silent for long.
        self._costs_s.append(thread_time() - began_s)
        self._rests_until_s = now_s + min(self._costs_s) / PART

    def _remember(self, state: EngineState) -> None:
        known = self._remembered
        if known is None or not self.engine.remembers_alike(known, state):
            self.store.put("memory", self.engine.memory(state))
            self._remembered = state


def _inputs(
    observation: Observation, status: Mapping[str, Any], before: Plan | None
) -> Mapping[str, Any]:
    stale = sum(1 for r in observation.cells.values() if not isinstance(r.reading, Fresh))
    return {
        "plan_before": before,
        "cells": Seen(status["cells"]),
        "demand_rps": status["demand_rps"],
        "stale_cells": stale,
        "balancer_silent": observation.demand_rps is None,
        "forecast": status["forecast"],
    }
