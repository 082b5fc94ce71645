"""This module is who is refused and when that ends, where not all of it is the fleet's overload."""

from __future__ import annotations

from dataclasses import dataclass, replace

from foreshard.model.telemetry import Observation
from tests.engine.shop import CLASSES, RATES, Shop, engine_of, fleet_of, request_class


@dataclass
class Pooled(Shop):
    """Search has a pool in each cell: beyond what it serves a second, requests are late."""

    pool: float = float("inf")

    def observe(self) -> Observation:
        told = super().observe()
        cells = {}
        for name, reading in told.cells.items():
            search = (reading.traffic or {})["search"]
            rate = min(search.rate_rps, self.pool)
            late = replace(search, rate_rps=rate, latency_mean_s=1.5)
            now = late if self.pool < search.rate_rps else search
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
    shop.pool, shop.rates = 20.0, dict(RATES)
    shop.run(60)
    assert shop.share("search", "") > 0.1, "its pool still bounds it"
    assert shop.share("report", "") == 0.0
