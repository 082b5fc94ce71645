from __future__ import annotations

from dataclasses import replace
from math import isnan

import pytest

from foreshard.controller.observe import observation_of
from foreshard.controller.verify import strays
from foreshard.model.plan import Plan, Split
from foreshard.model.telemetry import CellMetrics, ClassTraffic, Fresh, Health, Missing
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading
from tests.engine.shop import CELLS, START_S, fleet_of


def counted(**rates: float) -> BalancerReading:
    return BalancerReading(
        interval_s=0.7,
        traffic={
            cell.replace("_", "-"): {"search": ClassTraffic(rate_rps=rate)}
            for cell, rate in rates.items()
        },
        demand_rps={Flow("eu", "search"): sum(rates.values())},
        in_flight={"eu-1": 3.0},
    )


def test_a_cell_that_no_source_named_is_unknown_and_missing() -> None:
    seen = observation_of(
        fleet_of(), now_s=START_S, interval_s=1.0, said={}, seen=counted(eu_1=5.0), events=()
    )
    assert set(seen.cells) == set(CELLS)
    assert seen.cells["us-1"].health is Health.UNKNOWN
    assert isinstance(seen.cells["us-1"].reading, Missing)
    assert seen.cells["us-1"].traffic == {}
    assert isnan(seen.cells["us-1"].in_flight)
    assert seen.interval_s == 0.7


def test_a_silent_balancer_is_never_zero_demand() -> None:
    seen = observation_of(
        fleet_of(), now_s=START_S, interval_s=1.0, said={}, seen=Missing("timeout"), events=()
    )
    assert seen.demand_rps is None
    assert all(reading.traffic is None for reading in seen.cells.values())
    assert seen.interval_s == 1.0


@pytest.mark.parametrize("alive", [(), ("us-2",)])
def test_a_silent_region_is_done_without_only_if_its_cells_are_silent_too(
    alive: tuple[str, ...],
) -> None:
    heard = ("eu-1", "eu-2", "eu-3", *alive)
    fresh = (Health.UP, Fresh(metrics=CellMetrics(gauges={}), age_s=0.1))
    seen = observation_of(
        fleet_of(),
        now_s=START_S,
        interval_s=1.0,
        said=dict.fromkeys(heard, fresh),
        seen=replace(counted(eu_1=5.0), silent_origins=frozenset({"us"})),
        events=(),
    )
    assert seen.demand_rps == (None if alive else {Flow("eu", "search"): 5.0})
    assert (seen.cells["eu-1"].traffic is None) == bool(alive)
    assert seen.lost == (frozenset() if alive else {"us-1", "us-2", "us-3"})


PLAN = Plan(splits={Flow("eu", "search"): Split(shares={"eu-1": 0.5, "eu-2": 0.5})})


def test_traffic_at_a_cell_that_has_no_share_strays() -> None:
    seen = observation_of(
        fleet_of(),
        now_s=START_S,
        interval_s=1.0,
        said={},
        seen=counted(eu_1=50.0, eu_2=50.0, us_1=10.0),
        events=(),
    )
    found = strays(PLAN, seen)
    assert [(r.subject, r.facts["rps"]) for r in found] == [("us-1", 10.0)]


def test_a_trickle_and_a_class_without_a_plan_are_no_strays() -> None:
    seen = observation_of(
        fleet_of(),
        now_s=START_S,
        interval_s=1.0,
        said={},
        seen=counted(eu_1=50.0, eu_2=50.0, us_1=0.9),
        events=(),
    )
    assert strays(PLAN, seen) == ()
    assert strays(Plan(splits={}), seen) == ()
