"""This module is how balancers spread requests over cells, in the mean over many requests.

Each proxy compares what it has open itself. In the mean, with P proxies of n open requests:

- weights that differ: in balance a cell gets `weight / (n + 1) ** bias`, which is solved by a
  few steps of a fixed point, for n follows from what the cell gets;
- two choices: a cell that is drawn with probability q is chosen against another that is drawn
  if it has fewer open, and numbers scatter like Poisson's, so it gets
  `2 q * mean of Phi((n' - n) / sqrt(n + n' + 1/4))` over the others;
- a cell that is new or has come back has its weight grow over the slow start (least request
  only, which meanwhile goes by weight);
- Prequal: the same with the times that cells take, and sharper, for the best of a pool wins.
"""

from __future__ import annotations

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.fluid.slots import failed_over, owned
from foreshard.lab.simulation.routing import Pick, Routing

__all__ = ["Choice", "evenness", "two_choices"]

# As Envoy is told (adapters.routing.envoy.settings): the pull, and where it is corrected for.
BIAS = 0.5
EXPECTED = 10.0
# Envoy's smallest part of a weight in slow start.
SLOWEST = 0.1
# Fewer cells are compared each with each; of more, these many stand for all.
FEW = 48
SAMPLES = 8
NODES = 33
# A mean of nothing open still has a scatter, or the comparison would be all or nothing.
SCATTER = 0.25
# Steps of the fixed point, each this far, from where the last step ended: converges for n up
# to some hundreds. Of many cells, where they cost most, fewer.
STEPS, FAST_STEPS = 4, 2
PART = 0.4
# Prequal's pool is refreshed by probes, so it follows within about this time.
PROBED_S = 0.3


class Choice:
    """One program for all proxies.

    Args:
        scenario: With the numbers of proxies and keys.
        routing: Weights, slots and picks.
    """

    def __init__(self, scenario: Scenario, routing: Routing) -> None:
        self.routing = routing
        origins, classes, self._cells = routing.weight.shape
        keys = scenario.load.keys
        self._cpu_s = np.array([offer.work.cpu_s for offer in scenario.offers])
        self._proxies = float(scenario.proxies)
        self._own = np.zeros((origins, classes, self._cells + 1))
        self._hot = np.zeros_like(self._own)
        self.is_keyed = routing.pick == Pick.SLOTS
        for o, k in np.argwhere(self.is_keyed).tolist():
            self._own[o, k] = owned(routing.slots[o, k], keys=keys, cells=self._cells)
            self._hot[o, k] = owned(routing.slots[o, k], keys=1, cells=self._cells)
        share = routing.weight / np.maximum(1e-300, routing.weight.sum(axis=2, keepdims=True))
        self._weight = np.where(self.is_keyed[:, :, None], 0.0, share)
        least = np.where(self._weight > 0.0, self._weight, np.inf).min(axis=2, initial=np.inf)
        is_least = self._is_least = routing.pick == Pick.LEAST_REQUEST
        is_even = self._weight.max(axis=2) <= least * (1.0 + 1e-9)
        self._compares = (is_least & is_even) | (routing.pick == Pick.TWO_CHOICES)
        self._pulls = is_least & ~is_even
        self._probes = routing.pick == Pick.PREQUAL
        told = self._weight * (self._weight * EXPECTED + 1.0) ** BIAS
        self._weight = np.where(self._pulls[:, :, None], told, self._weight)
        self.share = np.zeros_like(self._weight)
        self._since_s = np.full(self._weight.shape, -np.inf)

    def follow(self, before: Choice, *, now_s: float) -> None:
        """Take over from another program: who is new in a flow starts slowly."""
        is_new = (self._weight > 0.0) & (before._weight <= 0.0)
        self._since_s = np.where(is_new, now_s, before._since_s)
        self.share = before.share

    def slow_start(self, back_s: Floats, *, now_s: float) -> Floats:
        """[O, K, C] part of its weight that a cell has.

        Args:
            back_s: [C] how long ago it came back.
            now_s: The moment.
        """
        age_s = np.minimum(now_s - self._since_s, back_s)
        part = np.clip(age_s / self.routing.net.slow_start_s, SLOWEST, 1.0)
        return np.where(self._is_least[:, :, None], part, 1.0)

    def keyed(self, seen: Floats, out: Bools, hot_ratio: float) -> tuple[Floats, Floats]:
        """Shares [O, K, C] of the keyed classes by cell, and [O, K] what is shed.

        Args:
            seen: [C] share of the proxies that hold a cell for alive.
            out: [O, K, C] who is ejected.
            hot_ratio: Share of requests that have key 0 on top of chance.
        """
        own = (1.0 - hot_ratio) * self._own + hot_ratio * self._hot
        shed = np.where(self.is_keyed, own[:, :, -1], self.routing.shed)
        given = own[:, :, :-1].copy()
        if (seen < 1.0).any() or out.any():
            for o, k in np.argwhere(self.is_keyed).tolist():
                near = self.routing.backups[k]
                given[o, k] = failed_over(given[o, k], seen, out[o, k], near)
        return _normal(given), shed

    def even(self, open_: Floats, flow: Floats) -> Floats:
        """[C] how much shorter lines are than by chance arrivals, as a factor.

        Args:
            open_: [O, K, C] requests in flight.
            flow: [O, K, C] requests that are sent.
        """
        work = flow * self._cpu_s[:, None]
        part = work / np.maximum(work.sum(axis=(0, 1)), 1e-300)
        compared = (self._pulls | self._compares | self._probes)[:, :, None]
        return evenness(open_, part * compared, proxies=self._proxies)

    def settle(
        self,
        able: Floats,
        *,
        slow: Floats,
        open_: Floats,
        flow: Floats,
        took_s: Floats,
        step_s: float,
    ) -> None:
        """Spread the free classes for the next step; `share` has the result.

        Args:
            able: [O, K, C] share of the proxies that use a cell at all.
            slow: [O, K, C] part of its weight that a cell has.
            open_: [O, K, C] requests now in flight.
            flow: [O, K] requests a second that are to be spread.
            took_s: [O, K, C] time that a request takes at present.
            step_s: Length of the step.
        """
        drawn = _normal(self._weight * able * slow)
        is_slow = self._is_least & (slow < 1.0).any(axis=2)
        pulls, compares = self._pulls | is_slow, self._compares & ~is_slow
        free = ~self.is_keyed
        plain = free & ~self._compares & ~self._pulls & ~self._probes
        self.share[plain] = drawn[plain]
        left = np.exp(-step_s / np.maximum(took_s, 1e-6))
        kept, gain = open_ * left, flow[:, :, None] * took_s * (1.0 - left)
        for mask, target in ((pulls, _pull), (compares, two_choices)):
            if not mask.any():
                continue
            candidates, share = drawn[mask], self.share[mask]
            share = _normal(np.where(candidates > 0.0, np.maximum(share, 1e-9), 0.0))
            for _ in range(STEPS if self._cells <= FEW else FAST_STEPS):
                n = (kept[mask] + gain[mask] * share) / self._proxies
                share += PART * (_normal(target(candidates, n)) - share)
            self.share[mask] = share
        if self._probes.any():
            self._probe(drawn, np.broadcast_to(took_s, drawn.shape), step_s)

    def _probe(self, drawn: Floats, took_s: Floats, step_s: float) -> None:
        candidates, times = drawn[self._probes], took_s[self._probes]
        mean = (candidates * times).sum(axis=1, keepdims=True)
        faster = two_choices(candidates, 16.0 * times / np.maximum(mean, 1e-9))
        target = _normal(faster * faster / np.maximum(candidates, 1e-300))
        share = _normal(np.where(candidates > 0.0, self.share[self._probes], 0.0))
        part = 1.0 - np.exp(-step_s / PROBED_S)
        self.share[self._probes] = share + part * (target - share)


def evenness(open_: Floats, weight: Floats, *, proxies: float) -> Floats:
    """[C] by how much lines are shorter because balancers avoid busy cells, as a factor.

    Whoever compares what it has open sends less to where more waits, the more exactly the more
    it sees: with n open requests of a class in a cell the line is `1 / (1 + 2.5 sqrt(n))` of the
    line before chance arrivals. Measured in the core that follows every request, for loads of
    0.4 to 0.9, 6 and 20 cells, 1 to 10 proxies: within 20 % of the line.

    Args:
        open_: [O, K, C] requests in flight.
        weight: [O, K, C] share of each cell's work that each flow is, 0 for those that are not
            compared.
        proxies: Of each origin.
    """
    told = 2.5 * (1.0 - 1.0 / open_.shape[2]) * np.sqrt(np.maximum(open_, 0.0) / proxies)
    return np.asarray(1.0 / (1.0 + (weight * told).sum(axis=(0, 1))))


def two_choices(drawn: Floats, n: Floats) -> Floats:
    """[F, C] share of each cell when the emptier of two that are drawn is chosen.

    Args:
        drawn: [F, C] with which probability each is drawn; a row sums to 1.
        n: [F, C] mean number that each has open.
    """
    if drawn.shape[1] <= FEW:
        return drawn * 2.0 * _emptier(n, n, drawn)
    order = np.sort(np.where(drawn > 0.0, n, np.inf), axis=1)
    count = (drawn > 0.0).sum(axis=1)[:, None]
    at = ((np.arange(SAMPLES) + 0.5) / SAMPLES * count).astype(np.intp)
    other = np.take_along_axis(order, np.minimum(at, np.maximum(0, count - 1)), axis=1)
    other = np.where(np.isfinite(other), other, 0.0)
    # The curve over n is smooth: it is computed at some points, and read between them.
    scale = np.log(n + SCATTER)
    low, high = scale.min(axis=1, keepdims=True), scale.max(axis=1, keepdims=True) + 1e-6
    node = low + (high - low) * np.linspace(0.0, 1.0, NODES)
    curve = _emptier(np.exp(node) - SCATTER, other, np.full(other.shape, 1.0 / SAMPLES))
    place = (scale - low) / (high - low) * (NODES - 1)
    left = np.minimum(place.astype(np.intp), NODES - 2)
    left_value = np.take_along_axis(curve, left, axis=1)
    step = np.take_along_axis(np.diff(curve, axis=1), left, axis=1)
    return np.asarray(drawn * 2.0 * (left_value + (place - left) * step))


def _emptier(n: Floats, other: Floats, weight: Floats) -> Floats:
    """[F, N] probability that a cell of n open ones has fewer than another that is drawn.

    Args:
        n: [F, N] mean numbers.
        other: [F, D] mean numbers of the others.
        weight: [F, D] with which probability each is drawn.
    """
    gap = other[:, None, :] - n[:, :, None]
    apart = gap / np.sqrt(other[:, None, :] + n[:, :, None] + SCATTER)
    # The logistic curve is within 0.01 of Phi, and cheaper.
    fewer = 1.0 / (1.0 + np.exp(-1.702 * np.clip(apart, -40.0, 40.0)))
    return np.asarray(np.einsum("fnd,fd->fn", fewer, weight))


def _pull(drawn: Floats, n: Floats) -> Floats:
    return np.asarray(drawn / (n + 1.0) ** BIAS)


def _normal(share: Floats) -> Floats:
    total = share.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(total > 0.0, share / np.maximum(total, 1e-300), 0.0))
