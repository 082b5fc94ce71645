from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.weights import apportion, divided, quotas

SHARES = st.dictionaries(
    st.text(alphabet="abcdefgh", min_size=1, max_size=2),
    st.one_of(st.just(0.0), st.floats(1e-9, 1e6)),
    min_size=1,
    max_size=30,
).filter(lambda shares: any(shares.values()))
TOTALS = st.integers(1, 10_000)


def test_three_equal_shares_of_a_hundred_break_the_tie_by_name() -> None:
    shares = {"c": 1.0, "b": 1.0, "a": 1.0, "drained": 0.0}
    assert apportion(shares, 100) == {"a": 34, "b": 33, "c": 33, "drained": 0}


def test_150_equal_weights_do_not_become_zeros() -> None:
    units = apportion({f"cell-{i:03}": 1.0 / 150.0 for i in range(150)}, 100)
    assert sum(units.values()) == 100
    assert set(units.values()) == {0, 1}


def test_a_positive_share_too_small_for_a_unit_may_get_none() -> None:
    assert apportion({"large": 0.999, "small": 0.001}, 100) == {"large": 100, "small": 0}


@given(SHARES, TOTALS)
def test_units_sum_to_the_total_exactly(shares: dict[str, float], total: int) -> None:
    assert sum(apportion(shares, total).values()) == total


@given(SHARES, TOTALS)
def test_a_drained_cell_gets_nothing(shares: dict[str, float], total: int) -> None:
    units = apportion(shares, total)
    assert all(units[name] == 0 for name, share in shares.items() if share == 0.0)


@given(SHARES, TOTALS)
def test_units_lie_within_one_of_the_quota(shares: dict[str, float], total: int) -> None:
    units = apportion(shares, total)
    for name, quota in quotas(shares, total).items():
        assert math.floor(quota) <= units[name] <= math.ceil(quota)


@given(SHARES, TOTALS)
def test_a_larger_share_never_gets_fewer_units(shares: dict[str, float], total: int) -> None:
    units = apportion(shares, total)
    ranked = sorted(shares, key=lambda name: (shares[name], units[name]))
    assert [units[name] for name in ranked] == sorted(units.values())


@given(SHARES, TOTALS, st.data())
def test_a_share_that_grows_loses_no_unit(
    shares: dict[str, float], total: int, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(shares)))
    more = shares[name] * data.draw(st.floats(1.0, 10.0)) + data.draw(st.floats(0.0, 10.0))
    assert apportion(shares | {name: more}, total)[name] >= apportion(shares, total)[name]


@given(SHARES, TOTALS)
def test_order_of_names_does_not_matter(shares: dict[str, float], total: int) -> None:
    turned = dict(reversed(shares.items()))
    assert apportion(shares, total) == apportion(turned, total)


@given(SHARES, TOTALS)
def test_quotas_in_integers_are_the_quotas(shares: dict[str, float], total: int) -> None:
    exact, parts = quotas(shares, total), divided(shares, total)
    assert list(parts) == list(exact)
    whole = sum(Fraction(share) for share in shares.values())
    unit = {(exact[n] - units) / left for n, (units, left) in parts.items() if left}
    assert all(units == math.floor(exact[name]) for name, (units, _) in parts.items())
    assert len(unit) <= 1, f"remainders of {whole} are not in one unit"


def test_quotas_are_exact() -> None:
    assert quotas({"a": 1.0, "b": 2.0}, 100)["a"] == Fraction(100, 3)


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_a_share_that_is_no_share_is_refused_with_its_value(bad: float) -> None:
    with pytest.raises(InvalidValueError, match=f"'b' is {bad}"):
        apportion({"a": 1.0, "b": bad}, 10)


@pytest.mark.parametrize("shares", [{}, {"a": 0.0, "b": 0.0}])
def test_nothing_to_share_is_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match="all shares are zero"):
        apportion(shares, 10)


def test_no_unit_to_hand_out_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="total is 0"):
        apportion({"a": 1.0}, 0)
