from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from foreshard.model.federation import Aggregate, Membership
from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Observation
from foreshard.model.topology import Fleet, Node
from foreshard.model.workload import Flow
from foreshard.planning.federation import aggregate_of
from tests.engine.shop import CLASSES, Shop, engine_of, fleet_of

LATENCY_MS = {("eu", "eu"): 2.0, ("eu", "us"): 80.0, ("us", "eu"): 80.0, ("us", "us"): 2.0}
NAMES = {"eu": ("eu-1", "eu-2", "eu-3"), "us": ("us-1", "us-2", "us-3")}
CEILING = 0.85
# Of one region: 60 % of its three cells.
RATES = {"checkout": 90.0, "search": 110.0, "report": 20.0}


@dataclass
class Region(Shop):
    """One region with its engine; the other one is a cell of its fleet."""

    membership: Membership = field(kw_only=True)
    inbound_rps: dict[str, float] = field(default_factory=dict, kw_only=True)
    heard: dict[str, Aggregate] = field(default_factory=dict, kw_only=True)
    heard_s: float = field(default=0.0, kw_only=True)

    def observe(self) -> Observation:
        seen = super().observe()
        inbound = {
            Flow(self.membership.inbound, name): self.inbound_rps.get(name, 0.0)
            for name in self.rates
        }
        assert seen.demand_rps is not None
        own = {f: r for f, r in seen.demand_rps.items() if f.origin != self.membership.inbound}
        demand = {**own, **inbound}
        cells = {c.name: self._reading(c.name, demand) for c in self.fleet.cells}
        return replace(seen, demand_rps=demand, cells=cells)

    def _reading(self, cell: str, demand: Mapping[Flow, float]) -> CellReading:
        made = super()._reading(cell, demand)
        if cell not in self.membership.peers:
            return made
        known = self.heard.get(cell)
        grant = known.grants[self.membership.region].get("cpu", 0.0) if known else 0.0
        metrics = CellMetrics(gauges={}, capacity={"cpu": max(grant, 1e-9)})
        return replace(made, reading=Fresh(metrics=metrics, age_s=self.now_s - self.heard_s))

    def sends(self) -> dict[str, float]:
        """Requests a second that go to the peer, by class."""
        (peer,) = self.membership.peers
        region = self.membership.region
        return {
            name: rate * self.weights[region] * self.share(name, peer, region)
            for name, rate in self.rates.items()
        }

    def aggregate(self) -> Aggregate:
        ground, estimate, takes = self.engine.holdings(self.state)
        return aggregate_of(
            self.membership, ground, estimate, takes, self.heard, ceiling=CEILING, now_s=self.now_s
        )

    def busiest(self) -> float:
        """Utilisation of the fullest of its own cells."""
        used = []
        for name, reading in self.observe().cells.items():
            if name not in self.membership.peers and isinstance(reading.reading, Fresh):
                used.append(reading.reading.metrics.gauges["cpu"].utilisation)
        return max(used)


def region_of(name: str, nodes: Mapping[str, tuple[Node, ...]] | None = None) -> Region:
    """A region of three cells, and the other as its peer; `nodes` where they really are."""
    peer = "us" if name == "eu" else "eu"
    membership = Membership(region=name, inbound=f"{name}-in", peers=(peer,))
    cells = tuple(replace(c, is_peer=c.name == peer) for c in fleet_of((*NAMES[name], peer)).cells)
    moved = tuple(replace(c, nodes=(nodes or {}).get(c.name, c.nodes)) for c in cells)
    fleet = Fleet(cells=moved, latency_ms=LATENCY_MS)
    stays = {membership.inbound: frozenset({name})}
    classes = tuple(replace(c, residency=stays) for c in CLASSES)
    return Region(
        engine=engine_of(fleet, classes=classes, origins=(name, membership.inbound)),
        fleet=fleet,
        origins=(name, membership.inbound),
        rates=dict(RATES),
        weights={name: 1.0, membership.inbound: 0.0},
        membership=membership,
    )


@dataclass
class Pair:
    """Two regions; requests pass between them also while the link between the engines is cut."""

    eu: Region = field(default_factory=lambda: region_of("eu"))
    us: Region = field(default_factory=lambda: region_of("us"))
    is_cut: bool = False

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            for one, other in ((self.eu, self.us), (self.us, self.eu)):
                if other.state.table is not None:
                    one.inbound_rps = other.sends()
                one.tick()
            if not self.is_cut:
                said = {r.membership.region: r.aggregate() for r in (self.eu, self.us)}
                self.eu.heard, self.us.heard = {"us": said["us"]}, {"eu": said["eu"]}
                self.eu.heard_s, self.us.heard_s = self.eu.now_s, self.us.now_s


def abroad(region: Region) -> float:
    """Part of its cpu time that a region sends to the other."""
    cost = {c.name: c.declared.per_request["cpu"] for c in CLASSES}
    whole = sum(
        cost[n] * r * region.weights[region.membership.region] for n, r in region.rates.items()
    )
    return sum(cost[n] * r for n, r in region.sends().items()) / whole


def refuses(region: Region) -> bool:
    """Whether anything is refused."""
    assert region.state.plan is not None
    return any(s.shed > 1e-3 for s in region.state.plan.splits.values())


def test_each_region_serves_its_own_while_it_has_room() -> None:
    pair = Pair()
    pair.run(30)
    assert abroad(pair.eu) == 0.0
    assert abroad(pair.us) == 0.0
    assert not refuses(pair.eu)


def test_a_full_region_sends_what_the_other_grants_and_no_cell_is_led_too_high() -> None:
    pair = Pair()
    pair.run(30)
    pair.eu.weights["eu"] = 1.6
    pair.run(60)
    assert abroad(pair.eu) > 0.1
    assert not refuses(pair.eu)
    assert pair.eu.busiest() < 0.97
    assert pair.us.busiest() < 0.9
    pair.eu.weights["eu"] = 1.0
    pair.run(60)
    assert abroad(pair.eu) == pytest.approx(0.0, abs=0.02)


def test_a_region_whose_link_is_cut_goes_on_planning_and_never_sends_more_than_it_did() -> None:
    pair = Pair()
    pair.run(30)
    pair.eu.weights["eu"] = 1.5
    pair.run(40)
    pair.is_cut = True
    pair.run(8)
    sent = abroad(pair.eu) * pair.eu.weights["eu"]
    assert sent > 0.05
    pair.eu.weights["eu"] = 2.2
    pair.run(30)
    shares = abroad(pair.eu)
    assert shares <= sent / 1.5 + 0.03
    # It plans its own cells: what has no room is refused, lowest priority first.
    assert refuses(pair.eu)
    assert pair.eu.busiest() < 1.0
    assert pair.us.busiest() < 0.97
    pair.eu.down.add("eu-1")
    pair.run(4)
    assert pair.eu.share("search", "eu-1", "eu") == 0.0
    pair.eu.down.clear()
    pair.is_cut = False
    pair.eu.weights["eu"] = 1.3
    pair.run(80)
    assert not refuses(pair.eu)


def test_a_region_that_was_never_heard_of_gets_nothing() -> None:
    pair = Pair(is_cut=True)
    pair.run(30)
    pair.eu.weights["eu"] = 1.6
    pair.run(40)
    assert abroad(pair.eu) < 0.01


def test_what_comes_from_a_peer_goes_no_further() -> None:
    pair = Pair()
    pair.run(30)
    pair.eu.weights["eu"] = 1.6
    pair.us.weights["us"] = 1.4
    pair.run(60)
    for region in (pair.eu, pair.us):
        assert region.state.table is not None
        (peer,) = region.membership.peers
        for name in RATES:
            assert region.share(name, peer, region.membership.inbound) == 0.0
