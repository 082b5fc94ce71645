"""This module is the whole schedule, for the oracle alone: the weather, played ahead.

Ahead of the moment that was played last, nobody restarts anything; what grows with load grows
as if every cell were given its even share. Whatever was cured so far is known to be cured.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.load import day, even_rps, mean_rps
from foreshard.lab.simulation.weather import Weather
from foreshard.model.errors import LabError

__all__ = ["Foresight"]

# As the weather itself is played, so that what is foreseen happens at that very moment.
STEP_S = 0.1
# What grows with load is known between two marks by its mean rate only.
MARK_S = 10.0


class Foresight:
    """`lab.policy.Truth` of a weather that is being played.

    Args:
        weather: Followed from a distance; it is never played by this.
    """

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self._scenario = weather.scenario
        self._origins = self._scenario.origins
        self._classes = [each.name for each in self._scenario.classes]
        self._mean = mean_rps(self._scenario)
        even = even_rps(self._scenario)
        self._parts = even[:, :1] / even[:, :1].sum()
        self._asked = -1
        self._begin()

    def effects(self, at_s: float) -> Effects:
        """What the faults will do at that moment, were nothing restarted from now on.

        Raises:
            LabError: `at_s` is over; only what is ahead can be asked for.
        """
        if self._weather.asked != self._asked:
            self._begin()
        if at_s < self._from_s - STEP_S:
            raise LabError(
                f"truth: asked for {at_s:g} s, but knows from {self._from_s:g} s on: a restart "
                "has changed what came before; ask for now or later"
            )
        while self._ahead.now_s < at_s:
            self._step()
        mark = self._marks[max(0, bisect_right(self._times_s, at_s) - 1)]
        view = mark.fork()
        at_s = max(at_s, view.now_s)
        return view.at(at_s, self._served(view.now_s, at_s - view.now_s))

    def demand_rps(self, at_s: float) -> dict[tuple[str, str], float]:
        """Mean requests a second that arrive then, by (origin, class), surges included."""
        rate = self._mean * day(self._scenario, at_s) * self.effects(at_s).demand
        return {
            (origin, name): float(rate[o, k])
            for o, origin in enumerate(self._origins)
            for k, name in enumerate(self._classes)
        }

    def _begin(self) -> None:
        """Play ahead from here: somebody has changed the future."""
        self._asked = self._weather.asked
        self._ahead = self._weather.fork()
        self._from_s = self._ahead.now_s
        self._demand = np.ones_like(self._mean)
        self._marks = [self._ahead.fork()]
        self._times_s = [self._from_s]

    def _step(self) -> None:
        ahead, turns = self._ahead, self._ahead.turns
        # Not by adding up tenths: their last bits would part the foreseen from what happens.
        next_s = round(ahead.now_s / STEP_S + 1.0) * STEP_S
        effects = ahead.at(next_s, self._served(ahead.now_s, next_s - ahead.now_s))
        self._demand = effects.demand
        is_due = ahead.has_load and next_s - self._times_s[-1] >= MARK_S
        if ahead.turns != turns or is_due:
            self._marks.append(ahead.fork())
            self._times_s.append(next_s)

    def _served(self, from_s: float, passed_s: float) -> Floats:
        """[C, K] requests of that stretch, evenly spread over the cpus."""
        rate = (self._mean * self._demand).sum(axis=0) * day(self._scenario, from_s)
        return np.asarray(self._parts * rate * passed_s)
