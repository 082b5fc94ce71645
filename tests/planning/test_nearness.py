from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.planning.nearness import DEAREST_S, PLANNED_UTILISATION, Map, near_shares, tolls_s
from foreshard.planning.problem import Floats, reference_shares

# Three regions of two equal cells; origins are the regions.
REGION = np.array([0, 0, 1, 1, 2, 2])
APART_S = np.array([[0.002, 0.02, 0.2], [0.02, 0.002, 0.1], [0.2, 0.1, 0.002]])


def where(**changes: Any) -> Map:  # noqa: ANN401 - any field
    fields: dict[str, Any] = {
        "region": REGION,
        "away_s": APART_S[:, REGION],
        "roams": np.ones(3, dtype=bool),
        "priority": np.zeros(3, dtype=np.int64),
    }
    return Map(**(fields | changes))


def split(load: tuple[float, float, float], **changes: Any) -> Floats:  # noqa: ANN401 - any
    """[3, 3] what each origin sends to each region; a region has a capacity of 2."""
    takes = changes.pop("takes", np.ones(6, dtype=bool))
    able = changes.pop("able", np.ones((3, 6), dtype=bool))
    work = np.array(load), np.ones((3, 1))
    shares = near_shares(work, np.ones((6, 1)), able, takes, where(**changes))
    return np.array([[row[:2].sum(), row[2:4].sum(), row[4:].sum()] for row in shares])


def test_where_there_is_room_everything_stays_at_home() -> None:
    assert split((1.4, 1.0, 0.2)) == pytest.approx(np.eye(3))


def test_what_a_full_region_has_no_room_for_goes_to_the_next_nearest() -> None:
    sent = split((2.0, 0.5, 0.5))
    assert sent[0] == pytest.approx([0.75, 0.25, 0.0])
    assert sent[1:] == pytest.approx(np.eye(3)[1:])


def test_what_the_next_nearest_has_no_room_for_goes_further() -> None:
    sent = split((2.0, 1.3, 0.5))
    assert sent[0] == pytest.approx([0.75, 0.1, 0.15])


def test_the_loss_of_a_region_sends_its_work_to_the_nearest_others() -> None:
    takes = np.array([False, False, True, True, True, True])
    assert split((0.8, 0.5, 0.5), takes=takes)[0] == pytest.approx([0.0, 1.0, 0.0])


def test_residency_is_kept_however_full_its_region_is() -> None:
    able = np.ones((3, 6), dtype=bool)
    able[0, 2:] = False
    assert split((5.0, 0.5, 0.5), able=able)[0] == pytest.approx([1.0, 0.0, 0.0])


def test_critical_work_keeps_its_place_where_work_of_less_priority_makes_room() -> None:
    two = where(away_s=APART_S[[0, 0, 0]][:, REGION], priority=np.array([2, 0, 1]))
    work = np.array([1.0, 1.2, 0.0]), np.ones((3, 1))
    able, takes = np.ones((3, 6), dtype=bool), np.ones(6, dtype=bool)
    shares = near_shares(work, np.ones((6, 1)), able, takes, two)
    assert shares[1, :2].sum() == pytest.approx(1.0)
    assert shares[0, :2].sum() == pytest.approx(0.3)


def test_a_key_with_one_home_has_no_nearest_cell_and_takes_up_room() -> None:
    roams = np.array([True, True, False])
    sent = split((1.4, 0.5, 1.5), roams=roams)
    assert sent[2] == pytest.approx(np.full(3, 1 / 3))
    assert sent[0] == pytest.approx([1.0 / 1.4, 0.4 / 1.4, 0.0])


def test_without_distances_only_size_counts() -> None:
    sent = split((2.0, 0.5, 0.5), away_s=np.zeros((3, 6)))
    assert sent == pytest.approx(np.full((3, 3), 1 / 3))


def test_the_dearest_link_counts_as_little_and_the_cheaper_of_two_near_regions_is_nearer() -> None:
    cost = np.array([[0.0, 0.0, 0.09, 0.09, 0.02, 0.02]])
    tolls = tolls_s(cost)
    assert tolls.max() == pytest.approx(DEAREST_S)
    away = np.array([[0.002, 0.002, 0.08, 0.08, 0.081, 0.081]]) + tolls
    one = where(away_s=away, roams=np.ones(1, dtype=bool), priority=np.zeros(1, dtype=np.int64))
    every = np.ones((1, 6), dtype=bool)
    work = np.array([2.0]), np.ones((1, 1))
    sent = near_shares(work, np.ones((6, 1)), every, every[0], one)[0]
    assert sent[4:].sum() == pytest.approx(0.25)
    assert sent[2:4].sum() == 0.0


@given(st.integers(0, 2**32 - 1))
def test_the_split_is_whole_allowed_and_fills_none_needlessly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    f, c, regions = int(rng.integers(1, 6)), int(rng.integers(2, 9)), int(rng.integers(1, 4))
    region = rng.integers(0, regions, c)
    able = rng.random((f, c)) < 0.8
    takes = rng.random(c) < 0.8
    capacity = rng.uniform(0.5, 2.0, (c, 1))
    demand = rng.uniform(0.0, 1.0, f) * rng.choice([0.1, 0.5, 1.5])
    away = rng.choice([0.001, 0.02, 0.08, 0.2], (f, regions))[:, region]
    roams = rng.random(f) < 0.8
    stood = Map(region=region, away_s=away, roams=roams, priority=rng.integers(0, 3, f))
    shares = near_shares((demand, np.ones((f, 1))), capacity, able, takes, stood)
    served = (able & takes).any(axis=1)
    assert shares.sum(axis=1) == pytest.approx(served.astype(float))
    assert (shares[~(able & takes)] == 0.0).all()
    fixed = reference_shares(capacity, able, takes)
    assert shares[~roams] == pytest.approx(fixed[~roams])
    if able.all() and takes.any() and roams.all():
        used = demand @ shares / capacity[:, 0]
        mean = demand.sum() / capacity[takes].sum()
        assert used.max() <= max(PLANNED_UTILISATION, mean) + 1e-9
