"""This module is the oracle: the same planner, told the whole schedule in advance.

Each second it looks a few seconds ahead, takes the worst of them for what every cell can serve,
and lets the exact planner split the demand. So work leaves a cell just before it is hurt, one
class where one class suffers, and returns as soon as the cell is well; what does not fit is shed
and no more. There are no guards, no budget and no doubt. A cell with a fault that a restart
cures is emptied and restarted where what it would lose otherwise is more than a restart, or
where several would die at once; one at a time, and only when the others can carry the work.

It is the limit of what planning can do, not of what is possible: that is `bound`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from foreshard.lab.policy.crowd import crowded
from foreshard.lab.policy.outlook import Outlook, outlook_of
from foreshard.lab.policy.peer import Hand, ticks
from foreshard.lab.policy.policy import Stage, Truth
from foreshard.lab.policy.program import Draft, even_shares, even_slots, seated
from foreshard.lab.policy.restarts import Nurse
from foreshard.lab.policy.setting import Setting, setting_of
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.routing import Pick
from foreshard.model.errors import DriverError, LabError
from foreshard.model.routing import SlotRow
from foreshard.model.workload import Flow, Priority
from foreshard.planning.exact import ExactSolver
from foreshard.planning.formulation import refused_above
from foreshard.planning.problem import (
    Problem,
    reference_shares,
)
from foreshard.planning.solver import Solver

__all__ = ["SHED_UTILISATION", "Oracle", "drafted", "posed"]

# Requests inside have ended by then, and keys are at home elsewhere. The measurements' best
# lead is 2 to 15 s; more only keeps a cell idle for longer.
LEAD_S = 3.0
LOOK_S = 0.5
# A plan made now is live until the next one is.
DEMAND_AHEAD_S = (0.1, 0.6, 1.2)
# Smaller changes of capacity and demand are not worth another plan.
GRAIN = 0.01
# The planner gives up sheddable work before utilisation rises above this.
SHED_UTILISATION = float(refused_above(np.array([Priority.SHEDDABLE]))[0])
# A capacity of zero is one that is not eligible; the planner wants more than none.
LEAST = 1e-6


def posed(
    setting: Setting, offers_cpu_s: Floats, held_s: Floats, outlook: Outlook, demand_rps: Floats
) -> Problem:
    """The planner's problem.

    Args:
        setting: The fleet.
        offers_cpu_s: [K] cpu seconds of a request.
        held_s: [K] for how long a request holds its connection in a healthy cell.
        outlook: What cells will be good for.
        demand_rps: [O, K].
    """
    origins, classes, cells = setting.shape
    flows = tuple(Flow(o, c.name) for o in setting.origins for c in setting.classes)
    kinds = setting.classes * origins
    allowed = np.tile(setting.allowed, (origins, 1))
    # Where nobody can serve a class in time, it makes no difference who tries.
    useful = outlook.in_time & (outlook.cpu > LEAST)[None, None]
    eligible = useful.reshape(origins * classes, cells)
    eligible = np.where(eligible.any(axis=1, keepdims=True), eligible, allowed)
    capacity = np.stack((outlook.cpu / SHED_UTILISATION, outlook.connections), axis=1)
    capacity = np.maximum(capacity, LEAST)
    nominal = np.where(outlook.cpu > LEAST, setting.size, LEAST)[:, None]
    return Problem(
        cells=setting.fleet.names,
        resources=("cpu", "connections"),
        flows=flows,
        demand_rps=demand_rps.ravel(),
        needs=np.tile(np.stack((offers_cpu_s, held_s), axis=1), (origins, 1)),
        capacity=capacity,
        eligible=eligible,
        weight=np.array([c.weight for c in kinds]),
        priority=np.array([int(c.priority) for c in kinds]),
        keyed=np.array([c.is_keyed for c in kinds]),
        reference=reference_shares(nominal, eligible, np.ones(cells, dtype=np.bool_)),
        latency_s=1e-3 * np.repeat(setting.distance_ms, classes, axis=0),
        class_risk=np.tile(outlook.spoilt, (origins, 1)),
    )


def drafted(
    setting: Setting,
    shares: Floats,
    demand_rps: Floats,
    before: Mapping[int, SlotRow],
) -> Draft:
    """The program of a plan.

    Args:
        setting: The fleet.
        shares: [O, K, C] of demand; what is missing to 1 is shed.
        demand_rps: [O, K].
        before: Live slots.
    """
    served = shares.sum(axis=2)
    even = even_shares(setting)
    scale = np.where(served > 1e-9, served, 1.0)[..., None]
    split = np.where(served[..., None] > 1e-9, shares / scale, even)
    rows = {}
    for k, row in before.items():
        # A key has one home, wherever its requests come from.
        rate = np.maximum(demand_rps[:, k], 1e-12)
        likes = (rate[:, None] * split[:, k]).sum(axis=0) / rate.sum()
        refused = float(rate @ (1.0 - served[:, k])) / float(rate.sum())
        rows[k] = seated(setting, row, np.where(likes < 1e-6, 0.0, likes), _ratio(refused, 0.999))
    return Draft(
        share=split,
        free=Pick.LEAST_REQUEST,
        slots=rows,
        shed=np.where(served > 1.0 - 1e-6, 0.0, np.clip(1.0 - served, 0.0, 1.0)),
        net=setting.net,
    )


def _ratio(value: float, most: float) -> float:
    return min(most, value) if value > 1e-6 else 0.0


@dataclass(slots=True, kw_only=True)
class _Desk:
    """What the oracle has before it in one run."""

    scenario: Scenario
    setting: Setting
    truth: Truth
    solver: Solver
    nurse: Nurse
    draft: Draft
    asked: tuple[bytes, ...] = ()
    woke_s: Floats = field(default_factory=lambda: np.zeros(0))
    was_up: list[bool] = field(default_factory=list)

    def demand(self, now_s: float) -> Floats:
        """[O, K] the most of the next second."""
        looks = [self.truth.demand_rps(now_s + ahead_s) for ahead_s in DEMAND_AHEAD_S]
        return np.array(
            [
                [max(look.get((o, c.name), 0.0) for look in looks) for c in self.setting.classes]
                for o in self.setting.origins
            ]
        )

    def outlook(self, now_s: float, demand_rps: Floats, *, lead_s: float) -> Outlook:
        """What cells are good for from now until then."""
        moments = now_s + np.arange(0.0, lead_s + 1e-9, LOOK_S)
        coming = [self.truth.effects(float(at_s)) for at_s in moments]
        self._wake(coming[0].is_up.tolist(), now_s)
        found = outlook_of(
            self.setting,
            self.scenario.offers,
            coming,
            demand_rps,
            service_cv=self.scenario.make.service_cv,
        )
        return replace(found, cpu=found.cpu / self._coldness(now_s))

    def _wake(self, is_up: list[bool], now_s: float) -> None:
        if self.was_up:
            woken = [up and not was for up, was in zip(is_up, self.was_up, strict=True)]
            self.woke_s = np.where(woken, now_s, self.woke_s)
        else:
            self.woke_s = np.full(len(is_up), -np.inf)
        self.was_up = is_up

    def _coldness(self, now_s: float) -> Floats:
        """[C] by what factor requests are dearer."""
        cold_s = self.scenario.make.cold_s
        if cold_s <= 0.0:
            return np.ones(len(self.was_up))
        return np.asarray(1.0 + np.clip(1.0 - (now_s - self.woke_s) / cold_s, 0.0, 1.0))

    def plan(self, now_s: float) -> Draft:
        """What to route from now on."""
        demand = self.demand(now_s)
        outlook = self.outlook(now_s, demand, lead_s=LEAD_S)
        outlook = self.nurse.spared(outlook)
        asked = self._question(outlook, demand)
        if asked != self.asked:
            self.asked = asked
            self.draft = self._solved(outlook, demand)
        return self.draft

    def _question(self, outlook: Outlook, demand: Floats) -> tuple[bytes, ...]:
        """The same for all that does not differ enough."""
        sizes = np.rint(outlook.cpu / self.setting.size / GRAIN)
        rates = np.rint(np.log(np.maximum(demand, 1e-6)) / (2.0 * GRAIN))
        bits = (sizes, rates, np.rint(outlook.spoilt / GRAIN), np.rint(outlook.connections))
        return (*(part.tobytes() for part in bits), outlook.in_time.tobytes())

    def _solved(self, outlook: Outlook, demand: Floats) -> Draft:
        offers = self.scenario.offers
        cpu_s = np.array([offer.work.cpu_s for offer in offers])
        held_s = cpu_s + np.array([offer.work.dependency_s for offer in offers])
        crowd = crowded(self.setting, outlook)
        solution = self.solver.solve(posed(crowd.setting, cpu_s, held_s, crowd.outlook, demand))
        if not solution.has_plan:
            return self.draft
        shares = crowd.spread(solution.shares.reshape(crowd.setting.shape))
        return drafted(self.setting, shares, demand, self.draft.slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """The `Policy`.

    Attributes:
        solver: Plans.
        name: As on the command line.
    """

    solver: Solver = field(default_factory=ExactSolver)
    name: str = "oracle"

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        """Route from the first request on; return soon after `stop` is set.

        Raises:
            LabError: It is not told the truth.
        """
        if stage.truth is None:
            raise LabError("oracle: stage.truth is None, it must be told the schedule")
        setting = setting_of(stage)
        hand = Hand(stage, setting)
        desk = _Desk(
            scenario=stage.scenario,
            setting=setting,
            truth=stage.truth,
            solver=self.solver,
            nurse=Nurse(stage.scenario, setting),
            draft=Draft(
                share=even_shares(setting),
                free=Pick.LEAST_REQUEST,
                slots=even_slots(setting),
                net=setting.net,
            ),
        )
        await hand.put(desk.plan(0.0))
        async for moment_s in ticks(stage, stop):
            now_s = max(0.0, moment_s)
            demand = desk.demand(now_s)
            for cell in desk.nurse.visit(stage.truth, demand, now_s=now_s):
                try:
                    await stage.driver.recycle(cell)
                except DriverError:
                    # It cannot be reached: then it is of no use either, and is asked again.
                    desk.nurse.refused(cell)
            # Asking took a moment, and truth knows nothing of the past.
            await hand.put(desk.plan(max(0.0, stage.clock.now_s() - stage.start_s)))
