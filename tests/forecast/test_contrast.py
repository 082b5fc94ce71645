from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foreshard.forecast.contrast import SHARED_COUNTS, beyond_siblings, median_of_others
from foreshard.forecast.history import ALONE


def told(p: list[float], sibling: list[int] | None = None) -> list[float]:
    groups = np.array(sibling or [0] * len(p), dtype=np.int32)
    found: list[float] = beyond_siblings(np.array(p), groups, axis=0).tolist()
    return found


def test_what_one_cell_does_alone_is_told_in_full() -> None:
    np.testing.assert_allclose(told([0.9, 0.0, 0.0, 0.0]), [0.9, 0.0, 0.0, 0.0], rtol=1e-6)


def test_what_all_siblings_do_counts_for_a_part() -> None:
    shared = 1.0 - 0.5**SHARED_COUNTS
    np.testing.assert_allclose(told([0.5, 0.5, 0.5, 0.5]), [shared] * 4, rtol=1e-6)


def test_what_stands_out_of_a_common_movement_is_still_seen() -> None:
    odd, *others = told([0.99, 0.5, 0.5, 0.5])
    assert odd > 0.97
    assert max(others) < 0.1


def test_a_cell_with_fewer_than_two_others_is_taken_as_it_is() -> None:
    np.testing.assert_allclose(told([0.5, 0.5]), [0.5, 0.5])
    np.testing.assert_allclose(told([0.5, 0.5, 0.5], [ALONE] * 3), [0.5] * 3)
    np.testing.assert_allclose(told([0.5, 0.5, np.nan]), [0.5, 0.5, np.nan])


def test_groups_do_not_hear_of_each_other() -> None:
    both = told([0.9, 0.0, 0.0, 0.9, 0.9, 0.9], [0, 0, 0, 1, 1, 1])
    assert both[0] > 0.89
    assert max(both[3:]) < 0.25


values = npst.arrays(
    np.float64,
    st.tuples(st.integers(1, 7), st.integers(1, 3)),
    elements=st.one_of(st.floats(0.0, 1.0), st.just(np.nan)),
)


@given(values)
def test_the_median_of_others_is_that_of_numpy(x: np.ndarray) -> None:
    middle, count = median_of_others(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            others = np.delete(x[:, j], i)
            others = others[~np.isnan(others)]
            assert count[i, j] == others.size
            expected = np.median(others) if others.size else np.nan
            np.testing.assert_allclose(middle[i, j], expected)


@given(values)
def test_the_contrast_only_lowers_and_keeps_what_is_not_said(p: np.ndarray) -> None:
    found = beyond_siblings(p, np.zeros(len(p), dtype=np.int32), axis=0)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(p))
    seen = ~np.isnan(p)
    assert np.all(found[seen] >= 0.0)
    assert np.all(found[seen] <= p[seen] + 1e-6)


@given(values, st.floats(0.0, 1.0))
def test_more_risk_of_its_own_is_never_told_as_less(p: np.ndarray, more: float) -> None:
    groups = np.zeros(len(p), dtype=np.int32)
    raised = p.copy()
    raised[0] = np.fmax(p[0], np.where(np.isnan(p[0]), np.nan, more))
    before = beyond_siblings(p, groups, axis=0)[0]
    after = beyond_siblings(raised, groups, axis=0)[0]
    seen = ~np.isnan(before)
    assert np.all(after[seen] >= before[seen] - 1e-6)
