"""This module is who asks, and asks again: retries of balancers and of clients.

Requests are told apart by how often the client asked before and how often a balancer tried; all
of a flow that are open are mixed, so whoever ends is of each sort in proportion. That is right
where all sorts meet the same fate, and the sorts are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.model.safety_net import SafetyNet

__all__ = ["Asked", "Callers", "Ended"]

TINY = 1e-12
# So little of one request that nobody is left.
NOBODY = 1e-6
# Mean of a first pause before a retry, relative to its upper bound.
MEAN_PAUSE = 0.5
# A client that was failed asks again after half a second to a second.
PAUSE_S = 0.75


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What is tried in one step.

    Attributes:
        arrived: [O, K] requests at the balancers, shed ones too.
        shed: [O, K] of them.
        shed_lag_s: [O, K] how long ago those came first.
        fresh: [O, K] first tries of first requests.
        repeated: [O, K] first tries of clients that ask again.
        retried: [O, K, C] further tries.
        lag_s: [O, K] mean time since a request that is not fresh came.
    """

    arrived: Floats
    shed: Floats
    shed_lag_s: Floats
    fresh: Floats
    repeated: Floats
    retried: Floats
    lag_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ended:
    """What ended in one step, by flow.

    Attributes:
        refused_fresh, refused_again: [O, K] share of fresh and other tries refused at once.
        answered: [O, K] open ones that ended well.
        late: [O, K] open ones that were given up.
        broken: [O, K] open ones that failed and may be tried elsewhere.
        broken_s: [O, K] how long these took.
        unreached: [O, K] share of what failed, but for the late, that came to no cell at all.
        to: [O, K, C] where what failed is tried again, as shares.
        turns: [O, K] how often the time of a try, where it is tried again, fits into the step.
    """

    refused_fresh: Floats
    refused_again: Floats
    answered: Floats
    late: Floats
    broken: Floats
    broken_s: Floats
    unreached: Floats
    to: Floats
    turns: Floats


class Callers:
    """All requests that are not over.

    Args:
        shape: O, K, C.
        client_retries: How often a client asks again.
        net: Of the balancers.
        proxies: Each has a budget.
        retriable: [K].
        timeout_s: [K].
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        client_retries: int,
        net: SafetyNet,
        proxies: int,
        retriable: Bools,
        timeout_s: Floats,
    ) -> None:
        sorts = (client_retries + 1, net.retries + 1, *shape[:2])
        self._net, self._proxies, self._retriable = net, proxies, retriable
        self._timeout_s = timeout_s
        self._coming, self._coming_s, self._open, self._open_s = np.zeros((4, *sorts))
        self._tried, self._tried_s = np.zeros((2, *sorts))
        self._pausing, self._pausing_s = np.zeros((2, client_retries, *shape[:2]))
        self._to = np.zeros(shape)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open and nothing will be tried again."""
        return bool(self._coming.sum() + self._open.sum() + self._pausing.sum() < NOBODY)

    def ask(self, fresh: Floats, shed: Floats, *, step_s: float) -> Asked:
        """What is tried in a step in which so much [O, K] is new and a share [O, K] is shed."""
        back = -np.expm1(-step_s / PAUSE_S) * self._pausing
        self._pausing = self._pausing - back
        self._add(self._coming[1:, 0], self._coming_s[1:, 0], back, back * self._pausing_s)
        first = self._coming[:, 0].copy()
        first[0] += fresh
        first_s = self._coming_s[:, 0]
        arrived = first.sum(axis=0)
        turned = first * shed
        tried, tried_s = self._coming.copy(), self._coming_s.copy()
        tried[:, 0] = first - turned
        self._coming, self._tried, self._tried_s = np.zeros_like(tried), tried, tried_s
        retried = tried[:, 1:].sum(axis=(0, 1))
        again = tried.sum(axis=(0, 1)) - tried[0, 0]
        lag_s = ((tried * tried_s).sum(axis=(0, 1))) / np.maximum(again, TINY)
        return Asked(
            arrived=arrived,
            shed=turned.sum(axis=0),
            shed_lag_s=_mean(first_s, turned),
            fresh=tried[0, 0],
            repeated=tried[1:, 0].sum(axis=0),
            retried=self._to * retried[:, :, None],
            lag_s=np.where(again > TINY, lag_s, 0.0),
        )

    def end(self, ended: Ended) -> tuple[Floats, Floats]:
        """Move on all requests; returns those that failed for good [O, K], and their age."""
        refused = self._tried * ended.refused_again
        refused[0, 0] = self._tried[0, 0] * ended.refused_fresh
        self._enter(self._tried - refused)
        total = np.maximum(self._open.sum(axis=(0, 1)), TINY)
        broken = self._open * np.minimum(1.0, ended.broken / total)
        late = self._open * np.minimum(1.0, ended.late / total)
        gone = (ended.broken + ended.late + ended.answered) / total
        self._open = self._open * np.maximum(0.0, 1.0 - gone)
        failing = refused + broken
        failing_s = refused * self._tried_s + broken * (self._open_s + ended.broken_s)
        again, again_s = self._again(ended, failing, failing_s)
        over = failing - again
        over_s = failing_s - again_s
        over, over_s = over + late, over_s + late * (self._open_s + self._timeout_s)
        over, over_s = over.sum(axis=1), over_s.sum(axis=1)
        if len(over) > 1:
            self._add(self._pausing, self._pausing_s, over[:-1], over_s[:-1] + PAUSE_S * over[:-1])
        return over[-1], np.asarray(over_s[-1] / np.maximum(over[-1], TINY))

    def _enter(self, amount: Floats) -> None:
        total = self._open + amount
        mixed = self._open * self._open_s + amount * self._tried_s
        self._open_s = np.where(total > TINY, mixed / np.maximum(total, TINY), 0.0)
        self._open = total

    def _again(self, ended: Ended, failing: Floats, failing_s: Floats) -> tuple[Floats, Floats]:
        """Try elsewhere what may be; returns how much that is of what failed."""
        may = np.zeros_like(failing)
        may[:, :-1] = failing[:, :-1] * np.where(self._retriable, 1.0, ended.unreached)
        wanted = may.sum(axis=(0, 1))
        again = np.zeros_like(failing)
        if not wanted.any():
            return again, again
        open_, retries = self._open.sum(axis=(0, 1)), self._open[:, 1:].sum(axis=(0, 1))
        least = float(self._net.retry_budget_minimum * self._proxies)
        budget = np.maximum(least, self._net.retry_budget_ratio * open_)
        allowed = np.maximum(0.0, budget * np.maximum(1.0, ended.turns) - retries)
        part = np.minimum(1.0, allowed / np.maximum(wanted, TINY))
        again = may * part
        again_s = failing_s * again / np.maximum(failing, TINY)
        pause_s = MEAN_PAUSE * self._net.backoff_base_s
        self._add(
            self._coming[:, 1:],
            self._coming_s[:, 1:],
            again[:, :-1],
            again_s[:, :-1] + again[:, :-1] * pause_s,
        )
        self._to = ended.to
        return again, again_s

    @staticmethod
    def _add(into: Floats, into_s: Floats, amount: Floats, amount_s: Floats) -> None:
        """Pour amounts, with their summed ages, into others with their mean ages."""
        total = into + amount
        mixed = (into * into_s + amount_s) / np.maximum(total, TINY)
        into_s[:] = np.where(total > TINY, mixed, 0.0)
        into[:] = total


def _mean(value: Floats, weight: Floats) -> Floats:
    total = weight.sum(axis=0)
    return np.asarray((value * weight).sum(axis=0) / np.maximum(total, TINY))
