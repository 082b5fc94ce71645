"""This module is how many requests come: expected by the scenario, and scattered by a seed.

Scatter is drawn on a fixed grid of time and from expected counts alone, so that the same seed
brings the same requests whatever the routing, and however often the plant is looked at. A gamma
number with its mean as its shape has the mean and variance of a Poisson count and is never
negative.
"""

from __future__ import annotations

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats

__all__ = ["Arrivals"]


class Arrivals:
    """Demand of all flows.

    Args:
        scenario: With rates, swing and end.
        seed: Of the scatter.
        bin_s: Grid on which it is drawn.
    """

    def __init__(self, scenario: Scenario, *, seed: int, bin_s: float) -> None:
        self._chance, self._spread = np.random.default_rng([seed, 0xF1]).spawn(2)
        self._bin_s = bin_s
        self._drawn = -1
        self._load = scenario.load
        self._end_s = scenario.duration_s
        share = np.array([offer.share for offer in scenario.offers])
        origin = np.array([scenario.load.origins.get(o, 1.0) for o in scenario.origins])
        self._mean = scenario.rate_rps() * np.outer(origin / origin.sum(), share / share.sum())
        self._scatter = np.ones_like(self._mean)

    @property
    def mean_rps(self) -> Floats:
        """[O, K] without swing and surges."""
        return self._mean

    def rate_rps(self, at_s: float, demand: Floats) -> Floats:
        """[O, K] expected then, with the factor `demand` [O, K]."""
        if at_s >= self._end_s:
            return np.zeros_like(self._mean)
        turn = np.sin(2.0 * np.pi * at_s / self._load.period_s)
        return np.asarray(self._mean * demand * (1.0 + self._load.swing_ratio * turn))

    def scatter(self, number: int, demand: Floats) -> Floats:
        """[O, K] what really comes within one bin, relative to what is expected.

        Args:
            number: Of the bin; never smaller than in the call before.
            demand: [O, K] factor.
        """
        while self._drawn < number:
            self._drawn += 1
            middle_s = (self._drawn + 0.5) * self._bin_s
            self._scatter = _relative(self._chance, self.rate_rps(middle_s, demand) * self._bin_s)
        return self._scatter

    def spread(self, amount: Floats) -> Floats:
        """Factors around 1 by which single cells get more or less than their expectation."""
        return _relative(self._spread, amount)


def _relative(chance: np.random.Generator, amount: Floats) -> Floats:
    drawn = chance.standard_gamma(amount)
    return np.asarray(np.where(amount > 0.0, drawn / np.maximum(amount, 1e-300), 1.0))
