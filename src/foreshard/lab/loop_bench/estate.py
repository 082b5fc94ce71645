"""This module is the fleet of the bench: cells in regions, classes of all kinds, and who asks.

One class in ten is bound to a key in its own region, one in five may not leave the region it
comes from, the others go wherever there is room. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import LabError
from foreshard.model.plan import Plan, Split
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import Flow, Match, Needs, Priority, RequestClass

__all__ = ["Estate", "Size", "estate"]

Floats = NDArray[np.float64]

ZONES = 3
CPUS = 4.0
# Mean part of the cpu in use.
BUSY = 0.55
# Across the map; within a region it is nothing to speak of.
ACROSS_MS = 90.0
KEYED_EVERY, CONFINED_EVERY = 10, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the bench is.

    Attributes:
        cells: At least one a region.
        classes: Request classes.
        regions: Where cells stand and requests come from.
        proxies: Subscribed balancers, at least one a region.
        cell_rps: Requests a second that a cell serves, in the mean; what is not asked for is not
            reported, so reports grow with it.
    """

    cells: int = 1_000
    classes: int = 50
    regions: int = 5
    proxies: int = 200
    cell_rps: float = 25.0

    def __post_init__(self) -> None:
        for name in ("classes", "regions"):
            if getattr(self, name) < 1:
                raise LabError(f"{name} is {getattr(self, name)}, must be at least 1")
        for name in ("cells", "proxies"):
            if getattr(self, name) < self.regions:
                raise LabError(
                    f"{name} is {getattr(self, name)}, must be at least one for each of the "
                    f"{self.regions} regions"
                )
        if not self.cell_rps > 0.0:
            raise LabError(f"cell_rps is {self.cell_rps}, must be > 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estate:
    """What there is.

    Attributes:
        size: How much of it.
        fleet: C cells.
        classes: K, in order of match.
        origins: Regions.
        flows: F, every class from every region.
        demand_rps: [F] in the mean.
        proxies: Names of the balancers, by region in turns.
    """

    size: Size
    fleet: Fleet
    classes: tuple[RequestClass, ...]
    origins: tuple[str, ...]
    flows: tuple[Flow, ...]
    demand_rps: Floats
    proxies: tuple[tuple[str, str], ...]

    def at_home(self) -> Plan:
        """Every flow evenly over the cells of the region that it comes from."""
        cells = {
            region: [c.name for c in self.fleet.cells if c.region == region]
            for region in self.origins
        }
        return Plan(
            splits={
                flow: Split(
                    shares=dict.fromkeys(cells[flow.origin], 1.0 / len(cells[flow.origin]))
                )
                for flow in self.flows
            }
        )


def estate(size: Size, *, seed: int) -> Estate:
    """An estate of a size."""
    draw = np.random.default_rng(seed)
    regions = tuple(f"region-{i}" for i in range(size.regions))
    cells = tuple(_cell(i, regions[i % size.regions]) for i in range(size.cells))
    apart = np.triu(draw.uniform(0.2, 1.0, (size.regions, size.regions)) * ACROSS_MS, 1)
    apart += apart.T
    latency_ms = {
        (a, b): float(apart[i, j])
        for i, a in enumerate(regions)
        for j, b in enumerate(regions)
        if i != j
    }
    flows = tuple(Flow(o, f"class-{k:03}") for o in regions for k in range(size.classes))
    weight = np.tile(draw.lognormal(0.0, 0.8, size.classes), size.regions)
    cost = np.tile(draw.lognormal(0.0, 0.4, size.classes), size.regions)
    demand = weight * (size.cells * size.cell_rps / weight.sum())
    cost *= BUSY * CPUS * size.cells / float(demand @ cost)
    return Estate(
        size=size,
        fleet=Fleet(cells=cells, latency_ms=latency_ms),
        classes=tuple(_class(k, float(cost[k]), regions) for k in range(size.classes)),
        origins=regions,
        flows=flows,
        demand_rps=demand,
        proxies=tuple((f"edge-{i:03}", regions[i % size.regions]) for i in range(size.proxies)),
    )


def _cell(i: int, region: str) -> Cell:
    # From the block for benchmarks, RFC 2544: nobody is there.
    node = Node(host=f"198.18.{i // 250}.{i % 250 + 1}", port=8_080)
    return Cell(
        name=f"cell-{i:05}", region=region, zone=f"{region}-{i // 7 % ZONES}", nodes=(node,)
    )


def _class(k: int, cpu_s: float, regions: tuple[str, ...]) -> RequestClass:
    is_keyed = k % KEYED_EVERY == 0
    stays = is_keyed or k % CONFINED_EVERY == 1
    return RequestClass(
        name=f"class-{k:03}",
        priority=Priority(k % 3),
        weight=(10.0, 3.0, 1.0)[k % 3],
        objective_s=0.5,
        timeout_s=5.0,
        match=Match(path_prefix=f"/{k:03}"),
        retriable=not is_keyed,
        key_header="x-key" if is_keyed else "",
        residency={region: frozenset({region}) for region in regions} if stays else {},
        declared=Needs(per_request={"cpu": cpu_s}),
    )
