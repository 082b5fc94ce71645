"""This module is what a run cost the callers: bad requests by class, each counted once.

*Bad* = failed after all retries, or slower than its class's objective, or shed. What arrives
during the warm-up is not scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Fate, Ledger
from foreshard.model.workload import RequestClass

__all__ = [
    "MIDDLES_S",
    "Toll",
    "bad_by_class",
    "bad_weighted",
    "latency_s",
    "scored_from",
    "toll_of",
]

BAD = (Fate.FAILED, Fate.SLOW, Fate.SHED)
# In the middle of each bin, on the scale on which they are alike.
MIDDLES_S = np.sqrt(np.array(LATENCY_EDGES_S)[:-1] * np.array(LATENCY_EDGES_S)[1:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Toll:
    """What became of the requests.

    Attributes:
        classes: In index order.
        fates: [K, Fate] requests.
    """

    classes: Sequence[RequestClass]
    fates: Floats

    @property
    def weights(self) -> Floats:
        """[K] of one request."""
        return np.array([each.weight for each in self.classes])

    @property
    def demand(self) -> float:
        """Of all requests, weighted."""
        return float(self.weights @ self.fates.sum(axis=1))

    @property
    def bad(self) -> float:
        """Of all bad requests, weighted."""
        return float(self.weights @ self.fates[:, BAD].sum(axis=1))

    @property
    def error(self) -> float:
        """Standard error of `bad`, were bad requests to fall independently of each other."""
        return float(np.sqrt(self.weights**2 @ self.fates[:, BAD].sum(axis=1)))

    def of(self, fate: Fate) -> float:
        """Of all requests with that fate, weighted."""
        return float(self.weights @ self.fates[:, fate])


def scored_from(scenario: Scenario) -> int:
    """The first second that is scored."""
    return math.ceil(scenario.warm_up_s - 1e-9)


def toll_of(ledger: Ledger, scenario: Scenario) -> Toll:
    """The toll of a run."""
    fates = ledger.fates[scored_from(scenario) :].sum(axis=(0, 1))
    return Toll(classes=scenario.classes, fates=fates)


def bad_by_class(ledger: Ledger) -> Floats:
    """[second of arrival, K] bad requests, warm-up included."""
    return np.asarray(ledger.fates[..., BAD].sum(axis=(1, 3)))


def bad_weighted(ledger: Ledger, scenario: Scenario) -> Floats:
    """[second of arrival] weighted bad requests, warm-up included."""
    weights = np.array([each.weight for each in scenario.classes])
    return np.asarray(bad_by_class(ledger) @ weights)


def latency_s(histogram: Floats, quantile: float) -> float | None:
    """Of the requests that were served; a fast refusal must not look like speed.

    Args:
        histogram: [bin] between the `LATENCY_EDGES_S`.
        quantile: In (0, 1).

    Returns:
        The middle of the bin in which it lies, within 8 %; None when nothing was served.
    """
    total = float(histogram.sum())
    if total <= 0.0:
        return None
    place = int(np.searchsorted(np.cumsum(histogram), quantile * total))
    return float(MIDDLES_S[min(place, MIDDLES_S.size - 1)])
