"""This module is what is asked on average, by origin, class and moment, surges left out."""

from __future__ import annotations

import math

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats

__all__ = ["day", "even_rps", "mean_rps"]


def mean_rps(scenario: Scenario) -> Floats:
    """[O, K] requests a second, over a whole day."""
    parts = np.array([offer.share for offer in scenario.offers])
    origins = np.array([scenario.load.origins.get(o, 1.0) for o in scenario.origins])
    shares = np.outer(origins / origins.sum(), parts / parts.sum())
    return np.asarray(scenario.rate_rps() * shares)


def day(scenario: Scenario, at_s: float) -> float:
    """Factor on the mean at that moment: a sinus that begins at 1 and rises."""
    load = scenario.load
    return 1.0 + load.swing_ratio * math.sin(2.0 * math.pi * at_s / load.period_s)


def even_rps(scenario: Scenario) -> Floats:
    """[C, K] requests a second of the mean, were every cpu asked for the same."""
    cpus = np.array(scenario.cpus())
    return np.outer(cpus / cpus.sum(), mean_rps(scenario).sum(axis=0))
