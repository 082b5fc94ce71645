"""This module is a generator of problems of any size: a fleet on a map, and what befalls it.

Regions lie on a plane; cells stand in regions and zones, are of four sizes and near to some
regions. Flows are every class from every region, with demand as uneven as traffic is; some
classes are confined to their region, some to a few cells. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from foreshard.model.errors import PlanningError
from foreshard.model.workload import Flow
from foreshard.planning.edges import Edges, Ints, balanced_reference, candidate_count
from foreshard.planning.problem import Floats, LoadRisk, work_of

__all__ = ["EVENTS", "Size", "after", "instance"]

# Seconds of round trip across the whole map.
ACROSS_S = 0.150
# Latency that counts as much as a doubled size, when candidates are chosen.
NEAR_S = 0.025
LOADS = np.array([0.0, 0.5, 0.8, 1.0, 1.2, 1.5])


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a problem is.

    Attributes:
        cells: At least 1.
        classes: Request classes.
        regions: Where requests come from and cells stand.
        resources: That bound a cell; 1 to 3.
        utilisation: Mean, before anything happens.
        zones: Failure domains in each region.
        candidates: Cells a flow may use at least; None = as `candidate_count` says.
        risky: Part of the cells with risk worth acting on.
    """

    cells: int
    classes: int = 20
    regions: int = 5
    resources: int = 3
    utilisation: float = 0.62
    zones: int = 3
    candidates: int | None = None
    risky: float = 0.03

    def __post_init__(self) -> None:
        for name in ("cells", "classes", "regions", "zones"):
            if getattr(self, name) < 1:
                raise PlanningError(f"size: {name} is {getattr(self, name)}, must be at least 1")
        if not 1 <= self.resources <= 3:
            raise PlanningError(f"size: resources is {self.resources}, must be 1 to 3")
        if not self.utilisation > 0.0:
            raise PlanningError(f"size: utilisation is {self.utilisation}, must be > 0")


def instance(size: Size, seed: int) -> Edges:
    """A quiet problem, without a live plan; `after` lets something happen to it."""
    rng = np.random.default_rng(seed)
    c, k, regions, r = size.cells, size.classes, size.regions, size.resources
    place = rng.uniform(0.0, 1.0, (regions, 2))
    apart = np.linalg.norm(place[:, None] - place[None], axis=2) * ACROSS_S
    region = rng.choice(regions, c, p=rng.dirichlet(np.full(regions, 4.0)))
    latency = apart[:, region] + rng.uniform(3e-4, 3e-3, (regions, c))
    scale = rng.choice([0.5, 1.0, 2.0, 4.0], c, p=[0.2, 0.5, 0.2, 0.1])
    capacity = 1000.0 * scale[:, None] * rng.lognormal(0.0, 0.15, (c, 1))
    capacity = capacity * rng.lognormal(0.0, 0.03, (c, r))
    needs = np.clip(rng.lognormal(0.0, 0.5, (k, r)), 0.3, 3.0)
    demand = rng.lognormal(0.0, 0.8, (regions, k)) * rng.pareto(1.5, k).clip(0.05, 8.0)
    demand *= np.maximum(np.bincount(region, minlength=regions), 0.2)[:, None]
    flow_region = np.repeat(np.arange(regions), k)
    flow_class = np.tile(np.arange(k), regions)
    demand = demand.ravel()
    work = demand @ needs[flow_class]
    demand *= size.utilisation * capacity[:, 0].sum() / work[0]
    # The other resources are a little less scarce.
    slack = np.array([1.0, 0.9, 0.8])[:r]
    needs *= slack * size.utilisation * capacity.sum(axis=0) / (demand @ needs[flow_class])
    start, cell = _candidates(size, rng, demand, (needs, capacity, scale), (latency, region))
    flow = np.repeat(np.arange(regions * k), np.diff(start))
    near = scale[cell] * np.exp(-latency[flow_region[flow], cell] / NEAR_S)
    standing = np.where(rng.random(c) < size.risky, rng.uniform(0.05, 0.6, c), 0.0)
    own = np.where(rng.random(cell.size) < 0.2 * size.risky, rng.random(cell.size), 0.0)
    rank = rng.choice(3, k, p=[0.2, 0.5, 0.3])
    rank[0], rank[-1] = 0, 2
    keyed = rng.random(k) < 0.3
    edges = Edges(
        cells=tuple(f"cell-{i}" for i in range(c)),
        resources=("cpu", "memory", "network")[:r],
        flows=tuple(
            Flow(f"region-{a}", f"class-{b}") for a, b in zip(flow_region, flow_class, strict=True)
        ),
        start=start,
        cell=cell,
        demand_rps=demand,
        needs=needs[flow_class],
        capacity=capacity,
        weight=np.array([10.0, 3.0, 1.0])[rank[flow_class]],
        priority=rank[flow_class],
        keyed=keyed[flow_class],
        reference=np.zeros(cell.size),
        latency_s=latency[flow_region[flow], cell],
        standing_risk=standing,
        class_risk=own,
        load_risk=_load_risk(rng, size, (needs[flow_class], capacity, demand)),
        lower=np.zeros(cell.size),
        upper=np.ones(cell.size),
        least_shed=np.zeros(demand.size),
        move_cost=np.where(keyed[flow_class], 3.0, 1.0),
        zone=region * size.zones + rng.integers(0, size.zones, c),
        loss_p=np.maximum(standing, 1e-3),
    )
    return replace(edges, reference=balanced_reference(edges, near))


def _candidates(
    size: Size,
    rng: np.random.Generator,
    demand: Floats,
    cells: tuple[Floats, Floats, Floats],
    map_: tuple[Floats, Ints],
) -> tuple[Ints, Ints]:
    """Near and large cells of every flow: where its edges start, and their cells."""
    needs, capacity, scale = cells
    latency, region = map_
    c, k = size.cells, size.classes
    count = candidate_count(demand, np.tile(needs, (size.regions, 1)), capacity)
    if size.candidates is not None:
        count = np.minimum(np.maximum(size.candidates, count // 8), c)
    kind = rng.choice(3, k, p=[0.8, 0.15, 0.05])
    few = rng.random((k, c)) < 0.3
    found: list[Ints] = []
    for f in range(size.regions * k):
        home, name = divmod(f, k)
        allowed = np.ones(c, dtype=bool)
        if kind[name] == 1 and (region == home).sum() >= 4:
            allowed = region == home
        elif kind[name] == 2 and few[name].sum() >= 4:
            allowed = few[name]
        worth = np.log(scale) - latency[home] / NEAR_S + rng.gumbel(size=c)
        ranked = np.argsort(np.where(allowed, -worth, np.inf), kind="stable")
        found.append(np.sort(ranked[: min(int(count[f]), int(allowed.sum()))]))
    start = np.concatenate([[0], np.cumsum([x.size for x in found])])
    return start, np.concatenate(found)


def _load_risk(
    rng: np.random.Generator, size: Size, work: tuple[Floats, Floats, Floats]
) -> LoadRisk | None:
    """A third of the risky cells fail by load; None when that is nobody."""
    needs, capacity, demand = work
    c = size.cells
    hurt = rng.random(c) < size.risky / 3.0
    if not hurt.any():
        return None
    p = np.zeros((c, LOADS.size))
    knee = rng.uniform(0.5, 1.0, c)
    p[hurt] = np.clip((LOADS[None, :] - knee[hurt, None]) * 0.8, 0.0, 1.0)
    present = float(work_of(needs, capacity, demand)) * capacity[:, 0] / capacity[:, 0].sum()
    return LoadRisk(loads=LOADS, p=p, present_work=present)


def after(edges: Edges, event: str, shares: Floats, seed: int) -> Edges:
    """The next tick: what `shares` [E] made live, and an event of `EVENTS`.

    Raises:
        PlanningError: There is no such event.
    """
    if event not in EVENTS:
        raise PlanningError(f"event is {event!r}, must be one of {', '.join(EVENTS)}")
    rng = np.random.default_rng(seed)
    noise = rng.lognormal(0.0, 0.03, edges.demand_rps.size)
    live = replace(edges, previous=shares, demand_rps=edges.demand_rps * noise)
    return EVENTS[event](live, rng)


def _normal(edges: Edges, rng: np.random.Generator) -> Edges:
    """Two in a hundred cells change their risk."""
    c = len(edges.cells)
    changed = rng.choice(c, max(1, c // 50), replace=False)
    standing = edges.standing_risk.copy()
    standing[changed] = np.where(rng.random(changed.size) < 0.3, rng.uniform(0.02, 0.5), 0.0)
    return replace(edges, standing_risk=standing)


def _dead(edges: Edges, rng: np.random.Generator) -> Edges:
    """One in two hundred cells is gone."""
    c = len(edges.cells)
    dead = rng.choice(c, max(1, c // 200), replace=False)
    upper = np.where(np.isin(edges.cell, dead), 0.0, edges.upper)
    return replace(edges, upper=upper, lower=np.minimum(edges.lower, upper))


def _weak(edges: Edges, rng: np.random.Generator) -> Edges:
    """One in ten cells loses 70 % of what it can offer."""
    c = len(edges.cells)
    capacity = edges.capacity.copy()
    capacity[rng.choice(c, max(1, c // 10), replace=False)] *= 0.3
    return replace(edges, capacity=capacity)


def _surge(edges: Edges, rng: np.random.Generator) -> Edges:
    """Demand rises by 30 % in all: a third of the flows by 60 %, the others by 15 %."""
    more = np.where(rng.random(edges.demand_rps.size) < 1.0 / 3.0, 1.6, 1.15)
    return replace(edges, demand_rps=edges.demand_rps * more)


def _overload(edges: Edges, rng: np.random.Generator) -> Edges:
    """Demand doubles, not everywhere alike."""
    more = rng.uniform(1.8, 2.2, edges.demand_rps.size)
    return replace(edges, demand_rps=edges.demand_rps * more)


EVENTS: Mapping[str, Callable[[Edges, np.random.Generator], Edges]] = {
    "normal": _normal,
    "dead": _dead,
    "weak": _weak,
    "surge": _surge,
    "overload": _overload,
}
