"""This module is the schedule of a scenario on real time, for the oracle alone.

Weather is played beside the real cells, so that it knows what a restart has cured. It is told of
restarts that the oracle asks for, and takes the time that the scenario says they take.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.weather import Weather
from foreshard.lab.simulation.world import STEP_S
from foreshard.ports import CellDriver

__all__ = ["LiveTruth", "ToldDriver"]


class LiveTruth:
    """`lab.policy.Truth` on real time.

    Args:
        scenario: Whose faults happen.
        seed: Of the run.
        now_s: Seconds of the scenario that are over; may be negative before it begins.
    """

    def __init__(self, scenario: Scenario, *, seed: int, now_s: Callable[[], float]) -> None:
        self._weather = Weather(scenario, seed=seed)
        self._foresight = Foresight(self._weather)
        self._now_s = now_s
        self._nothing = np.zeros((len(scenario.sites), len(scenario.offers)))
        self._steps = 0

    def effects(self, at_s: float) -> Effects:
        """What the faults will do at that moment, were nothing restarted from now on."""
        self._follow()
        return self._foresight.effects(max(at_s, self._weather.now_s))

    def demand_rps(self, at_s: float) -> dict[tuple[str, str], float]:
        """Mean requests a second that arrive then, by (origin, class), surges included."""
        self._follow()
        return self._foresight.demand_rps(max(at_s, self._weather.now_s))

    def restarted(self, cell: str) -> None:
        """Somebody has asked for a restart."""
        self._follow()
        self._weather.restart(cell, self._weather.now_s)

    def _follow(self) -> None:
        """Play up to now, step by step as the simulation does."""
        due = int(self._now_s() / STEP_S)
        while self._steps < due:
            self._steps += 1
            self._weather.at(self._steps * STEP_S, self._nothing)


class ToldDriver:
    """A `CellDriver` whose restarts the truth hears of.

    Args:
        driver: Does it.
        truth: Hears of it.
    """

    def __init__(self, driver: CellDriver, truth: LiveTruth) -> None:
        self._driver = driver
        self._truth = truth

    async def recycle(self, cell: str) -> None:
        """See `CellDriver.recycle`."""
        await self._driver.recycle(cell)
        self._truth.restarted(cell)
