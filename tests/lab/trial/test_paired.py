from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.trial.paired import TIE_RATIO, averted, duel, excess, interval, ratio_interval
from tests.lab.trial.sample import column

SURE = column(0.0, 0.0, 0.0, 0.0)


def test_the_averted_share_is_what_was_averted_of_what_could_be() -> None:
    own, other = column(20.0, 30.0, 20.0, 30.0), column(100.0, 101.0, 100.0, 101.0)
    found = averted("sticky", own, other, column(0.0, 1.0, 0.0, 1.0), errors=SURE)
    assert found.share == pytest.approx(75.5 / 100.0)
    assert found.avoidable == pytest.approx(100.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 75.5 / 100.0 <= found.high


def test_the_best_other_averts_nothing_and_the_oracle_everything() -> None:
    other, oracle = column(100.0, 110.0, 90.0), column(0.0, 9.0, 1.0)
    assert averted("x", other, other, oracle, errors=SURE[:3]).share == pytest.approx(0.0)
    assert averted("x", oracle, other, oracle, errors=SURE[:3]).share == pytest.approx(1.0)


def test_no_share_is_given_of_what_is_less_than_twenty_standard_errors() -> None:
    other = column(0.0, 100.0, 50.0)
    found = averted("x", column(0.0, 0.0, 0.0), other, column(0.0, 0.0, 0.0), errors=SURE[:3])
    assert found.error == pytest.approx(50.0 / np.sqrt(3.0))
    assert found.share is None
    assert found.low is None


def test_with_one_seed_bad_requests_are_taken_for_independent() -> None:
    one = column(100.0)
    told = averted("x", column(0.0), one, column(0.0), errors=column(4.9))
    assert told.share == pytest.approx(1.0)
    assert told.low is None
    assert averted("x", column(0.0), one, column(0.0), errors=column(5.1)).share is None


def test_nothing_is_averted_where_the_oracle_is_worse() -> None:
    found = averted("x", column(0.0), column(10.0), column(20.0), errors=column(0.1))
    assert found.share is None


def test_the_interval_of_equal_seeds_is_a_point_and_of_one_seed_unknown() -> None:
    assert interval(np.full((5, 1), 3.0), lambda m: m[:, 0]) == (3.0, 3.0)
    assert interval(np.full((1, 1), 3.0), lambda m: m[:, 0]) == (None, None)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        low, high = interval(rng.normal(10.0, 2.0, size=(20, 1)), lambda m: m[:, 0])
        assert low is not None
        assert high is not None
        hits += low <= 10.0 <= high
    assert 170 <= hits <= 199


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=12))
def test_an_interval_is_the_same_twice_and_lies_among_the_seeds(values: list[float]) -> None:
    rows = np.array(values)[:, None]
    low, high = interval(rows, lambda m: m[:, 0])
    assert (low, high) == interval(rows, lambda m: m[:, 0])
    assert low is not None
    assert high is not None
    assert min(values) - 1e-6 <= low <= high <= max(values) + 1e-6


def test_none_by_none_is_one_and_twice_the_harm_is_two() -> None:
    demand = column(1e6, 1e6)
    assert ratio_interval(SURE[:2], SURE[:2], demand) == (1.0, 1.0, 1.0)
    ratio, low, high = ratio_interval(column(2e4, 2e4), column(1e4, 1e4), demand)
    assert ratio == pytest.approx(2.0, rel=1e-2)
    assert low == pytest.approx(high)


def test_what_may_be_more_harm_is_the_upper_end_and_less_harm_is_none() -> None:
    demand = column(1e4, 1e4, 1e4, 1e4)
    own, other = column(12.0, 14.0, 16.0, 18.0), column(10.0, 10.0, 10.0, 10.0)
    most = excess(own, other, demand)
    assert 5e-4 < most <= 8e-4, "above the mean, and no seed was worse"
    assert excess(other, own, demand) < 0.0
    assert excess(own[:1], other[:1], demand[:1]) == pytest.approx(2e-4)
    assert excess(other, other, demand) == 0.0 <= TIE_RATIO


def test_a_duel_counts_seeds_and_calls_next_to_nothing_a_tie() -> None:
    own, other = column(10.0, 10.0, 10.0, 10.0), column(20.0, 10.5, 9.5, 1.0)
    found = duel(own, other, column(*[1e4] * 4))
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)
