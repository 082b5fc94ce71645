"""This module is what crosses regions: how much of an origin's traffic goes where, at what cost.

It is worked out when it is read: most ticks nobody asks, and a large plan has many shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from foreshard.model.plan import Plan
from foreshard.model.routing import RoutingTable
from foreshard.model.topology import Fleet
from foreshard.model.workload import Flow

__all__ = ["Crossings"]

KB_PER_GB = 1e6
HOUR_S = 3_600.0


class Crossings(Mapping[str, Mapping[str, Mapping[str, float]]]):
    """By origin, then by the region that serves it: requests a second, and cost an hour.

    What an origin's own region serves is left out, and so is a region that serves none of it.

    Args:
        fleet: Where cells stand, and what links cost.
        table: What its classes send over a link; None = nothing is live.
        plan: What is live.
        demand_rps: What arrives, by flow.
    """

    def __init__(
        self,
        fleet: Fleet,
        table: RoutingTable | None,
        plan: Plan,
        demand_rps: Mapping[Flow, float],
    ) -> None:
        self._fleet, self._plan, self._demand_rps = fleet, plan, demand_rps
        routes = table.classes if table is not None else ()
        self._kb = {r.request_class.name: r.request_class.transfer_kb for r in routes}
        self._made: dict[str, dict[str, dict[str, float]]] | None = None

    def __getitem__(self, origin: str) -> Mapping[str, Mapping[str, float]]:
        return self._all()[origin]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        if self._made is None:
            self._made = self._make() if len(self._fleet.regions) > 1 else {}
        return self._made

    def _make(self) -> dict[str, dict[str, dict[str, float]]]:
        regions = {c.name: c.region for c in self._fleet.cells}
        found: dict[str, dict[str, dict[str, float]]] = {}
        for flow, split in sorted(self._plan.splits.items()):
            rate, part = self._demand_rps.get(flow, 0.0), dict[str, float]()
            for cell, share in split.shares.items():
                region = regions.get(cell, flow.origin)
                part[region] = part.get(region, 0.0) + share
            for region, share in sorted(part.items()):
                if region == flow.origin or not rate * share > 0.0:
                    continue
                link = found.setdefault(flow.origin, {}).setdefault(
                    region, {"rps": 0.0, "cost_per_hour": 0.0}
                )
                gb = rate * share * self._kb.get(flow.request_class, 0.0) / KB_PER_GB
                cost = self._fleet.egress_per_gb.get((flow.origin, region), 0.0)
                link["rps"] = round(link["rps"] + rate * share, 3)
                link["cost_per_hour"] = round(link["cost_per_hour"] + HOUR_S * gb * cost, 6)
        return found
