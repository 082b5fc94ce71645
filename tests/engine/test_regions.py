from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.model.routing import RoutingTable, WeightRow
from foreshard.model.telemetry import Observation
from foreshard.model.workload import Needs
from tests.engine.shop import BUDGET, CLASSES, POLICY, Shop, engine_of, fleet_of, request_class

CELLS = ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3", "ap-1", "ap-2", "ap-3")
ORIGINS = ("ap", "eu", "us")
LATENCY_MS = {
    ("eu", "eu"): 2.0,
    ("eu", "us"): 80.0,
    ("eu", "ap"): 200.0,
    ("us", "eu"): 80.0,
    ("us", "us"): 2.0,
    ("us", "ap"): 120.0,
    ("ap", "eu"): 200.0,
    ("ap", "us"): 120.0,
    ("ap", "ap"): 2.0,
}
# What comes from eu stays there; checkout keys of the other origins may go anywhere.
STAYS = {"eu": frozenset({"eu"})}
RATES = {"checkout": 220.0, "search": 280.0, "report": 45.0}


def world(**changes: Any) -> Shop:  # noqa: ANN401 - any field
    names, classes = changes.pop("names", CELLS), changes.pop("classes", CLASSES)
    fleet = fleet_of(names, **({"latency_ms": LATENCY_MS} | changes.pop("fleet", {})))
    engine = engine_of(fleet, classes=classes, origins=ORIGINS, policy=POLICY, budget=BUDGET)
    made = {"rates": dict(RATES), "weights": {"eu": 0.4, "us": 0.3, "ap": 0.3}}
    return Shop(engine=engine, fleet=fleet, origins=ORIGINS, **(made | changes))


def to(shop: Shop, name: str, origin: str, region: str) -> float:
    """Part of a class that comes from an origin and goes to a region."""
    return sum(shop.share(name, c, origin) for c in CELLS if c.startswith(region))


def test_on_a_quiet_day_free_requests_stay_in_the_region_they_come_from() -> None:
    shop = world()
    shop.run(40)
    for origin in ORIGINS:
        assert to(shop, "search", origin, origin) == pytest.approx(1.0)
        assert to(shop, "report", origin, origin) == pytest.approx(1.0)


def test_a_region_that_is_full_spills_to_the_nearest_one_with_room_and_back() -> None:
    shop = world()
    shop.run(40)
    shop.weights = {"eu": 0.6, "us": 0.2, "ap": 0.2}
    shop.run(60)
    assert to(shop, "search", "eu", "us") + to(shop, "report", "eu", "us") > 0.1
    assert to(shop, "search", "eu", "ap") == 0.0
    assert shop.codes().count(("fleet", "shed.began")) == 0
    shop.weights = {"eu": 0.3, "us": 0.35, "ap": 0.35}
    shop.run(60)
    assert to(shop, "search", "eu", "eu") == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("is_told", [True, False])
def test_of_a_region_that_fills_up_the_hot_heavy_class_leaves_and_the_light_ones_stay(
    is_told: bool,
) -> None:
    untold = tuple(replace(each, declared=Needs(per_request={})) for each in CLASSES)
    shop = world(classes=CLASSES if is_told else untold)
    shop.run(60)
    before = to(shop, "checkout", "eu", "eu")
    shop.rates = RATES | {"report": 5.0 * RATES["report"]}
    shop.run(60)
    assert to(shop, "report", "eu", "eu") < 0.8
    assert to(shop, "report", "eu", "us") > 0.05
    assert to(shop, "search", "eu", "eu") == pytest.approx(1.0, abs=0.02)
    assert to(shop, "checkout", "eu", "eu") == pytest.approx(before, abs=0.06)
    # Nobody takes the cells for slow: it is the class that costs.
    assert [cell for cell, code in shop.codes() if code == "cell.lightened"] == []


def test_the_loss_of_a_whole_region_moves_its_work_at_once_and_gives_it_back_in_steps() -> None:
    shop = world(rates={n: 0.6 * r for n, r in RATES.items()})
    shop.run(40)
    shop.down |= {"eu-1", "eu-2", "eu-3"}
    shop.run(3)
    assert to(shop, "search", "eu", "eu") == 0.0
    shop.run(10)
    assert to(shop, "search", "eu", "us") > 0.8
    shop.down.clear()
    seen = []
    for _ in range(60):
        shop.tick()
        seen.append(to(shop, "search", "eu", "eu"))
    assert seen[-1] == pytest.approx(1.0, abs=0.02)
    steps = np.diff(seen)
    assert steps.max() < 0.6
    assert max(seen[:2]) == 0.0


def stays() -> tuple[Any, ...]:
    checkout = request_class("checkout", residency=STAYS)
    report = request_class("report", residency=STAYS, regions=frozenset({"eu", "us"}))
    return checkout, CLASSES[1], report


def test_what_may_not_leave_its_region_is_not_sent_away_when_the_region_is_lost() -> None:
    shop = world(classes=stays(), rates={n: 0.6 * r for n, r in RATES.items()})
    shop.run(40)
    shop.down |= {"eu-1", "eu-2", "eu-3"}
    shop.run(20)
    assert to(shop, "checkout", "eu", "us") + to(shop, "checkout", "eu", "ap") == 0.0
    assert to(shop, "search", "eu", "eu") == 0.0


def test_a_surge_in_a_region_sheds_what_may_not_leave_rather_than_sending_it_away() -> None:
    shop = world(classes=stays())
    shop.run(40)
    shop.weights = {"eu": 0.9, "us": 0.1, "ap": 0.1}
    shop.rates = {"checkout": 500.0, "search": 280.0, "report": 200.0}
    shop.run(40)
    assert to(shop, "checkout", "eu", "eu") > 0.5
    assert to(shop, "report", "eu", "us") == 0.0
    assert to(shop, "search", "eu", "us") > 0.3


def forbidden(table: RoutingTable) -> list[str]:
    """Every way of a table that residency forbids: rows and backups."""
    regions = {c.name: c.region for c in table.cells}
    found = []
    for route in table.classes:
        allows = route.request_class.allows
        for origin, row in route.rows.items():
            named = set(row.weights) if isinstance(row, WeightRow) else set(row.counts()) - {""}
            for home in sorted(named):
                ways = (home, *route.backups_from(origin, home, regions))
                found += [
                    f"{route.request_class.name} from {origin} to {c}"
                    for c in ways
                    if not allows(origin, regions[c])
                ]
    return found


@settings(max_examples=10)
@given(st.data())
def test_no_plan_spill_backup_or_failover_ever_leaves_the_regions_of_residency(
    data: st.DataObject,
) -> None:
    shop = world(classes=stays(), names=CELLS[: data.draw(st.sampled_from([6, 9]))])
    names = shop.fleet.names
    for _ in range(data.draw(st.integers(1, 4))):
        shop.down = set(data.draw(st.lists(st.sampled_from(names), max_size=6)))
        shop.silent = set(data.draw(st.lists(st.sampled_from(names), max_size=4)))
        shop.deaf = data.draw(st.booleans())
        parts = [data.draw(st.sampled_from([0.05, 0.4, 1.5])) for _ in ORIGINS]
        shop.weights = dict(zip(ORIGINS, parts, strict=True))
        for decision in shop.run(data.draw(st.integers(1, 4))):
            table = shop.state.table
            assert table is not None
            assert forbidden(table) == []
            for flow, split in decision.plan.splits.items():
                one = next(c for c in stays() if c.name == flow.request_class)
                assert all(
                    one.allows(flow.origin, shop.fleet.cell(c).region) for c in split.shares
                )


def test_of_two_regions_as_near_the_overflow_takes_the_cheaper_link() -> None:
    near = dict(LATENCY_MS) | {("us", "eu"): 80.0, ("us", "ap"): 81.0}
    dear = {("us", "eu"): 0.09, ("us", "ap"): 0.02}
    shop = world(fleet={"latency_ms": near, "egress_per_gb": dear})
    shop.weights = {"eu": 0.2, "us": 0.65, "ap": 0.2}
    shop.run(50)
    away = {r: to(shop, "search", "us", r) + to(shop, "report", "us", r) for r in ("eu", "ap")}
    assert away["ap"] > 0.05
    assert away["eu"] == 0.0


@dataclass
class Dark(Shop):
    """A shop of which nothing is heard from silent cells any more, nor from balancers in eu."""

    def observe(self) -> Observation:
        seen = super().observe()
        if not self.silent:
            return seen
        assert seen.demand_rps is not None
        return replace(
            seen,
            demand_rps={f: rate for f, rate in seen.demand_rps.items() if f.origin != "eu"},
            lost=frozenset(self.silent),
        )


def test_what_is_left_is_steered_while_the_larger_region_is_lost() -> None:
    names = ("eu-1", "eu-2", "eu-3", "eu-4", "us-1", "us-2", "us-3")
    fleet = fleet_of(names, latency_ms=LATENCY_MS)
    shop = Dark(
        engine=engine_of(fleet, origins=("eu", "us")),
        fleet=fleet,
        origins=("eu", "us"),
        weights={"eu": 0.5, "us": 0.5},
    )
    shop.run(20)
    shop.silent |= {"eu-1", "eu-2", "eu-3", "eu-4"}
    # Those who came to eu come to us now.
    shop.weights = {"eu": 0.0, "us": 1.0}
    shop.run(30)
    since = len(shop.decisions)
    assert shop.share("report", "", "us") > 0.05, "refused before the rest queue"
    assert shop.share("search", "", "us") == pytest.approx(0.0, abs=0.02)
    # And one of the rest dies.
    shop.down.add("us-1")
    shop.run(10)
    assert shop.share("checkout", "us-1", "us") == 0.0
    assert "telemetry.stale" not in {code for _, code in shop.codes(since=since)}
    assert ("fleet", "shed.began") in shop.codes()
