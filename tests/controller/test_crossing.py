from __future__ import annotations

import pytest

from foreshard.controller.crossing import Crossings
from foreshard.model.plan import Plan, Split
from foreshard.model.workload import Flow
from foreshard.planning.table import table_of
from tests.engine.shop import CLASSES, fleet_of

PLAN = Plan(
    splits={
        Flow(o, c.name): Split(shares={"eu-1": 0.75, "us-1": 0.25})
        for o in ("eu", "us")
        for c in CLASSES
    }
)
RATES = {Flow("eu", "search"): 100.0, Flow("us", "search"): 10.0, Flow("eu", "report"): 20.0}


def test_what_a_far_region_serves_is_told_with_what_the_link_costs() -> None:
    fleet = fleet_of(egress_per_gb={("eu", "us"): 0.1})
    table = table_of(
        PLAN, version=1, fleet=fleet, classes=CLASSES, default_class="search", previous=None
    )
    found = Crossings(fleet, table, PLAN, RATES)
    assert dict(found["eu"]["us"]) == {"rps": 30.0, "cost_per_hour": pytest.approx(0.108)}
    assert dict(found["us"]["eu"]) == {"rps": 7.5, "cost_per_hour": 0.0}


def test_a_fleet_of_one_region_crosses_nothing() -> None:
    fleet = fleet_of(("eu-1", "eu-2"))
    assert dict(Crossings(fleet, None, PLAN, RATES)) == {}
