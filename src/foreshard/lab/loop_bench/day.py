"""This module is what happens in the bench: demand that swings, cells that leak, cells that fail.

Requests go where the live plan sends them, so that what is reported fits what was planned. In a
quarter of a percent of the cells memory leaks from the beginning; after a third of the time as
many begin to fail a third of their requests. So ticks are of all kinds: quiet ones, small
corrections, evacuations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.lab.loop_bench.estate import CPUS, Estate, Floats
from foreshard.model.plan import Plan

__all__ = ["Day", "Moment"]

ILL_PART = 0.0025
LEAK_PER_S = 0.001
SWING, SWING_S = 0.15, 120.0
FAILING_RATIO = 0.35

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """One second.

    Attributes:
        now_s: When it ends.
        served: [F, C] requests of every flow that every cell was sent.
        arrived: [F] requests of every flow, shed ones too.
        failed_ratio: [C].
        cpu_s: [C] used in this second.
        memory: [C] in use, as a part.
    """

    now_s: float
    served: Ints
    arrived: Ints
    failed_ratio: Floats
    cpu_s: Floats
    memory: Floats


class Day:
    """Seconds, one after another.

    Args:
        estate: Whose.
        seconds: How many there will be.
        seed: Of noise, and of who falls ill.
    """

    def __init__(self, estate: Estate, *, seconds: int, seed: int) -> None:
        self._estate = estate
        self._draw = np.random.default_rng((seed, 1))
        cells = len(estate.fleet.cells)
        ill = self._draw.permutation(cells)
        few = max(1, round(ILL_PART * cells))
        self._leaking, self._failing = ill[:few], ill[few : 2 * few]
        self._fails_after = seconds // 3
        cost = {c.name: c.declared.per_request["cpu"] for c in estate.classes}
        self._cost_s = np.array([cost[f.request_class] for f in estate.flows])
        self._second = 0
        home = estate.at_home()
        self._given: tuple[Plan, Floats] = (home, self._shares(home))

    def next(self, plan: Plan, *, now_s: float) -> Moment:
        """The next second, under the plan that is live."""
        if plan is not self._given[0]:
            self._given = plan, self._shares(plan)
        self._second += 1
        swing = 1.0 + SWING * np.sin(2.0 * np.pi * self._second / SWING_S)
        wanted = swing * self._estate.demand_rps[:, None] * self._given[1]
        served = self._draw.poisson(wanted)
        shed = np.maximum(1.0 - self._given[1].sum(axis=1), 0.0)
        refused = self._draw.poisson(swing * self._estate.demand_rps * shed)
        cells = served.shape[1]
        failed = np.zeros(cells)
        if self._second > self._fails_after:
            failed[self._failing] = FAILING_RATIO
        memory = self._draw.uniform(0.45, 0.47, cells)
        memory[self._leaking] = np.minimum(0.5 + LEAK_PER_S * self._second, 0.99)
        cpu_s = self._cost_s @ served + CPUS * self._draw.uniform(0.01, 0.03, cells)
        return Moment(
            now_s=now_s,
            served=served,
            arrived=served.sum(axis=1) + refused,
            failed_ratio=failed,
            cpu_s=np.minimum(cpu_s, CPUS),
            memory=memory,
        )

    def _shares(self, plan: Plan) -> Floats:
        names = self._estate.fleet.names
        splits = [plan.splits[flow].shares for flow in self._estate.flows]
        return np.array([[shares.get(name, 0.0) for name in names] for shares in splits])
