"""This module is who is refused and when that ends, where the fleet as a whole has room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from foreshard.model.telemetry import CellReading, Fresh, Gauge, Observation
from foreshard.model.workload import Flow, Needs
from tests.engine.shop import CELLS, CLASSES, RATES, Shop, engine_of, fleet_of, request_class


@dataclass
class Pooled(Shop):
    """Search has a pool in each cell: it serves so many a second, and each takes so long."""

    pool: float = float("inf")
    took_s: float | None = None

    def observe(self) -> Observation:
        told = super().observe()
        cells = {}
        for name, reading in told.cells.items():
            search = (reading.traffic or {})["search"]
            rate, took_s = min(search.rate_rps, self.pool), search.latency_mean_s
            now = replace(search, rate_rps=rate, latency_mean_s=self.took_s or took_s)
            cells[name] = replace(reading, traffic={**(reading.traffic or {}), "search": now})
        return replace(told, cells=cells)


def test_a_region_that_is_short_gives_its_floors_to_those_who_may_go_nowhere_else() -> None:
    fleet = fleet_of()
    classes = [request_class("checkout", regions=frozenset({"eu"})), *CLASSES[1:]]
    shop = Shop(engine=engine_of(fleet, classes=classes), fleet=fleet)
    shop.rates = {"checkout": 120.0, "search": 150.0, "report": 50.0}
    shop.run(15)
    # 92 % of what eu can do, and 66 % of the fleet's.
    shop.rates = {"checkout": 690.0, "search": 75.0, "report": 40.0}
    shop.run(30)
    assert [shop.share(name, "") for name in shop.rates] == [0.0, 0.0, 0.0]
    assert shop.share("report", "eu-1") == 0.0


def test_refused_work_returns_though_a_more_important_class_has_a_limit_of_its_own() -> None:
    fleet = fleet_of()
    shop = Pooled(engine=engine_of(fleet), fleet=fleet)
    shop.run(30)
    shop.rates = {**RATES, "report": 6.0 * RATES["report"]}
    shop.run(4)
    assert shop.share("report", "") > 0.3
    shop.pool, shop.took_s = 20.0, 1.5
    shop.run(3)
    shop.rates = dict(RATES)
    shop.run(60)
    assert shop.share("search", "") > 0.1, "its pool still bounds it"
    assert shop.share("report", "") == 0.0


@dataclass
class Soaked(Shop):
    """Work of no importance uses the rest of some cells' cpus; answers are as fast as ever."""

    soaked: tuple[str, ...] = ()

    def observe(self) -> Observation:
        told = super().observe()
        cells = {n: full(r) if n in self.soaked else r for n, r in told.cells.items()}
        return replace(told, cells=cells)


def full(reading: CellReading) -> CellReading:
    assert isinstance(reading.reading, Fresh)
    gauges = {"cpu": Gauge(used=3.0, limit=3.0, scales_with_load=True)}
    metrics = replace(reading.reading.metrics, gauges=gauges)
    return replace(reading, reading=replace(reading.reading, metrics=metrics))


@pytest.mark.parametrize("soaked", [CELLS[:1], CELLS], ids=["one cell", "all cells"])
def test_a_gauge_that_something_else_fills_moves_and_refuses_nothing(
    soaked: tuple[str, ...],
) -> None:
    fleet = fleet_of()
    shop = Soaked(engine=engine_of(fleet), fleet=fleet)
    shop.run(30)
    shop.soaked = soaked
    begun = len(shop.decisions)
    shop.run(60)
    assert not shop.acts(since=begun)
    assert shop.state.workload.factor.max() < 1.1


def test_a_resource_that_no_cell_offers_bounds_nothing_and_the_fleet_is_planned() -> None:
    fleet = fleet_of()
    classes = [
        replace(c, declared=Needs(per_request={**c.declared.per_request, "memory": 1e6}))
        for c in CLASSES
    ]
    shop = Shop(engine=engine_of(fleet, classes=classes), fleet=fleet)
    shop.run(20)
    assert shop.state.workload.is_trusted
    shop.rates = {**RATES, "report": 6.0 * RATES["report"]}
    shop.run(10)
    assert shop.share("report", "") > 0.3
    assert shop.share("checkout", "") == 0.0


@dataclass
class Uneven(Shop):
    """The first cell has a quarter of the others' cpus, or so it says."""

    says: float = 0.75

    def _reading(self, cell: str, demand: Mapping[Flow, float]) -> CellReading:
        usual, self.capacity = self.capacity, self.says if cell == CELLS[0] else self.capacity
        try:
            return super()._reading(cell, demand)
        finally:
            self.capacity = usual


def test_a_small_cell_is_believed_and_a_giant_hardly() -> None:
    fleet = fleet_of()
    small = Uneven(engine=engine_of(fleet), fleet=fleet)
    small.run(40)
    assert 0.04 < small.share("search", CELLS[0]) < 0.06
    giant = Uneven(engine=engine_of(fleet), fleet=fleet, says=96.0)
    giant.run(40)
    assert giant.share("search", CELLS[0]) < 0.3


def test_a_class_that_is_answered_and_counted_by_nobody_has_no_known_demand() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(20)
    workload = shop.state.workload
    told = replace(shop.observe(), demand_rps={Flow("eu", "checkout"): 180.0})
    shop.state, _ = shop.engine.step(shop.state, replace(told, now_s=shop.now_s + 1.0), None)
    assert shop.state.workload.demand.level_rps.tolist() == pytest.approx(
        workload.demand.level_rps.tolist()
    )
