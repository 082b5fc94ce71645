import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.forecast.season import surprise

CHANCE = np.random.default_rng(3)


def noise(samples: int = 6_000) -> np.ndarray:
    return (0.5 + 0.05 * CHANCE.normal(size=(1, samples))).astype(np.float32)


def test_the_odds_are_those_of_the_maximum_ahead_that_lasts() -> None:
    value = noise()
    expected = np.full((1, value.shape[1]), 0.5)
    known = surprise.quantiles_of(value, expected, horizon=20, sustain=2)
    fresh = noise(40_000)[0]
    lasted = np.minimum(fresh[1:], fresh[:-1])
    came = np.lib.stride_tricks.sliding_window_view(lasted, 20).max(axis=1)
    for limit in (0.54, 0.57, 0.60):
        odds = surprise.odds_above(np.array([[limit - 0.5]]), known)[0, 0]
        assert odds == pytest.approx(float((came > limit).mean()), abs=0.05)


@settings(deadline=None)
@given(st.lists(st.floats(-3.0, 3.0), min_size=2, max_size=20))
def test_more_room_is_less_risk(room: list[float]) -> None:
    value = np.random.default_rng(0).normal(0.5, 0.05, size=(1, 2_000)).astype(np.float32)
    known = surprise.quantiles_of(value, np.full((1, 2_000), 0.5), horizon=5, sustain=1)
    odds = surprise.odds_above(np.sort(np.array([room])), known)[0]
    assert (np.diff(odds) <= 0.0).all()
    assert (odds > 0.0).all()
    assert (odds <= 1.0).all()


def test_what_stands_off_its_curve_fades_back_as_fast_as_it_did() -> None:
    x = np.zeros(20_000)
    for t in range(1, len(x)):
        x[t] = 0.98 * x[t - 1] + CHANCE.normal(0.0, 0.01)
    value = (0.5 + x)[None].astype(np.float32)
    off = surprise.standing_off(value, np.full(value.shape, 0.5))
    assert surprise.fading_of(off)[0] == pytest.approx(0.98, abs=0.02)
    ahead = surprise.expected_most(
        np.full((1, 30), 0.5), np.array([[0.2]]), np.array([0.9]), horizon=10
    )
    assert ahead[0, 0] == pytest.approx(0.5 + 0.2 * 0.9)


def test_the_highest_point_of_the_curve_ahead_is_expected() -> None:
    curve = np.zeros((1, 30))
    curve[0, 12] = 0.7
    most = surprise.expected_most(curve, np.zeros((1, 20)), np.ones(1), horizon=5)[0]
    assert np.flatnonzero(most == 0.7).tolist() == [7, 8, 9, 10, 11]


def test_too_short_a_past_has_no_quantiles() -> None:
    known = surprise.quantiles_of(noise(100), np.full((1, 100), 0.5), horizon=5, sustain=1)
    assert np.isnan(known).all()
    assert np.isnan(surprise.odds_above(np.zeros((1, 3)), known)).all()
