from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.forecast.limit import LimitRule, Limits, learn_limits
from foreshard.model.errors import ForecastError, InvalidValueError

RAW = np.concatenate([np.linspace(0.0, 0.5, 500), np.full(500, 0.9)])[None, None]


def test_a_quantile_is_learned_from_trusted_samples_only() -> None:
    trusted = np.arange(1000)[None] < 500
    limits = learn_limits(RAW, [LimitRule(quantile=0.995)], trusted=trusted)
    assert limits.limit[0, 0] == pytest.approx(np.quantile(RAW[0, 0, :500], 0.995))
    assert limits.counts[0, 0]


def test_a_limit_close_to_the_median_does_not_count() -> None:
    trusted = np.arange(1000)[None] >= 500
    rule = LimitRule(quantile=0.995, min_headroom=0.2)
    assert not learn_limits(RAW, [rule], trusted=trusted).counts[0, 0]


def test_a_declared_limit_counts_without_any_sample() -> None:
    nothing = np.full((1, 1, 5), np.nan)
    limits = learn_limits(nothing, [LimitRule(absolute=4.0)], trusted=np.ones((1, 5), dtype=bool))
    assert limits.limit.tolist() == [[4.0]]
    assert limits.counts.tolist() == [[True]]


def test_a_declared_limit_is_reached_by_the_value_that_says_so_in_few_bits() -> None:
    raw = np.array([[[0.9, 0.8999]]], dtype=np.float32)
    limits = learn_limits(raw, [LimitRule(absolute=0.9)], trusted=np.ones((1, 2), dtype=bool))
    assert (limits.apply(raw) >= 1.0).tolist() == [[[True, False]]]


def test_a_quantile_of_nothing_is_no_limit() -> None:
    nothing = np.full((1, 1, 5), np.nan)
    limits = learn_limits(nothing, [LimitRule(quantile=0.9)], trusted=np.ones((1, 5), dtype=bool))
    assert np.isnan(limits.limit[0, 0])
    assert not limits.counts[0, 0]


def test_a_gauge_without_limit_keeps_its_unit_and_never_counts() -> None:
    trusted = np.ones((1, 1000), dtype=bool)
    limits = learn_limits(7.0 * RAW, [None], trusted=trusted)
    assert not limits.counts[0, 0]
    assert np.allclose(limits.apply(7.0 * RAW), 7.0 * RAW)


def test_a_gauge_that_is_always_zero_has_no_limit_that_counts() -> None:
    zero = np.zeros((1, 1, 50))
    limits = learn_limits(zero, [LimitRule(quantile=0.99)], trusted=np.ones((1, 50), dtype=bool))
    assert not limits.counts[0, 0]
    assert limits.apply(zero).tolist() == zero.tolist()


@given(limit=st.floats(1e-3, 1e9), below=st.floats(0.0, 1e-6))
def test_a_fraction_is_at_the_limit_exactly_when_the_value_is(limit: float, below: float) -> None:
    raw = np.array([[[limit, limit * (1.0 - below), limit * (1.0 + below)]]])
    limits = Limits(limit=np.array([[limit]]), counts=np.ones((1, 1), dtype=bool))
    assert np.array_equal(limits.apply(raw) >= 1.0, raw >= limit)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "exactly one"),
        ({"absolute": 1.0, "quantile": 0.5}, "exactly one"),
        ({"absolute": 0.0}, "absolute is 0.0"),
        ({"quantile": 1.0}, "quantile is 1.0"),
        ({"quantile": 0.9, "min_headroom": -1.0}, "min_headroom is -1.0"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        LimitRule(**rule)


def test_rules_and_values_must_match() -> None:
    with pytest.raises(ForecastError, match="2 rules"):
        learn_limits(RAW, [None, None], trusted=np.ones((1, 1000), dtype=bool))
