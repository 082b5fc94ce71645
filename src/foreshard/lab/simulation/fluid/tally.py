"""This module is what is written down: what was seen since the last look, and every fate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.fluid.callers import Asked
from foreshard.lab.simulation.fluid.outcome import Prospect
from foreshard.lab.simulation.fluid.sojourn import Part, points
from foreshard.lab.simulation.fluid.tries import Amounts
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Fate, Ledger

__all__ = ["Seen", "Tally"]

TINY = 1e-12
BINS = len(LATENCY_EDGES_S) - 1
# Bins of the histogram a decade, from the first edge on.
A_DECADE = 15.0
FIRST = np.log10(LATENCY_EDGES_S[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What balancers saw in a step, [O, K, C].

    Attributes:
        ended: Open tries that ended.
        elsewhere: Tries that failed and may be made elsewhere.
        due: Tries that were given up.
        time_s: Summed time of those that failed.
    """

    ended: Amounts
    elsewhere: Floats
    due: Floats
    time_s: Floats


class Tally:
    """All sums.

    Args:
        scenario: For its length and shape.
    """

    def __init__(self, scenario: Scenario) -> None:
        origins, classes = len(scenario.origins), len(scenario.offers)
        cells, seconds = len(scenario.sites), ceil(scenario.duration_s)
        self._warm_up_s = scenario.warm_up_s
        self._fates = np.zeros((seconds, origins, classes, len(Fate)))
        self._served = np.zeros((seconds, cells, classes))
        self._crossed = np.zeros(seconds)
        self._latency = np.zeros((classes, BINS))
        self._is_away = np.array(
            [[site.region != origin for site in scenario.sites] for origin in scenario.origins]
        )
        self._pending, self._pending_way_s = np.zeros((2, classes, cells))
        self._ended_well = np.zeros(classes)
        self.clear()

    def clear(self) -> None:
        """Begin a new look; arrays [O, K], then [O, K, C]."""
        shape = (*self._fates.shape[1:3], self._served.shape[1])
        self.arrived, self.shed = np.zeros((2, *shape[:2]))
        self.tries, self.failed, self.slow, self.latency_s = np.zeros((4, *shape))

    def fate(self, fate: Fate, amount: Floats, *, now_s: float, age_s: Floats) -> None:
        """Write down what became of amounts [O, K] that came so long ago, each."""
        if not amount.any():
            return
        at = np.clip((now_s - age_s).astype(np.intp), 0, len(self._fates) - 1)
        at = np.broadcast_to(at, amount.shape)
        origin, request_class = np.indices(amount.shape)
        self._fates[at, origin, request_class, int(fate)] += amount

    def ask(self, asked: Asked, *, now_s: float) -> None:
        """Write down what was asked and what was shed of it."""
        self.arrived += asked.arrived
        self.shed += asked.shed
        self.fate(Fate.SHED, asked.shed, now_s=now_s, age_s=asked.shed_lag_s)

    def see(self, seen: Seen, prospect: Prospect, *, now_s: float) -> None:
        """Write down what ended in a step."""
        good, slow = seen.ended.good, seen.ended.slow
        failed = seen.elsewhere + seen.due
        self.tries += good + slow + failed
        self.failed += failed
        self.slow += seen.ended.try_slow
        good_s, slow_s = good * prospect.good_s, slow * prospect.slow_s
        self.latency_s += good_s + slow_s + seen.time_s
        second = min(int(now_s), len(self._served) - 1)
        self._served[second] += (good + slow).sum(axis=0).T
        self._crossed[second] += float(((good + slow).sum(axis=1) * self._is_away).sum())
        if now_s >= self._warm_up_s:
            self._ended_well += (good + slow).sum(axis=(0, 2))
        for fate, amount, time_s, lag_s in (
            (Fate.GOOD, good.sum(axis=2), good_s.sum(axis=2), 0.0),
            (Fate.SLOW, slow.sum(axis=2), slow_s.sum(axis=2), prospect.slow_lag_s),
        ):
            age_s = time_s / np.maximum(amount, TINY) + lag_s
            self.fate(fate, amount, now_s=now_s, age_s=age_s)

    def came(self, amount: Floats, way_s: Floats, *, now_s: float) -> None:
        """Remember requests [O, K, C] that will end well, and their way, for the histogram."""
        if now_s >= self._warm_up_s:
            self._pending += amount.sum(axis=0)
            self._pending_way_s += (amount * way_s).sum(axis=0)

    def draw(self, parts: Sequence[Part], timeout_s: Floats) -> None:
        """Put what is remembered into the histogram.

        Args:
            parts: Of the time in the cells, [K, C].
            timeout_s: [K, 1] none takes longer and ends well.
        """
        if not self._pending.any():
            return
        shape = self._pending.shape
        more_s = self._pending_way_s / np.maximum(self._pending, TINY)
        drawn = points(parts)
        times = np.array([np.broadcast_to(t_s + more_s, shape) for t_s, _ in drawn])
        share = np.array([np.broadcast_to(part, shape) for _, part in drawn])
        share = np.where(times <= timeout_s, share, 0.0)
        total = share.sum(axis=0)
        # What can end in time by a hair only ends at the time-out.
        share[0] = np.where(total > 0.0, share[0], 1.0)
        share = share / np.where(total > 0.0, total, 1.0) * self._pending
        times = np.minimum(np.maximum(times, LATENCY_EDGES_S[0]), timeout_s)
        at = np.clip(((np.log10(times) - FIRST) * A_DECADE).astype(np.intp), 0, BINS - 1)
        for k in range(len(self._latency)):
            self._latency[k] += np.bincount(
                at[:, k].ravel(), weights=share[:, k].ravel(), minlength=BINS
            )
        self._pending[:] = self._pending_way_s[:] = 0.0

    def ledger(self) -> Ledger:
        """All fates so far.

        How long requests take is foreseen as they come, how many end well is seen as they end:
        trouble between the two changes how many, and the histogram holds as many as there were.
        """
        foreseen = self._latency.sum(axis=1)
        times = self._ended_well / np.where(foreseen > 0.0, foreseen, 1.0)
        return Ledger(
            fates=self._fates.copy(),
            served=self._served.copy(),
            latency=self._latency * times[:, None],
            crossed=self._crossed.copy(),
        )
