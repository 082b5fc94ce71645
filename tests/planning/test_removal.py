from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.plan import Plan, Split
from foreshard.model.workload import Flow
from foreshard.planning.removal import even_plan, fitted, without
from tests.engine.shop import CELLS, CLASSES, fleet_of, request_class

FLEET = fleet_of()
FLOWS = tuple(Flow("eu", c.name) for c in CLASSES)
BY_NAME = {c.name: c for c in CLASSES}
EU_ONLY = {**BY_NAME, "checkout": request_class("checkout", regions=frozenset({"eu"}))}


@given(
    st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=7, max_size=7).filter(
        lambda x: sum(x[:6]) > 0.01
    ),
    st.frozensets(st.sampled_from(CELLS)),
)
def test_what_a_cell_had_goes_to_the_others_in_proportion(
    parts: list[float], gone: frozenset[str]
) -> None:
    total = sum(parts)
    shares = {c: p / total for c, p in zip(CELLS, parts, strict=False) if p > 0.0}
    split = Split(shares=shares, shed=parts[6] / total)
    left = without(Plan(splits={FLOWS[0]: split}), gone, FLEET, EU_ONLY).splits[FLOWS[0]]
    kept = {c: s for c, s in split.shares.items() if c not in gone}
    assert left.shed == split.shed
    if not kept or sum(kept.values()) <= 0.0:
        # Its class may only be served in eu: where all of that is gone, it stays.
        there = {c for c in CELLS if c.startswith("eu") and c not in gone}
        assert set(left.shares) == there if there else left == split
        assert sum(left.shares.values()) == pytest.approx(1.0 - split.shed)
        return
    assert not set(left.shares) & gone
    scale = sum(left.shares.values()) / sum(kept.values())
    assert scale >= 1.0 - 1e-9
    for cell, share in kept.items():
        assert left.share(cell) == pytest.approx(share * scale)


def test_next_to_nothing_is_still_all_that_is_left() -> None:
    split = Split(shares={"eu-1": 1.0, "eu-2": 5e-324})
    left = without(Plan(splits={FLOWS[0]: split}), {"eu-1"}, FLEET, BY_NAME).splits[FLOWS[0]]
    assert left.shares == {"eu-2": 1.0}


def test_a_plan_that_nobody_left_is_the_same_object_by_flow() -> None:
    plan = even_plan(FLEET, FLOWS, BY_NAME, ())
    assert without(plan, {"elsewhere"}, FLEET, BY_NAME) == plan


def test_the_first_plan_keeps_to_residency_and_leaves_out_who_is_gone() -> None:
    plan = even_plan(FLEET, FLOWS, EU_ONLY, {"eu-1"})
    assert plan.splits[FLOWS[0]].shares == {"eu-2": 0.5, "eu-3": 0.5}
    assert set(plan.splits[FLOWS[1]].shares) == set(CELLS) - {"eu-1"}


def test_a_class_whose_every_cell_is_gone_keeps_them() -> None:
    plan = even_plan(FLEET, FLOWS, EU_ONLY, {"eu-1", "eu-2", "eu-3"})
    assert set(plan.splits[FLOWS[0]].shares) == {"eu-1", "eu-2", "eu-3"}


def test_an_adopted_plan_that_fits_is_left_as_it_is() -> None:
    plan = even_plan(FLEET, FLOWS, BY_NAME, {"us-2"})
    assert fitted(plan, FLEET, FLOWS, BY_NAME) == plan


def test_an_adopted_plan_is_fitted_to_cells_flows_and_residency_of_today() -> None:
    old = Plan(
        splits={
            FLOWS[0]: Split(shares={"eu-1": 0.25, "us-1": 0.75}),
            FLOWS[1]: Split(shares={"ap-1": 1.0}),
            Flow("eu", "video"): Split(shares={"eu-1": 1.0}),
        }
    )
    now = fitted(old, FLEET, FLOWS, EU_ONLY)
    assert tuple(now.splits) == FLOWS
    assert now.splits[FLOWS[0]].shares == {"eu-1": 1.0}
    assert set(now.splits[FLOWS[1]].shares) == set(CELLS)
    assert set(now.splits[FLOWS[2]].shares) == set(CELLS)


def test_a_class_that_is_kept_to_cells_is_split_over_them_alone() -> None:
    kept = {**BY_NAME, "search": request_class("search", cells=frozenset({"eu-1", "us-2"}))}
    plan = even_plan(FLEET, (Flow("eu", "search"),), kept, {"eu-1"})
    assert plan.splits[Flow("eu", "search")].shares == {"us-2": 1.0}
