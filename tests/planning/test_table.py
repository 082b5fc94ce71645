from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.plan import Plan, Split
from foreshard.model.routing import RoutingTable, SlotRow, WeightRow
from foreshard.model.workload import Flow
from foreshard.planning.table import backups_of, flow_rows, plan_of, table_of
from tests.engine.shop import CELLS, CLASSES, fleet_of, request_class

FLEET = fleet_of()
NAMES = tuple(c.name for c in CLASSES)


def table(plan: Plan, previous: RoutingTable | None = None) -> RoutingTable:
    return table_of(
        plan,
        version=7,
        fleet=FLEET,
        classes=CLASSES,
        default_class="search",
        previous=previous,
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    splits = {}
    for origin in draw(st.sampled_from([("eu",), ("eu", "us")])):
        for name in NAMES:
            parts = draw(st.lists(st.integers(0, 20), min_size=7, max_size=7))
            parts[draw(st.integers(0, 5))] += 1
            total = sum(parts)
            shares = {c: p / total for c, p in zip(CELLS, parts, strict=False) if p}
            splits[Flow(origin, name)] = Split(shares=shares, shed=parts[6] / total)
    return Plan(splits=splits)


@given(plans())
def test_a_table_says_what_the_plan_says_to_a_hundredth(plan: Plan) -> None:
    again = plan_of(table(plan))
    assert set(again.splits) == set(plan.splits)
    for flow, split in plan.splits.items():
        told = again.splits[flow]
        assert set(told.shares) == set(split.shares)
        assert told.shed == pytest.approx(split.shed, abs=0.01)
        for cell, share in split.shares.items():
            assert told.share(cell) == pytest.approx(share, abs=0.01)


@given(plans())
def test_an_adopted_table_makes_the_same_table_again(plan: Plan) -> None:
    once = table(plan)
    keyed = [r for f, r in flow_rows(once).items() if f.request_class == "checkout"]
    again = table(plan_of(once), previous=once)
    assert [r for f, r in flow_rows(again).items() if f.request_class == "checkout"] == keyed


@given(plans())
def test_keyed_classes_get_slots_and_free_ones_weights(plan: Plan) -> None:
    for flow, row in flow_rows(table(plan)).items():
        assert isinstance(row, SlotRow if flow.request_class == "checkout" else WeightRow)


def test_backups_are_others_near_ones_first_and_keep_to_residency() -> None:
    free = backups_of(FLEET.cell("eu-2"), fleet=FLEET, request_class=CLASSES[0])
    assert free == ("eu-3", "us-1", "us-2", "us-3", "eu-1")
    bound = request_class("checkout", regions=frozenset({"us"}))
    assert backups_of(FLEET.cell("us-1"), fleet=FLEET, request_class=bound) == ("us-2", "us-3")
