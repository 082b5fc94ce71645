"""This module is weather without faults, in which only a restart takes a cell away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects, Floats, calm
from foreshard.lab.simulation.load import day, mean_rps
from foreshard.model.events import SystemEvent

__all__ = ["Calm"]


class Calm:
    """A `Sky` in which all is well but what a test says, and the `Truth` about it.

    Args:
        scenario: Gives the shapes, and how long a restart takes.
        gone: When cells are down, by name: from, until, seconds of the scenario.
        events: What is announced.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        gone: Mapping[str, tuple[float, float]] | None = None,
        events: tuple[SystemEvent, ...] = (),
    ) -> None:
        self._scenario = scenario
        never = (math.inf, math.inf)
        self._gone = {site.name: (gone or {}).get(site.name, never) for site in scenario.sites}
        self._events = events
        self._calm = calm(
            len(scenario.sites),
            len(scenario.offers),
            len(scenario.origins),
            connections=scenario.make.connections,
        )

    def at(self, now_s: float, served: Floats) -> Effects:
        """All is well, where a cell is there."""
        up = [not begins <= now_s < ends for begins, ends in self._gone.values()]
        return replace(self._calm, is_up=np.array(up))

    def restart(self, cell: str, now_s: float) -> bool:
        """The cell is gone for as long as a restart takes."""
        begins, ends = self._gone[cell]
        if begins <= now_s < ends:
            return False
        self._gone[cell] = now_s, now_s + self._scenario.make.restart_s
        return True

    def events(self, now_s: float) -> tuple[SystemEvent, ...]:
        """What is announced and not over."""
        return tuple(e for e in self._events if e.known_at_s <= now_s < e.ends_at_s)

    def effects(self, at_s: float) -> Effects:
        """See `Truth`."""
        return self.at(at_s, np.zeros((len(self._scenario.sites), len(self._scenario.offers))))

    def demand_rps(self, at_s: float) -> dict[tuple[str, str], float]:
        """See `Truth`."""
        rates = mean_rps(self._scenario) * day(self._scenario, at_s)
        return {
            (origin, each.name): float(rates[o, k])
            for o, origin in enumerate(self._scenario.origins)
            for k, each in enumerate(self._scenario.classes)
        }
