from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from foreshard.profile.nonnegative import solve_nonnegative


@given(seed=st.integers(0, 10_000), size=st.integers(1, 12), tilt=st.floats(-2.0, 2.0))
def test_it_finds_the_minimum_that_scipy_finds(seed: int, size: int, tilt: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size + 5, size)) * rng.uniform(0.01, 100.0, size)
    y = rng.normal(tilt, 1.0, size + 5)
    found = solve_nonnegative(x.T @ x, x.T @ y)
    _, least = nnls(x, y)
    assert np.all(found >= 0.0)
    assert np.linalg.norm(x @ found - y) == pytest.approx(least, rel=1e-6)


def test_with_nothing_to_find_it_finds_nothing() -> None:
    assert solve_nonnegative(np.zeros((0, 0)), np.zeros(0)).size == 0
    np.testing.assert_array_equal(solve_nonnegative(np.eye(3), -np.ones(3)), np.zeros(3))
