from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.agreement import adjusted_rand
from foreshard.model.category import Level
from foreshard.model.errors import ForecastError
from foreshard.profile.catalogue import Catalogue, Priced, classify
from foreshard.profile.clustering import group_costs

RESOURCES = ("cpu", "memory")


def priced(costs: dict[str, tuple[float, float]], *, error: float = 0.02) -> Priced:
    cost = np.array(list(costs.values()))
    return Priced(
        names=tuple(costs),
        resources=RESOURCES,
        cost=cost,
        error=error * cost,
        capacity=np.array([4.0, 8e9]),
    )


SHOP = {
    "browse": (0.002, 1e6),
    "search": (0.0025, 1.2e6),
    "login": (0.0018, 0.9e6),
    "report": (0.2, 4e7),
    "export": (0.17, 3e7),
    "video": (0.002, 9e8),
}


def test_costs_are_named_in_words() -> None:
    found, changes = classify(Catalogue(), priced(SHOP), at_s=1.0)
    assert found.of_class["browse"] == found.of_class["search"] == found.of_class["login"]
    assert found.of_class["report"] == found.of_class["export"] == "heavy-cpu"
    assert found.of_class["video"] == "heavy-memory"
    assert found.categories["heavy-memory"].levels["cpu"] is not Level.HEAVY
    assert {c.request_class for c in changes} == set(SHOP)
    assert "cpu 0.2 +- 0.004" in next(str(c) for c in changes if c.request_class == "report")


def test_names_and_members_stay_while_costs_are_the_same_but_for_noise() -> None:
    found, _ = classify(Catalogue(), priced(SHOP), at_s=0.0)
    rng = np.random.default_rng(1)
    for t in range(30):
        noisy = {
            n: (c * rng.lognormal(0, 0.1), m * rng.lognormal(0, 0.1)) for n, (c, m) in SHOP.items()
        }
        again, changes = classify(found, priced(noisy), at_s=float(t))
        assert changes == ()
        assert again.of_class == found.of_class
        found = again


def test_the_order_of_classes_changes_no_name() -> None:
    found, _ = classify(Catalogue(), priced(SHOP), at_s=0.0)
    turned, _ = classify(Catalogue(), priced(dict(reversed(SHOP.items()))), at_s=0.0)
    assert turned.of_class == found.of_class


def test_a_class_that_grew_heavy_moves_after_some_looks_with_its_evidence() -> None:
    found, _ = classify(Catalogue(), priced(SHOP), at_s=0.0)
    heavier = priced({**SHOP, "search": (0.19, 3.5e7)})
    seen = []
    for t in range(4):
        found, changes = classify(found, heavier, at_s=float(t))
        seen.append([str(c) for c in changes])
    assert seen[0] == seen[1] == seen[3] == []
    assert found.of_class["search"] == "heavy-cpu"
    assert seen[2] == [
        "search: from normal-cpu to heavy-cpu: cpu 0.19 +- 0.004, memory 3.5e+07 +- 7e+05"
    ]


def test_a_class_of_unknown_cost_keeps_what_it_was() -> None:
    found, _ = classify(Catalogue(), priced(SHOP), at_s=0.0)
    again, changes = classify(found, priced({**SHOP, "video": (np.nan, np.nan)}), at_s=1.0)
    assert changes == ()
    assert again.of_class["video"] == "heavy-memory"
    assert "heavy-memory" in again.categories


def test_what_all_classes_of_a_category_need_is_said_of_it() -> None:
    needs = {"report": frozenset({"db", "mail"}), "export": frozenset({"db"})}
    found, _ = classify(Catalogue(), priced(SHOP), at_s=0.0, depends=needs)
    assert found.categories["heavy-cpu"].dependencies == {"db"}


def test_confidence_is_lower_where_costs_are_vague() -> None:
    sure, _ = classify(Catalogue(), priced(SHOP), at_s=0.0)
    vague, _ = classify(Catalogue(), priced(SHOP, error=0.2), at_s=0.0)
    assert all(0.0 <= vague.confidence[n] < sure.confidence[n] <= 1.0 for n in SHOP)


@pytest.mark.parametrize("seed", range(10))
def test_separable_fleets_are_told_into_their_categories(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sorts, size = int(rng.integers(2, 6)), 25
    centre = np.log(8.0) * np.array(
        [rng.permutation([0, i % 3, i // 3]).tolist() for i in range(sorts)], dtype=float
    )
    truth = np.concatenate([np.arange(sorts), rng.integers(0, sorts, size - sorts)])
    distinct = np.unique(centre, axis=0, return_inverse=True)[1][truth]
    log_cost = centre[truth] + rng.normal(0.0, 0.15, (size, 3))
    groups = group_costs(log_cost - 0.05, log_cost + 0.05)
    assert adjusted_rand(groups, distinct.tolist()) >= 0.9


@given(seed=st.integers(0, 1000), size=st.integers(1, 12))
def test_units_and_order_change_no_group(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    log_cost = rng.normal(0.0, 2.0, (size, 2))
    groups = group_costs(log_cost, log_cost)
    moved = log_cost + np.array([3.0, -5.0])
    assert group_costs(moved, moved) == groups
    order = rng.permutation(size)
    turned = group_costs(log_cost[order], log_cost[order])
    assert adjusted_rand(turned, np.array(groups)[order].tolist()) == 1.0


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ForecastError, match=r"must be \(6, 2\)"):
        replace(priced(SHOP), cost=np.zeros((5, 2)))
