from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.policy.hazl import LOWER, UPPER, Hazl, banded
from foreshard.lab.policy.load_aware import LoadAware, headroom_split
from foreshard.lab.policy.registry import PEERS, policy
from foreshard.lab.policy.static import NearFirst, near_first
from foreshard.lab.policy.view import blank
from foreshard.model.errors import LabError
from tests.lab.policy.stages import SEARCH, calm_view, shop

ones = np.ones


def test_envoys_example_splits_19_44_37() -> None:
    split = headroom_split(np.array([0.7, 0.3, 0.4]), ones(3), local=0)
    assert np.abs(100.0 * split - [19.0, 44.0, 37.0]).max() <= 0.5
    assert split.tolist() == pytest.approx([0.1875, 0.4375, 0.375])


def test_traffic_stays_local_but_for_a_probe_while_the_zone_is_no_busier_than_others() -> None:
    split = headroom_split(np.array([0.5, 0.4, 0.41]), ones(3), local=0)
    assert split.tolist() == pytest.approx([0.97, 0.015, 0.015])
    spilt = headroom_split(np.array([0.52, 0.4, 0.41]), ones(3), local=0)
    assert spilt[0] == pytest.approx(0.48 / 1.67)


def test_when_nobody_has_headroom_hosts_decide() -> None:
    split = headroom_split(np.array([1.05, 1.0, 1.01]), np.array([1.0, 2.0, 1.0]), local=0)
    assert split[0] > 0.9, "the local zone is within the threshold"
    split = headroom_split(np.array([1.5, 1.0, 1.01]), np.array([1.0, 2.0, 1.0]), local=0)
    assert split.tolist() == pytest.approx([0.25, 0.5, 0.25])


@given(
    st.lists(st.one_of(st.floats(0.0, 2.0), st.just(float("nan"))), min_size=2, max_size=6),
    st.integers(0, 5),
)
def test_a_load_aware_split_is_whole_and_always_probes_others(
    used: list[float], local: int
) -> None:
    local %= len(used)
    split = headroom_split(np.array(used), ones(len(used)), local=local)
    assert split.sum() == pytest.approx(1.0)
    assert (split >= 0.0).all()
    assert 1.0 - split[local] >= 0.03 - 1e-9


def test_load_is_smoothed_over_five_seconds_whatever_the_noise() -> None:
    setting = shop()
    rule = LoadAware(setting)
    rule.decide(blank(setting, now_s=0.0))
    rule.decide(calm_view(setting, now_s=1.0, cpu=0.5))
    rule.decide(calm_view(setting, now_s=2.0, cpu=1.0))
    assert rule._used[0] == pytest.approx(0.5 + 0.5 * (1.0 - np.exp(-0.2)))


def test_a_hot_region_spills_by_headroom_and_a_dead_cell_gets_nothing() -> None:
    setting = shop(latency_ms=80.0)
    rule = LoadAware(setting)
    rule.decide(blank(setting, now_s=0.0))
    cpu = np.array([0.9, 0.9, 0.9, 0.3, 0.3, 0.3])
    down = np.array([False, False, True, False, False, False])
    draft = rule.decide(calm_view(setting, now_s=1.0, gauges={"cpu": cpu}, is_down=down))
    share = draft.share[0, SEARCH]
    assert share[3:].sum() > 0.6
    assert share[2] == pytest.approx(0.0)


def test_where_all_cells_are_equally_far_all_is_headroom() -> None:
    setting = shop()
    rule = LoadAware(setting)
    rule.decide(blank(setting, now_s=0.0))
    cpu = np.array([0.2, 0.6, 0.6, 0.6, 0.6, 0.6])
    draft = rule.decide(calm_view(setting, now_s=1.0, gauges={"cpu": cpu}))
    assert draft.share[0, SEARCH].tolist() == pytest.approx([0.8 / 2.8] + [0.4 / 2.8] * 5)


def test_near_cells_are_filled_first_and_what_is_left_spills() -> None:
    near = np.array([[0.0, 0.0, 80.0], [80.0, 80.0, 0.0]])
    shares = near_first(near, np.array([3.0, 1.0]), np.array([2.0, 2.0, 4.0]), planned=0.7)
    assert shares[0].tolist() == pytest.approx([1.4 / 3, 1.4 / 3, 0.2 / 3])
    assert shares[1].tolist() == [0.0, 0.0, 1.0]


def test_static_weights_are_set_once() -> None:
    setting = shop(origins=("eu", "us"), latency_ms=80.0)
    rule = NearFirst(setting)
    first = rule.decide(blank(setting, now_s=0.0))
    assert first.share[0, SEARCH].tolist() == pytest.approx([1 / 6] * 6)
    draft = [rule.decide(calm_view(setting, now_s=float(t))) for t in range(1, 62)][-1]
    assert draft.share[0, SEARCH].tolist() == pytest.approx([1 / 3] * 3 + [0.0] * 3)
    dead = np.array([True] + [False] * 5)
    assert rule.decide(calm_view(setting, now_s=70.0, cpu=0.9, is_down=dead)) is draft


def test_a_pool_grows_above_the_band_shrinks_below_it_and_rests_within() -> None:
    size, near = np.full(4, 3.0), np.array([0.0, 0.0, 0.0, 80.0])
    own = np.array([3.0, 0.0, 0.0, 0.0])
    hot = banded(own.copy(), np.array([2.5, 0.4, 0.3, 0.0]), size, 0, near)
    assert hot.tolist() == [3.0, 0.0, 1.0, 0.0], "one endpoint of the least busy near cell"
    calm = banded(hot.copy(), np.array([1.5, 0.4, 0.9, 0.0]), size, 0, near)
    assert calm.tolist() == hot.tolist()
    idle = banded(hot.copy(), np.array([0.7, 0.4, 0.5, 0.0]), size, 0, near)
    assert idle.tolist() == own.tolist()


def test_a_flooded_pool_at_most_doubles() -> None:
    size, near = np.full(4, 3.0), np.zeros(4)
    flooded = banded(np.array([3.0, 0, 0, 0]), np.array([60.0, 0, 0, 0]), size, 0, near)
    assert flooded.sum() == 6.0


@given(st.lists(st.floats(0.0, 10.0), min_size=4, max_size=4), st.integers(0, 3))
def test_a_pool_is_never_empty_and_never_larger_than_the_fleet(
    load: list[float], dead: int
) -> None:
    size = np.full(4, 3.0)
    size[dead] = 0.0
    pool = np.array([3.0, 0.0, 0.0, 0.0])
    for _ in range(5):
        pool = banded(pool, np.array(load), size, 0, np.zeros(4))
    assert 0.0 < pool.sum() <= size.sum()
    assert (pool <= size).all()


def test_hazl_stays_in_the_zone_until_the_band_is_left() -> None:
    setting = shop(origins=("eu",), latency_ms=80.0)
    rule = Hazl(setting)
    first = rule.decide(blank(setting, now_s=0.0))
    assert first.share[0, SEARCH].tolist() == pytest.approx([1 / 3] * 3 + [0.0] * 3)
    view = calm_view(setting, now_s=1.0)
    load = (view.rate_rps * view.latency_s).sum(axis=0) / 3.0
    assert load.max() < LOWER
    assert rule.decide(view) is first
    slow = replace(view, latency_s=view.latency_s * 1.5 * UPPER / load[0])
    draft = rule.decide(slow)
    assert not np.array_equal(draft.share, first.share)
    away = draft.share[0, SEARCH, 3:].sum()
    assert away == 0.0, "other zones of the region come before other regions"


def test_every_peer_is_made_anew_by_its_name() -> None:
    assert list(PEERS) == [
        "static",
        "outlier",
        "sticky",
        "p2c",
        "prequal",
        "load-aware",
        "hazl",
        "closed-loop",
        "predict-linear",
    ]
    for name in (*PEERS, "oracle"):
        assert policy(name).name == name
    with pytest.raises(LabError, match="unknown"):
        policy("wishful")
