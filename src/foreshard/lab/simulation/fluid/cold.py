"""This module is how many keys a cell meets for the first time, in the mean.

Of n keys of which u were never seen, r requests a key see `u (1 - e^-r)` for the first time:
requests choose keys at random, so each key is missed with the probability of a Poisson zero.
"""

from __future__ import annotations

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Bools, Floats

__all__ = ["ColdKeys"]


class ColdKeys:
    """Keys that are new to cells, by class and cell.

    Args:
        scenario: With the number of keys and the classes that mind.
    """

    def __init__(self, scenario: Scenario) -> None:
        shape = (len(scenario.offers), len(scenario.sites))
        cold_s = np.array([offer.work.cold_s for offer in scenario.offers])
        self.is_needed = bool(cold_s.any())
        self._keys = float(scenario.load.keys)
        self._mine = np.zeros(shape)
        self._new = np.zeros(shape)

    def own(self, share: Floats) -> None:
        """Take who has which share [K, C] of the keys; what is gained is new to the cell."""
        mine = share * self._keys
        kept = np.minimum(1.0, mine / np.maximum(self._mine, 1e-12))
        self._new = self._new * kept + np.maximum(0.0, mine - self._mine)
        self._mine = mine

    def forget(self, cells: Bools) -> None:
        """These cells [C] begin anew."""
        self._new = np.where(cells, self._mine, self._new)

    def meet(self, amount: Floats) -> Floats:
        """[K, C] share of so many requests that have a new key, which then is new no more."""
        met = self._new * -np.expm1(-amount / np.maximum(self._mine, 1e-9))
        self._new = self._new - met
        return np.asarray(np.minimum(1.0, met / np.maximum(amount, 1e-12)))
