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
from foreshard.planning.nearness import Map, near_shares, tolls_s
from foreshard.planning.problem import Flags, Floats, LoadRisk, Problem
from foreshard.planning.solver import Solution
from foreshard.planning.spread import lay_out

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
        names, classes = self.fleet.regions, self.classes
        of_region = np.array(
            [[classes[f.request_class].allows(f.origin, r) for r in names] for f in self.flows]
        )
        named = {
            name: np.array([each.allows_cell(cell) for cell in self.fleet.cells])
            for name, each in classes.items()
        }
        of_cell = np.array([named[f.request_class] for f in self.flows])
        return _frozen(of_region[:, self.region] & of_cell)

    @cached_property
    def latency_s(self) -> Floats:
        """[F, C] round trip."""
        fleet = self.fleet
        origins = sorted({f.origin for f in self.flows})
        trip = {
            o: np.array([1e-3 * fleet.distance_ms(o, c) for c in fleet.cells]) for o in origins
        }
        return _frozen(np.array([trip[f.origin] for f in self.flows]))

    @cached_property
    def egress_cost(self) -> Floats:
        """[F, C] what one request costs on the link that its answer takes, in any currency."""
        links = self.fleet.egress_per_gb
        kilobytes = [self.classes[f.request_class].transfer_kb for f in self.flows]
        per_gb = [[links.get((f.origin, r), 0.0) for r in self.fleet.regions] for f in self.flows]
        return _frozen((np.array(per_gb) * np.array(kilobytes)[:, None] * 1e-6)[:, self.region])

    @cached_property
    def away_s(self) -> Floats:
        """[F, C] round trip, and what the link costs as a delay."""
        return _frozen(self.latency_s + tolls_s(self.egress_cost))

    @cached_property
    def region(self) -> NDArray[np.int64]:
        """[C] index of each cell's region among the fleet's."""
        names = self.fleet.regions
        return _frozen(np.array([names.index(c.region) for c in self.fleet.cells], dtype=np.int64))

    @cached_property
    def places(self) -> tuple[tuple[str, str], ...]:
        """[C] region and zone of each cell."""
        return tuple((c.region, c.zone) for c in self.fleet.cells)

    @cached_property
    def map(self) -> Map:
        """Where things stand."""
        classes = [self.classes[f.request_class] for f in self.flows]
        return Map(
            region=self.region,
            away_s=self.away_s,
            roams=_frozen(np.array([not c.has_one_home for c in classes])),
            priority=self.priority,
        )

    def quiet_shares(self, estimate: Estimate, takes: Flags) -> Floats:
        """[F, C] the quiet split over cells that take work: near before far."""
        work = estimate.demand_rps, estimate.needs
        return near_shares(work, estimate.capacity, self.eligible, takes, self.map)

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
        by_class: dict[str, float] = {}
        for flow, rate_rps in zip(flows, self.demand_rps.tolist(), strict=True):
            by_class[flow.request_class] = by_class.get(flow.request_class, 0.0) + rate_rps
        of_class = np.array([by_class[flow.request_class] for flow in flows])
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
    ground: Ground,
    estimate: Estimate,
    bounds: Bounds,
    risks: Risks,
    *,
    previous: Plan | None,
    prices: Floats | None = None,
) -> Problem:
    """The planning problem of one tick.

    Args:
        ground: Fleet, classes, flows.
        estimate: Demand, needs, capacity.
        bounds: From phases and shunned classes.
        risks: From the forecast.
        previous: The live plan.
        prices: Of the `Solution` before.
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
        reference=ground.quiet_shares(estimate, bounds.takes),
        latency_s=ground.away_s,
        standing_risk=risks.standing,
        load_risk=risks.load,
        previous=None if previous is None else shares_of(previous, ground),
        lower=bounds.lower * (1.0 - bounds.least_shed)[:, None],
        upper=bounds.upper,
        least_shed=bounds.least_shed,
        move_cost=np.array([c.moving_s for c in classes]),
        prices=prices,
    )


def shares_of(plan: Plan, ground: Ground) -> Floats:
    """[F, C] shares of a plan; zeros for a flow that it does not have."""
    shares = np.zeros((len(ground.flows), len(ground.fleet.names)))
    for f, flow in enumerate(ground.flows):
        split = plan.splits.get(flow)
        if split is not None:
            lay_out(split, ground.fleet.index, shares[f])
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
