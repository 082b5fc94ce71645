from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.forecast.calibration import Correction, fit_correction, log_odds, probability

Z = np.linspace(-6.0, 2.0, 4000)


def drawn(p: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(len(p)) < p


def test_a_model_that_is_too_sure_is_put_right() -> None:
    truth = 0.5 * Z - 1.0
    found = fit_correction(Z[None], drawn(probability(truth))[None], np.ones((1, len(Z))))
    assert found.slope[0, 0] == pytest.approx(0.5, abs=0.1)
    assert found.offset[0] == pytest.approx(-1.0, abs=0.2)


def test_a_model_that_is_right_is_left_alone() -> None:
    found = fit_correction(Z[None], drawn(probability(Z))[None], np.ones((1, len(Z))))
    assert found.apply(Z[None])[0] == pytest.approx(probability(Z), abs=0.03)


def test_a_few_samples_hardly_move_it() -> None:
    z = np.array([[-3.0, -3.0, -3.0]])
    found = fit_correction(z, np.zeros((1, 3), dtype=bool), np.ones((1, 3)))
    assert found.apply(z)[0, 0] == pytest.approx(probability(np.array(-3.0)), rel=0.3)


def test_what_is_not_known_counts_for_nothing() -> None:
    came = drawn(probability(Z))[None]
    weight = np.ones((1, len(Z)))
    wrong = np.concatenate([came, np.ones((1, 500), dtype=bool)], axis=1)
    z = np.concatenate([Z, np.full(500, -6.0)])[None]
    unknown = np.concatenate([weight, np.zeros((1, 500))], axis=1)
    one, other = fit_correction(Z[None], came, weight), fit_correction(z, wrong, unknown)
    assert other.slope == pytest.approx(one.slope)


def test_no_slope_is_negative_even_where_a_score_misleads() -> None:
    z = np.stack([Z, -Z])
    came = drawn(probability(Z))
    found = fit_correction(z, np.stack([came, came]), np.ones((2, len(Z))))
    assert (found.slope >= 0.0).all()


@given(st.lists(st.floats(-8.0, 8.0), min_size=2, max_size=2))
def test_the_curve_without_a_past_changes_nothing(z: list[float]) -> None:
    both = np.array(z)[:, None]
    assert Correction.none(2).apply(both) == pytest.approx(probability(both))


def test_what_is_not_said_stays_unsaid() -> None:
    p = Correction.none(2).apply(np.array([[np.nan, 0.0], [0.0, 0.0]]))
    assert np.isnan(p[:, 0]).all()
    assert p[:, 1] == pytest.approx(0.5)


def test_log_odds_are_finite_for_certainty() -> None:
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
