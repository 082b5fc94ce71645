"""This module is the planner's brief: nouns on one side, arrays of a `Problem` on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foreshard.model.plan import Plan, Split
from foreshard.model.topology import Fleet
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.problem import Flags, Floats, LoadRisk, Problem, reference_shares
from foreshard.planning.solver import Solution

__all__ = [
    "Bounds",
    "Estimate",
    "Ground",
    "Risks",
    "plan_from",
    "problem_of",
    "shares_of",
]

Number = TypeVar("Number", bound=np.generic)

# A share below this is the solver's rounding.
LEAST_SHARE = 1e-4
# Less demand than this is none, as a divisor.
LEAST_RPS = 1e-9
# What is left of a flow that is shed whole.
TRACE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What does not change from tick to tick, with its index order.

    Attributes:
        fleet: [C] cells.
        classes: By name.
        flows: [F].
        resources: [R] that bound a rate.
    """

    fleet: Fleet
    classes: Mapping[str, RequestClass]
    flows: tuple[Flow, ...]
    resources: tuple[str, ...]

    @cached_property
    def eligible(self) -> Flags:
        """[F, C] whether a cell may serve a flow."""
        classes, cells = [self.classes[f.request_class] for f in self.flows], self.fleet.cells
        return _frozen(np.array([[k.allows(c) for c in cells] for k in classes]))

    @cached_property
    def latency_s(self) -> Floats:
        """[F, C] round trip."""
        fleet = self.fleet
        return _frozen(
            np.array(
                [[1e-3 * fleet.distance_ms(f.origin, c) for c in fleet.cells] for f in self.flows]
            )
        )

    @cached_property
    def weight(self) -> Floats:
        """[F] of one bad request."""
        return _frozen(np.array([self.classes[f.request_class].weight for f in self.flows]))

    @cached_property
    def priority(self) -> NDArray[np.int64]:
        """[F] 0 = critical."""
        found = [int(self.classes[f.request_class].priority) for f in self.flows]
        return _frozen(np.array(found))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """What a plan is made with; F flows, C cells, R resources.

    Attributes:
        demand_rps: [F].
        needs: [F, R] per request.
        capacity: [C, R] effective, > 0.
        most_rps: [F, C] what a cell can serve now of a flow's class, from all origins together;
            inf = as much as its capacity allows. Default: inf.
    """

    demand_rps: Floats
    needs: Floats
    capacity: Floats
    most_rps: Floats | None = None

    def most_shares(self, flows: Sequence[Flow]) -> Floats:
        """[F, C] `most_rps` as shares of what is asked of the class, in [0, 1]."""
        if self.most_rps is None:
            return np.ones((len(flows), len(self.capacity)))
        of_class = np.array(
            [
                sum(
                    rate
                    for other, rate in zip(flows, self.demand_rps, strict=True)
                    if other.request_class == flow.request_class
                )
                for flow in flows
            ]
        )
        most = self.most_rps / np.maximum(of_class, LEAST_RPS)[:, None]
        return np.asarray(np.minimum(most, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """How much each cell may take.

    Attributes:
        takes: [C] whether a cell takes any work.
        lower: [F, C] of shares.
        upper: [F, C] of shares.
        least_shed: [F] that must go on being refused for now.
    """

    takes: Flags
    lower: Floats
    upper: Floats
    least_shed: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Risks:
    """What may happen to whom.

    Attributes:
        standing: [C] P(failure) that no relief cures.
        load: P as a function of load; None when no cell stands out.
    """

    standing: Floats
    load: LoadRisk | None


def problem_of(
    ground: Ground, estimate: Estimate, bounds: Bounds, risks: Risks, *, previous: Plan | None
) -> Problem:
    """The planning problem of one tick.

    Args:
        ground: Fleet, classes, flows.
        estimate: Demand, needs, capacity.
        bounds: From phases and shunned classes.
        risks: From the forecast.
        previous: The live plan.
    """
    classes = [ground.classes[f.request_class] for f in ground.flows]
    return Problem(
        cells=ground.fleet.names,
        resources=ground.resources,
        flows=ground.flows,
        demand_rps=estimate.demand_rps,
        needs=estimate.needs,
        capacity=estimate.capacity,
        eligible=ground.eligible,
        weight=ground.weight,
        priority=ground.priority,
        keyed=np.array([c.is_keyed for c in classes]),
        reference=reference_shares(estimate.capacity, ground.eligible, bounds.takes),
        latency_s=ground.latency_s,
        standing_risk=risks.standing,
        load_risk=risks.load,
        previous=None if previous is None else shares_of(previous, ground),
        lower=bounds.lower * (1.0 - bounds.least_shed)[:, None],
        upper=bounds.upper,
        least_shed=bounds.least_shed,
        move_cost=np.array([c.moving_s for c in classes]),
    )


def shares_of(plan: Plan, ground: Ground) -> Floats:
    """[F, C] shares of a plan; zeros for a flow that it does not have."""
    names = ground.fleet.names
    shares = np.zeros((len(ground.flows), len(names)))
    for f, flow in enumerate(ground.flows):
        split = plan.splits.get(flow)
        if split is not None:
            share = split.shares.get
            shares[f] = [share(name, 0.0) for name in names]
    return shares


def plan_from(solution: Solution, ground: Ground, able: Flags) -> Plan:
    """The plan of a solution, rid of rounding.

    Args:
        solution: Has a plan.
        ground: Flows and cells.
        able: [F, C] who may take any of a flow: one that is shed whole keeps a trace there,
            for a balancer cannot hold a route that leads nowhere.
    """
    splits = {}
    for f, flow in enumerate(ground.flows):
        row = np.where(solution.shares[f] < LEAST_SHARE, 0.0, solution.shares[f])
        if not row.any():
            takers = able[f] if able[f].any() else ground.eligible[f]
            row = np.where(takers, TRACE / takers.sum(), 0.0)
        shed = float(solution.shed[f]) if solution.shed[f] >= LEAST_SHARE else 0.0
        total = float(row.sum()) + shed
        shares = {
            name: share / total
            for name, share in zip(ground.fleet.names, row.tolist(), strict=True)
            if share > 0.0
        }
        splits[flow] = Split(shares=shares, shed=shed / total)
    return Plan(splits=splits)


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    array.flags.writeable = False
    return array
