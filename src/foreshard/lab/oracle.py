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
alike (knowing which report is the expensive one would help), cells that were dead are those of
the twin that nobody steers (an early restart at a quiet moment would help), and cpus are the
only resource.

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

from foreshard.lab import service
from foreshard.lab.cell.draw import CPU, erlang
from foreshard.lab.cell.faults import Faults
from foreshard.lab.story import Story
from foreshard.lab.timeline import Lives
from foreshard.lab.traffic import Schedule
from foreshard.model.errors import LabError
from foreshard.model.workload import RequestClass

__all__ = ["BIN_S", "Burden", "Harm", "burden_of", "capacity_cpu_s", "least_harm"]

Floats = npt.NDArray[np.float64]

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


def capacity_cpu_s(story: Story, lives: Lives | None) -> Floats:
    """[bin] cpu seconds of all cells, from the faults as they were planned and who was up.

    Args:
        story: Of its faults only what slows cpus down counts; deaths are read from `lives`.
        lives: Cells in the order of `service.SITES`; None = all were up all the time.
    """
    t_s = (np.arange(_bins(story.duration_s)) + 0.5) * BIN_S
    speed = np.ones((len(t_s), len(service.SITES)))
    names = [site.name for site in service.SITES]
    for spec in story.faults:
        faults = Faults()
        faults.inject(spec.fault, now_s=spec.at_s)
        for i in np.flatnonzero((t_s >= spec.at_s) & (t_s < spec.ends_s)):
            slowed = faults.speed(now_s=float(t_s[i]))
            for cell in spec.cells:
                speed[i, names.index(cell)] = min(speed[i, names.index(cell)], slowed)
    if lives is not None and len(lives.t_s):
        looked = np.maximum(np.searchsorted(lives.t_s, t_s, side="right") - 1, 0)
        speed *= lives.up[looked]
    total: Floats = speed.sum(axis=1) * service.CELL_CPUS * BIN_S
    return total


def burden_of(story: Story, schedule: Schedule, *, lives: Lives | None) -> Burden:
    """What a run asked for, with the cost that each request really had."""
    bins, classes = _bins(story.duration_s), len(service.CLASSES)
    mean_s = np.array([service.WORK[c.name].cpu_s for c in service.CLASSES])
    drawn = np.array([erlang(int(draw), CPU) for draw in schedule.draw])
    cost_s = drawn * mean_s[schedule.request_class]
    at = np.minimum((schedule.t_s / BIN_S).astype(np.intp), bins - 1)
    flat = at * classes + schedule.request_class
    work_s: Floats = np.zeros(bins * classes)
    np.add.at(work_s, flat, cost_s)
    return Burden(
        capacity_s=capacity_cpu_s(story, lives),
        work_s=work_s.reshape(bins, classes),
        requests=np.bincount(schedule.request_class, minlength=classes).astype(np.float64),
        classes=service.CLASSES,
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
        undone_s = _undone_s(burden, order[:upto])
        harm += burden.harm_per_cpu_s[k] * (undone_s - before)
        before = undone_s
    seconds = ceil(len(harm) * BIN_S - 1e-9)
    second = np.minimum((np.arange(len(harm)) * BIN_S + 1e-9).astype(np.intp), seconds - 1)
    per_second: Floats = np.zeros(seconds)
    np.add.at(per_second, second, harm)
    return per_second


def _undone_s(burden: Burden, members: Sequence[int]) -> Floats:
    """[bin of arrival] work of these classes that no schedule does in time, in all the least."""
    patience = {k: ceil(burden.classes[k].objective_s / BIN_S - 1e-9) for k in members}
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
