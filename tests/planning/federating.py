"""This module is a fleet planned twice: by one engine, and by one engine a region.

    .venv/bin/python -m tests.planning.federating --fleets 200

What federation costs is told over the same cells and flows by one objective, in the prices of the
exact planner: a second of round trip for everybody counts 10, utilisation above .7 as imbalance
does, and refusing everybody 100. How much is refused and the mean round trip stand beside it.
Regions hear of each other in rounds, as ticks would bring it; in the end every region knows what
it is sent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from foreshard.model.federation import Aggregate, Membership
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import Flow, Needs, Priority, RequestClass
from foreshard.planning.brief import Bounds, Estimate, Ground, Risks, problem_of
from foreshard.planning.exact import ExactSolver
from foreshard.planning.federation import aggregate_of
from foreshard.planning.formulation import BALANCE_WIDTH, Prices
from foreshard.planning.problem import Floats, Problem

__all__ = ["Costs", "World", "costs_of", "federated", "random_world"]

# A region hears of the others, and of what it is sent, so often before it is judged.
ROUNDS = 4
CEILING = 0.85
LEAST = 1e-6
# Refusing all of the demand, in the planner's currency of comfort.
REFUSAL = 100.0
CALM_UTILISATION = 0.7
RESOURCES = ("cpu",)


@dataclass(frozen=True, kw_only=True)
class World:
    """A fleet and what is asked of it."""

    fleet: Fleet
    classes: tuple[RequestClass, ...]
    demand_rps: Mapping[Flow, float]
    capacity: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one plan, and of the federation.

    Attributes:
        objective: See the module.
        shed: Part of the weighted demand.
        trip_ms: Mean round trip of what is served.
        busiest: Utilisation of the fullest cell.
    """

    objective: tuple[float, float]
    shed: tuple[float, float]
    trip_ms: tuple[float, float]
    busiest: tuple[float, float]

    @property
    def ratio(self) -> float:
        """What the federation's comfort costs, relative to one plan's."""
        one, many = self.objective
        return many / max(one, LEAST)


def random_world(seed: int) -> World:
    """Two to four regions of two to six cells; one may be overloaded, cells are uneven."""
    rng = np.random.default_rng(seed)
    regions = [f"region-{i}" for i in range(int(rng.integers(2, 5)))]
    place = rng.uniform(0.0, 1.0, (len(regions), 2))
    node = (Node(host="127.0.0.1", port=1),)
    cells = tuple(
        Cell(name=f"{r}-{i}", region=r, zone=r, nodes=node)
        for r in regions
        for i in range(int(rng.integers(2, 7)))
    )
    apart = {
        (a, b): 2.0 + 150.0 * float(np.linalg.norm(place[i] - place[j]))
        for i, a in enumerate(regions)
        for j, b in enumerate(regions)
    }
    fleet = Fleet(cells=cells, latency_ms=apart)
    kinds = (("checkout", 0, 10.0, 0.012), ("search", 1, 3.0, 0.024), ("report", 2, 1.0, 0.08))
    classes = tuple(
        RequestClass(
            name=name,
            priority=Priority(rank),
            weight=weight,
            objective_s=1.0,
            timeout_s=2.0,
            residency={regions[0]: frozenset({regions[0]})} if name == "report" else {},
            declared=Needs(per_request={"cpu": cpu_s}),
        )
        for name, rank, weight, cpu_s in kinds
    )
    capacity = {c.name: float(rng.choice([1.5, 3.0, 6.0])) for c in cells}
    demand = {}
    for r in regions:
        room = sum(capacity[c.name] for c in cells if c.region == r)
        load = room * float(rng.choice([0.3, 0.6, 0.75, 1.1]))
        for one, part in zip(classes, (0.2, 0.5, 0.3), strict=True):
            demand[Flow(r, one.name)] = part * load / one.declared.per_request["cpu"]
    return World(fleet=fleet, classes=classes, demand_rps=demand, capacity=capacity)


def costs_of(world: World) -> Costs:
    """Both plans, by the objective of the whole."""
    flows = tuple(sorted(world.demand_rps))
    whole = _problem(world.fleet, world.classes, flows, world.demand_rps, world.capacity)
    solved = ExactSolver().solve(whole)
    many, many_shed = federated(world, flows)
    weight = whole.weight * whole.demand_rps / float(whole.weight @ whole.demand_rps)
    plans = ((solved.shares, solved.shed), (many, many_shed))
    shed = [float(weight @ refused) for _, refused in plans]
    rates = [whole.demand_rps[:, None] * shares for shares, _ in plans]
    return Costs(
        objective=_pair(_objective(whole, *plan) for plan in plans),
        shed=_pair(shed),
        trip_ms=_pair(1e3 * float((r * whole.latency_s).sum() / r.sum()) for r in rates),
        busiest=_pair(float(whole.utilisation(shares).max()) for shares, _ in plans),
    )


def _pair(values: Iterable[float]) -> tuple[float, float]:
    one, many = values
    return one, many


def federated(world: World, flows: tuple[Flow, ...]) -> tuple[Floats, Floats]:
    """Shares [F, C] and shed [F] of the whole, planned region by region."""
    seats = {r: _Seat(world, r) for r in world.fleet.regions}
    heard: dict[str, Aggregate] = {}
    for _ in range(ROUNDS):
        sent = {r: seat.sent() for r, seat in seats.items()}
        for r, seat in seats.items():
            seat.plan(heard, [sent[o] for o in seats if o != r])
        heard = {r: seat.aggregate(heard) for r, seat in seats.items()}
    index = world.fleet.index
    shares, shed = np.zeros((len(flows), len(index))), np.zeros(len(flows))
    for f, flow in enumerate(flows):
        own = seats[flow.origin].split(flow)
        shed[f] = own.pop("", 0.0)
        for cell, share in own.items():
            if cell in index:
                shares[f, index[cell]] += share
                continue
            for inner, part in seats[cell].split(Flow(f"{cell}-in", flow.request_class)).items():
                if inner in index:
                    shares[f, index[inner]] += share * part
                elif not inner:
                    shed[f] += share * part
    return shares, shed


class _Seat:
    """One region's engine, as far as its plan goes."""

    def __init__(self, world: World, region: str) -> None:
        self._world, self.region = world, region
        peers = tuple(r for r in world.fleet.regions if r != region)
        self.membership = Membership(region=region, inbound=f"{region}-in", peers=peers)
        node = (Node(host="127.0.0.1", port=1),)
        own = [c for c in world.fleet.cells if c.region == region]
        away = [Cell(name=p, region=p, zone=p, nodes=node, is_peer=True) for p in peers]
        fleet = Fleet(cells=(*own, *away), latency_ms=world.fleet.latency_ms)
        stays = {f"{region}-in": frozenset({region})}
        classes = tuple(replace(c, residency={**c.residency, **stays}) for c in world.classes)
        names = [c.name for c in classes]
        self.flows = tuple(Flow(o, n) for o in sorted({region, *stays}) for n in names)
        self.ground = Ground(
            fleet=fleet,
            classes={c.name: c for c in classes},
            flows=self.flows,
            resources=RESOURCES,
        )
        self._found: Mapping[Flow, dict[str, float]] = {}
        self._demand: dict[Flow, float] = {f: world.demand_rps.get(f, 0.0) for f in self.flows}
        self._estimate = self._believed({})

    def plan(self, heard: Mapping[str, Aggregate], sent: Sequence[Mapping[Flow, float]]) -> None:
        """One tick: what arrives, what is granted, the split."""
        for flow in self.flows:
            if flow.origin == self.membership.inbound:
                key = Flow(self.region, flow.request_class)
                self._demand[flow] = sum(each.get(key, 0.0) for each in sent)
        self._estimate = self._believed(heard)
        made = _posed(self.ground, self._estimate)
        solved = ExactSolver().solve(made)
        self._found = {
            flow: {
                **dict(zip(made.cells, solved.shares[f].tolist(), strict=True)),
                "": float(solved.shed[f]),
            }
            for f, flow in enumerate(self.flows)
        }

    def sent(self) -> Mapping[Flow, float]:
        """By peer and class (as `Flow(peer, class)`), what it sends there."""
        return {
            Flow(peer, flow.request_class): split.get(peer, 0.0) * self._demand[flow]
            for flow, split in self._found.items()
            if flow.origin == self.region
            for peer in self.membership.peers
        }

    def aggregate(self, heard: Mapping[str, Aggregate]) -> Aggregate:
        """What it tells the others."""
        takes = np.ones(len(self.ground.fleet.cells), dtype=bool)
        return aggregate_of(
            self.membership, self.ground, self._estimate, takes, heard, ceiling=CEILING, now_s=0.0
        )

    def split(self, flow: Flow) -> dict[str, float]:
        """Shares by cell and peer; "" = shed."""
        return dict(self._found[flow])

    def _believed(self, heard: Mapping[str, Aggregate]) -> Estimate:
        room = dict(self._world.capacity)
        for peer in self.membership.peers:
            grants = heard[peer].grants if peer in heard else {}
            room[peer] = max(grants.get(self.region, {}).get("cpu", 0.0), LEAST)
        return _estimate(self.ground, self._demand, room)


def _problem(
    fleet: Fleet,
    classes: tuple[RequestClass, ...],
    flows: tuple[Flow, ...],
    demand_rps: Mapping[Flow, float],
    capacity: Mapping[str, float],
) -> Problem:
    by_name = {c.name: c for c in classes}
    ground = Ground(fleet=fleet, classes=by_name, flows=flows, resources=RESOURCES)
    return _posed(ground, _estimate(ground, demand_rps, capacity))


def _estimate(
    ground: Ground, demand_rps: Mapping[Flow, float], capacity: Mapping[str, float]
) -> Estimate:
    needs = [[ground.classes[f.request_class].declared.per_request["cpu"]] for f in ground.flows]
    return Estimate(
        demand_rps=np.array([demand_rps.get(f, 0.0) for f in ground.flows]),
        needs=np.array(needs),
        capacity=np.array([[capacity[c.name]] for c in ground.fleet.cells]),
    )


def _posed(ground: Ground, estimate: Estimate) -> Problem:
    flows, cells = len(ground.flows), len(ground.fleet.cells)
    bounds = Bounds(
        takes=np.ones(cells, dtype=bool),
        lower=np.zeros((flows, cells)),
        upper=np.ones((flows, cells)),
        least_shed=np.zeros(flows),
    )
    risks = Risks(standing=np.zeros(cells), load=None)
    return problem_of(ground, estimate, bounds, risks, previous=None)


def _objective(problem: Problem, shares: Floats, shed: Floats) -> float:
    prices = Prices()
    weight = problem.weight * problem.demand_rps
    rate = problem.demand_rps[:, None] * shares
    trip_s = float((rate * problem.latency_s).sum() / problem.demand_rps.sum())
    above = np.maximum(problem.utilisation(shares)[:, 0] - CALM_UTILISATION, 0.0)
    steps = [
        (slope - below) * np.maximum(above - BALANCE_WIDTH * i, 0.0)
        for i, (below, slope) in enumerate(pairwise((0.0, *prices.balance)))
    ]
    size = problem.capacity[:, 0] / problem.capacity.sum()
    refused = float(weight @ shed / weight.sum())
    return prices.latency_per_s * trip_s + float(size @ np.sum(steps, axis=0)) + REFUSAL * refused


def main(say: Callable[[str], None] = print) -> None:
    """Print what federation costs over random fleets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fleets", type=int, default=100)
    count = parser.parse_args().fleets
    found = [costs_of(random_world(seed)) for seed in range(count)]
    ratios = np.array([c.ratio for c in found])
    say(
        f"objective, federated / one plan: mean {ratios.mean():.3f}, "
        f"median {np.median(ratios):.3f}, worst {ratios.max():.3f}"
    )
    for what, pairs in (
        ("weighted demand refused", [c.shed for c in found]),
        ("mean round trip, ms", [c.trip_ms for c in found]),
        ("busiest cell", [c.busiest for c in found]),
    ):
        one, many = np.array(pairs).T
        more = many - one
        say(f"{what}: {one.mean():.4f}, {many.mean():.4f}; worst difference {more.max():.4f}")


if __name__ == "__main__":
    main()
