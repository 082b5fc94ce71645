from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.profile.burden import Burden, beyond_rps, start_burden, update_burden

CELLS = 6
EVEN = np.full((CELLS, 1), 50.0)


def looks(
    burden: Burden, rate: np.ndarray, due: np.ndarray, times: int, *, seed: int = 1
) -> Burden:
    rng = np.random.default_rng(seed)
    for _ in range(times):
        burden = update_burden(burden, rng.poisson(rate).astype(float), due, dt_s=1.0)
    return burden


def with_a_hot_key(extra: float) -> np.ndarray:
    """The same whole, of which one cell has so much more."""
    rate: np.ndarray = EVEN * (1.0 - extra / EVEN.sum())
    rate[2] += extra
    return rate


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_no_burden(seed: int) -> None:
    burden = start_burden(CELLS, 1)
    for _ in range(60):
        burden = looks(burden, EVEN, EVEN, 10, seed=seed)
        assert not beyond_rps(burden).any()


def test_a_hot_key_is_known_within_seconds_and_taken_off_nobody_else() -> None:
    burden = looks(start_burden(CELLS, 1), EVEN, EVEN, 30)
    burden = looks(burden, with_a_hot_key(90.0), EVEN, 12)
    beyond = beyond_rps(burden)[:, 0]
    assert 35.0 < beyond[2] < 100.0
    assert beyond.sum() == pytest.approx(0.0, abs=1e-9)
    assert (np.delete(beyond, 2) < 0.0).all()


def test_what_the_plan_takes_away_changes_nothing_about_the_key() -> None:
    burden = looks(start_burden(CELLS, 1), with_a_hot_key(90.0), EVEN, 30)
    before = burden.held_rps[2, 0]
    due = EVEN.copy()
    due[2] = 10.0
    rate = due * (1.0 - 90.0 / EVEN.sum())
    rate[2] += 90.0
    after = looks(burden, rate, due, 30).held_rps[2, 0]
    assert after == pytest.approx(before, rel=0.3)


def test_a_key_that_cools_down_is_forgotten() -> None:
    burden = looks(start_burden(CELLS, 1), with_a_hot_key(90.0), EVEN, 30)
    assert beyond_rps(burden).any()
    assert not beyond_rps(looks(burden, EVEN, EVEN, 30)).any()


def test_silence_changes_nothing() -> None:
    burden = looks(start_burden(CELLS, 1), with_a_hot_key(90.0), EVEN, 30)
    unknown = np.full((CELLS, 1), np.nan)
    after = update_burden(burden, unknown, EVEN, dt_s=1.0)
    after = update_burden(after, EVEN, unknown, dt_s=1.0)
    np.testing.assert_array_equal(beyond_rps(after), beyond_rps(burden))


def test_a_class_without_keys_bears_nothing() -> None:
    nothing = np.zeros((CELLS, 1))
    burden = looks(start_burden(CELLS, 1), nothing, nothing, 20)
    assert not beyond_rps(burden).any()


@given(
    st.lists(st.floats(0.0, 1e4), min_size=CELLS, max_size=CELLS),
    st.lists(st.floats(0.0, 1e4), min_size=CELLS, max_size=CELLS),
)
def test_burdens_are_finite_and_add_up_to_nothing(rate: list[float], due: list[float]) -> None:
    burden = start_burden(CELLS, 1)
    for _ in range(3):
        burden = update_burden(burden, np.array(rate)[:, None], np.array(due)[:, None], dt_s=1.0)
    beyond = beyond_rps(burden)
    assert np.isfinite(beyond).all()
    assert (burden.held_rps >= 0.0).all()
    if sum(due) > 0.0:
        assert abs(beyond.sum()) <= 1e-6 * max(1.0, sum(rate))
