from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.plan import Plan, Split
from foreshard.model.routing import RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.model.workload import Flow, OwnedData
from foreshard.planning.slots import owners_of
from foreshard.planning.table import Custodians, backups_of, flow_rows, kept_to, plan_of, table_of
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


def test_where_data_must_be_one_declared_replica_stands_in() -> None:
    data = OwnedData(replicas={"eu-2": ("us-3", "eu-1")})
    owning = request_class("checkout", data=data)
    assert backups_of(FLEET.cell("eu-2"), fleet=FLEET, request_class=owning) == ("us-3",)
    assert backups_of(FLEET.cell("eu-1"), fleet=FLEET, request_class=owning) == ()
    bound = replace(owning, regions=frozenset({"eu"}))
    assert backups_of(FLEET.cell("eu-2"), fleet=FLEET, request_class=bound) == ("eu-1",)


@given(plans(), st.lists(st.sampled_from(CELLS), min_size=8, max_size=8))
def test_rows_of_data_follow_its_holders_and_shed_what_the_plan_sheds(
    plan: Plan, owners: list[str]
) -> None:
    row = SlotRow(runs=tuple(SlotRun(owner=owner, length=64) for owner in owners))
    made = table_of(
        plan,
        version=7,
        fleet=FLEET,
        classes=CLASSES,
        default_class="search",
        previous=None,
        custodians={"checkout": Custodians(holders=row, heirs={"eu-1": "us-2"})},
    )
    index = {name: i for i, name in enumerate(CELLS)}
    held = owners_of(row, index)
    assert made.classes[0].holders == row
    assert made.classes[0].backups["eu-1"] == ("us-2",)
    for flow, split in kept_to(plan, made).splits.items():
        if flow.request_class != "checkout":
            assert split == plan.splits[flow]
            continue
        got = flow_rows(made)[flow]
        assert isinstance(got, SlotRow)
        shown = owners_of(got, index)
        assert ((shown == held) | (shown < 0)).all()
        assert split.shed == pytest.approx(min(plan.splits[flow].shed, 511 / 512), abs=0.002)


def test_backups_are_among_the_cells_that_a_class_is_kept_to() -> None:
    kept = request_class("search", cells=frozenset({"eu-1", "us-2"}))
    for home in FLEET.cells:
        others = backups_of(home, fleet=FLEET, request_class=kept)
        assert set(others) == {"eu-1", "us-2"} - {home.name}
