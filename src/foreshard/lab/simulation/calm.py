"""This module is weather without faults, in which only a restart takes a cell away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foreshard.lab.policy.policy import Truth
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects, Floats, calm
from foreshard.model.events import SystemEvent

__all__ = ["Calm"]


class Calm:
    """A `Sky` in which all is well but what a test says.

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
        self._gone = {
            index: (gone or {}).get(site.name, (math.inf, math.inf))
            for index, site in enumerate(scenario.sites)
        }
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

    def restart(self, cell_index: int, now_s: float) -> None:
        """The cell is gone for as long as a restart takes."""
        self._gone[cell_index] = now_s, now_s + self._scenario.make.restart_s

    def events(self, now_s: float) -> tuple[SystemEvent, ...]:
        """What is announced and not over."""
        return tuple(e for e in self._events if e.known_at_s <= now_s < e.ends_at_s)

    def truth(self) -> Truth:
        """Itself: there is nothing to tell."""
        return self

    def effects(self, at_s: float) -> Effects:
        """See `Truth`."""
        return self.at(at_s, np.zeros(len(self._scenario.sites)))

    def demand_rps(self, at_s: float) -> dict[tuple[str, str], float]:
        """See `Truth`; without a swing."""
        offers = self._scenario.offers
        whole = sum(offer.share for offer in offers)
        origins = self._scenario.load.origins or {self._scenario.origins[0]: 1.0}
        return {
            (origin, offer.request_class.name): self._scenario.rate_rps()
            * part
            * offer.share
            / whole
            for origin, part in origins.items()
            for offer in offers
        }
