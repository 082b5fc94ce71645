import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from foreshard.forecast.baseline.ascent import fit_ascent


def fitted_by_another(score: np.ndarray, came_true: np.ndarray) -> np.ndarray:
    """The same objective, minimised by SciPy."""
    hits, misses = came_true.sum(), (~came_true).sum()
    target = np.where(came_true, (hits + 1.0) / (hits + 2.0), 1.0 / (misses + 2.0))

    def cost(theta: np.ndarray) -> float:
        odds = theta[0] + theta[1] * score
        fit = np.sum(np.logaddexp(0.0, odds) - target * odds)
        return float(fit + 0.5 * (theta[1] - 1.0) ** 2)

    found: np.ndarray = minimize(cost, [0.0, 1.0], tol=1e-10).x
    return found


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.1, 8.0),
    st.floats(-12.0, 3.0),
    st.floats(0.5, 5.0),
)
def test_the_curve_is_the_best_one_however_far_from_the_start(
    seed: int, slope: float, offset: float, spread: float
) -> None:
    chance = np.random.default_rng(seed)
    score = chance.normal(0.0, spread, size=500) * chance.choice([1.0, 4.0], size=500)
    came_true = chance.random(500) < 1.0 / (1.0 + np.exp(-(offset + slope * score)))
    found, wanted = fit_ascent(score, came_true), fitted_by_another(score, came_true)
    if wanted[1] > 0.02:
        assert found == pytest.approx(wanted, rel=1e-2, abs=1e-2)


def test_scores_that_nearly_part_hits_from_misses_do_not_make_it_swing() -> None:
    score = np.concatenate([np.linspace(-1.5, 0.5, 2_000), np.linspace(4.0, 9.8, 100)])
    came_true = score > 7.0
    offset, slope = fit_ascent(score, came_true)
    p = 1.0 / (1.0 + np.exp(-(offset + slope * score)))
    assert p.mean() == pytest.approx(came_true.mean(), rel=0.05)


def test_scores_that_mislead_leave_the_level_right() -> None:
    score = np.linspace(50.0, 60.0, 1_000)
    came_true = np.arange(1_000) < 100
    offset, slope = fit_ascent(score, came_true)
    assert slope > 0.0
    p = 1.0 / (1.0 + np.exp(-(offset + slope * score)))
    assert p.mean() == pytest.approx(0.1, rel=0.05)


def test_nothing_to_learn_from_gives_even_odds() -> None:
    offset, slope = fit_ascent(np.zeros(0), np.zeros(0, dtype=bool))
    assert (offset, slope) == (0.0, 1.0)
