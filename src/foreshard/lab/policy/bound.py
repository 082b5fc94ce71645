"""This module is the least harm that was possible: what a fleet that knew everything would shed.

It is a fluid bound. All cells are one pool of cpu seconds, cut into bins of a tenth of a second;
the work of a request that arrives in one bin may be done in any bin up to its objective, in
pieces; whatever cannot be done by then is bad, but for what the end of the run cuts off. A
request that is turned away costs nothing. Nobody does better with the capacity given: queueing,
the grain of requests, cold caches, the imbalance between cells and the time it takes to see and
to act are all left out.

Two orders of giving up are told apart:

- *ordered*: a class gives up nothing while a less important one still has something. This is
  the contract that Foreshard works under, so this is what it is judged against.
- *bound*: whatever weighs least per cpu second first. No policy is better than this.

What is left out of the bound, so that a policy could in theory beat it: requests of a class are
alike (knowing which report is the expensive one would help), and cpus are the only resource.

How much work can be done in time, of the classes of a set, is what earliest deadline first
does. Such amounts form a polymatroid (each unit of work must be matched to a unit of capacity
in its window), and over one of those the greedy order is optimal: each class in turn gets what
the set with it can do beyond the set without it (Edmonds, "Submodular functions, matroids, and
certain polyhedra", 1970).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from numba import njit

from foreshard.lab.policy.policy import Truth
from foreshard.lab.policy.restarts import is_curable
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.model.errors import LabError
from foreshard.model.workload import RequestClass

__all__ = [
    "BIN_S",
    "Burden",
    "Harm",
    "capacity_of",
    "earliest_deadline_first",
    "fluid_bound",
    "least_harm",
    "undone_s",
    "work_of",
]

BIN_S = 0.1
# Less work than this is the rounding of a sum.
NOTHING_S = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """What was asked and what there was to do it with, by bin of `BIN_S`.

    Attributes:
        capacity_s: [bin] cpu seconds that all cells together could spend.
        work_s: [bin, class] cpu seconds that arrived.
        requests: [class] how many requests that were.
        classes: In the order of the second axis.
    """

    capacity_s: Floats
    work_s: Floats
    requests: Floats
    classes: Sequence[RequestClass]

    def __post_init__(self) -> None:
        wanted = (len(self.capacity_s), len(self.classes))
        if self.work_s.shape != wanted or self.requests.shape != wanted[1:]:
            raise LabError(
                f"oracle: work has shape {self.work_s.shape} and requests "
                f"{self.requests.shape}, must be {wanted} and {wanted[1:]}"
            )

    @property
    def harm_per_cpu_s(self) -> Floats:
        """[class] weight of the bad requests that one undone cpu second makes."""
        work_s = self.work_s.sum(axis=0)
        weight = np.array([c.weight for c in self.classes])
        return np.where(work_s > 0.0, weight * self.requests / np.maximum(work_s, 1e-12), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """Weighted bad requests by second of arrival.

    Attributes:
        ordered: [second] least important class first.
        bound: [second] cheapest weight per cpu second first.
    """

    ordered: Floats
    bound: Floats


def fluid_bound(scenario: Scenario, capacity: Floats, work: Floats) -> Harm:
    """The least that has to be bad in a scenario, whoever steers.

    Args:
        scenario: Gives classes and what a mean request costs.
        capacity: [bin] cpu seconds that all cells together can spend, by bin of `BIN_S`.
        work: [bin, K] cpu seconds that arrive.
    """
    cost_s = np.array([offer.work.cpu_s for offer in scenario.offers])
    return least_harm(
        Burden(
            capacity_s=capacity,
            work_s=work,
            requests=work.sum(axis=0) / cost_s,
            classes=scenario.classes,
        )
    )


def capacity_of(scenario: Scenario, truth: Truth) -> Floats:
    """[bin] cpu seconds that there are at best: what a restart would cure counts as cured."""
    cpus = np.array(scenario.cpus())
    total = np.zeros(_bins(scenario.duration_s))
    for i in range(total.size):
        at_s = (i + 0.5) * BIN_S
        effects = truth.effects(at_s)
        ratio = np.minimum(effects.speed, 1.0) * effects.is_up * effects.is_reachable
        total[i] = (cpus * np.where(_cured(scenario, at_s), 1.0, ratio)).sum() * BIN_S
    return total


def work_of(scenario: Scenario, truth: Truth) -> Floats:
    """[bin, K] cpu seconds that arrive on average."""
    cost_s = {offer.request_class.name: offer.work.cpu_s for offer in scenario.offers}
    position = {name: k for k, name in enumerate(cost_s)}
    work = np.zeros((_bins(scenario.duration_s), len(cost_s)))
    for i in range(len(work)):
        for (_, name), rate in truth.demand_rps((i + 0.5) * BIN_S).items():
            work[i, position[name]] += rate * cost_s[name] * BIN_S
    return work


def _cured(scenario: Scenario, at_s: float) -> npt.NDArray[np.bool_]:
    """[C] cells that a restart at the right moment could have had well by then."""
    back_s = at_s - scenario.make.restart_s
    return np.array(
        [
            any(
                is_curable(fault, site.name, now_s=at_s)
                or is_curable(fault, site.name, now_s=back_s)
                for fault in scenario.faults
            )
            for site in scenario.sites
        ],
        dtype=np.bool_,
    )


def least_harm(burden: Burden) -> Harm:
    """The least that had to be bad; see the module."""
    worth = burden.harm_per_cpu_s
    classes = range(len(burden.classes))
    by_rank = sorted(classes, key=lambda k: (burden.classes[k].priority, -worth[k], k))
    by_worth = sorted(classes, key=lambda k: (-worth[k], k))
    return Harm(ordered=_given_up(burden, by_rank), bound=_given_up(burden, by_worth))


def _given_up(burden: Burden, order: Sequence[int]) -> Floats:
    """[second] weighted harm when classes are served in this order."""
    harm = np.zeros(len(burden.capacity_s))
    before = np.zeros(len(burden.capacity_s))
    for upto, k in enumerate(order, start=1):
        undone_s = _undone(burden, order[:upto])
        harm += burden.harm_per_cpu_s[k] * (undone_s - before)
        before = undone_s
    seconds = ceil(len(harm) * BIN_S - 1e-9)
    second = np.minimum((np.arange(len(harm)) * BIN_S + 1e-9).astype(np.intp), seconds - 1)
    per_second: Floats = np.zeros(seconds)
    np.add.at(per_second, second, harm)
    return per_second


def _undone(burden: Burden, members: Sequence[int]) -> Floats:
    chosen = list(members)
    work_s = np.ascontiguousarray(burden.work_s[:, chosen].T)
    patience = np.array([_patience(burden.classes[k]) for k in chosen], dtype=np.int64)
    found: Floats = earliest_deadline_first(burden.capacity_s, work_s, patience)
    return found


def _patience(request_class: RequestClass) -> int:
    """Bins after the one of arrival in which a request may be done."""
    return ceil(request_class.objective_s / BIN_S - 1e-9)


@njit(cache=True)
def earliest_deadline_first(
    capacity_s: Floats, work_s: Floats, patience: npt.NDArray[np.int64]
) -> Floats:  # pragma: no cover - compiled
    """`undone_s`, compiled.

    Args:
        capacity_s: [bin].
        work_s: [member, bin].
        patience: [member] bins.
    """
    members, bins = work_s.shape
    left = work_s.copy()
    head = np.zeros(members, dtype=np.int64)
    undone = np.zeros(bins)
    for now in range(bins):
        for k in range(members):
            while head[k] + patience[k] < now:
                undone[head[k]] += left[k, head[k]]
                head[k] += 1
        room = capacity_s[now]
        while room > NOTHING_S:
            first = -1
            for k in range(members):
                if head[k] <= now and (
                    first < 0 or head[k] + patience[k] < head[first] + patience[first]
                ):
                    first = k
            if first < 0:
                break
            came = head[first]
            done = min(room, left[first, came])
            left[first, came] -= done
            room -= done
            if room > NOTHING_S or left[first, came] <= 0.0:
                head[first] += 1
    return undone


def undone_s(burden: Burden, members: Sequence[int]) -> Floats:
    """[bin of arrival] work of these classes that no schedule does in time, in all the least."""
    patience = {k: _patience(burden.classes[k]) for k in members}
    # One line a class is in the order of its deadlines by itself.
    lines: dict[int, deque[tuple[int, int, float]]] = {k: deque() for k in members}
    undone = np.zeros(len(burden.capacity_s))
    for now, room in enumerate(burden.capacity_s.tolist()):
        for k, line in lines.items():
            line.append((now + patience[k], now, float(burden.work_s[now, k])))
            while line and line[0][0] < now:
                _, came, left = line.popleft()
                undone[came] += left
        left_s = room
        while left_s > NOTHING_S:
            waiting = [line for line in lines.values() if line]
            if not waiting:
                break
            first = min(waiting, key=lambda line: line[0][0])
            due, came, work = first.popleft()
            if work > left_s:
                first.appendleft((due, came, work - left_s))
            left_s -= min(work, left_s)
    return undone


def _bins(duration_s: float) -> int:
    return ceil(duration_s / BIN_S - 1e-9)
