from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.forecast.drift import DriftPosterior, DriftPrior, estimate_drift
from foreshard.forecast.first_passage import passage_probability
from foreshard.forecast.noise import estimate_noise
from foreshard.forecast.plain import row_medians
from foreshard.forecast.regimes import clean
from foreshard.model.errors import ForecastError, InvalidValueError

PRIOR = DriftPrior.for_horizons((20.0, 60.0))


def posterior(value: np.ndarray, dt_s: float = 1.0) -> DriftPosterior:
    time_s = 1_000.0 + dt_s * np.arange(value.shape[1], dtype=np.float64)
    return estimate_drift(time_s, value, pools=1, prior=PRIOR)


def flat(seconds: int, *, cells: int = 6, sd: float = 0.015, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.45 + rng.normal(0.0, sd, (cells, seconds))


def test_medians_skip_what_is_missing() -> None:
    x = np.array([[3.0, np.nan, 1.0, 2.0], [np.nan, np.nan, np.nan, np.nan], [4.0, 1.0, 2.0, 3.0]])
    middle, count = row_medians(x)
    np.testing.assert_allclose(middle, [2.0, np.nan, 2.5])
    assert count.tolist() == [3, 0, 4]


def test_measurement_noise_is_told_from_wandering() -> None:
    rng = np.random.default_rng(2)
    white = rng.normal(0.0, 0.05, (40, 120))
    walk = np.cumsum(rng.normal(0.0, 0.02, (40, 120)), axis=1)
    still = estimate_noise(white, pools=1, dt_s=1.0)
    moving = estimate_noise(white + walk, pools=1, dt_s=1.0)
    assert np.median(np.sqrt(still.measurement_var)) == pytest.approx(0.05, rel=0.1)
    assert np.median(np.sqrt(still.process_var)) < 0.004
    assert np.median(np.sqrt(moving.process_var)) == pytest.approx(0.02, rel=0.4)


def test_a_steady_ramp_is_no_noise() -> None:
    ramp = flat(90) + 0.01 * np.arange(90)
    noise = estimate_noise(ramp, pools=1, dt_s=1.0)
    assert np.all(np.sqrt(noise.measurement_var) < 0.02)
    assert np.all(np.sqrt(noise.process_var) < 0.005)


def test_a_leap_that_stays_is_never_taken_for_a_ramp() -> None:
    """A nightly batch, told once a second or once a minute: step and plateau."""
    for age in range(2, 80, 3):
        value = flat(120, cells=8, sd=0.01, seed=age)
        value[:, 120 - age :] += 0.2
        seen = posterior(value, dt_s=1.0)
        p = passage_probability(1.0 - seen.level, seen.drift, seen.noise, 60.0, seen.drift_sd)
        assert np.median((seen.share * p).sum(axis=0)) < 0.1, age


def test_a_leap_is_left_to_the_explanations_while_it_is_young() -> None:
    value = np.full((1, 60), 0.3)
    value[0, 60 - 16 :] = 0.6
    assert not np.isnan(clean(value, sd=np.array([0.01])).value).any()
    value[0, 60 - 17 :] = 0.6
    cleaned = clean(value, sd=np.array([0.01])).value
    assert np.isnan(cleaned[0, : 60 - 17]).all()
    assert not np.isnan(cleaned[0, 60 - 17 :]).any()


def test_a_lone_spike_is_blunted_and_a_ramp_is_not() -> None:
    value = np.full((1, 20), 0.3)
    value[0, 10] = 0.9
    value[0, 15:] += 0.1 * np.arange(1, 6)
    cleaned = clean(value, sd=np.array([0.01]))
    assert cleaned.value[0, 10] == pytest.approx(0.33)
    np.testing.assert_allclose(cleaned.value[0, 15:], value[0, 15:])
    assert cleaned.last_doubt[0] > 1.0


def test_what_was_before_a_restart_is_forgotten() -> None:
    value = flat(60, cells=1)
    value[0, :40] = np.linspace(0.4, 0.99, 40)
    value[0, 40:46] = np.nan
    cleaned = clean(value, sd=np.array([0.015]))
    assert np.isnan(cleaned.value[0, :40]).all()
    assert not np.isnan(cleaned.value[0, 46:]).any()
    told = posterior(value)
    assert told.share[1, 0] < 0.2
    assert told.level[0, 0] == pytest.approx(0.45, abs=0.03)


def test_a_ramp_is_believed_and_measured_within_eight_seconds() -> None:
    value = flat(90)
    value[2, 82:] += 0.014 * np.arange(1, 9)
    told = posterior(value)
    assert told.share[1, 2] > 0.9
    assert told.drift[1, 2] == pytest.approx(0.014, rel=0.4)
    assert np.all(np.delete(told.share[1], 2) < 0.1)


def test_a_step_is_not_a_ramp() -> None:
    value = flat(90)
    value[2, 82:] += 0.15
    assert posterior(value).share[1, 2] < 0.1


def test_a_new_cell_is_not_confident() -> None:
    told = posterior(flat(90, cells=1)[:, :3] + 0.02 * np.arange(3))
    assert told.share[1, 0] < 0.1
    assert told.drift_sd[0, 0] > 0.5 * PRIOR.slow_sd_per_s


def test_gaps_are_bridged_and_the_unknown_stays_unknown() -> None:
    value = flat(90)
    value[0] = np.nan
    value[1, 30:60] = np.nan
    told = posterior(value)
    assert np.isnan(told.level[:, 0]).all()
    assert told.samples[0] == 0
    assert told.level[0, 1] == pytest.approx(0.45, abs=0.02)
    assert told.samples[1] == 60


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 1_000))
def test_any_window_gives_finite_shares_that_sum_to_one(
    length: int, cells: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    value = rng.random((cells, length))
    value[rng.random((cells, length)) < 0.3] = np.nan
    told = posterior(value, dt_s=float(rng.uniform(0.5, 15.0)))
    seen = told.samples > 0
    np.testing.assert_allclose(told.share[:, seen].sum(axis=0), 1.0)
    for field in (told.level, told.level_sd, told.drift, told.drift_sd):
        assert np.isfinite(field[:, seen]).all()


def test_a_cell_is_judged_alike_in_any_company_of_its_size() -> None:
    """Rows are worked in chunks; the chunk a row falls into must not matter."""
    value = np.tile(flat(40, cells=5), (500, 1))
    told = posterior(value)
    np.testing.assert_allclose(told.drift[:, :5], told.drift[:, -5:], rtol=1e-12)


def test_probabilities_of_true_diffusions_are_calibrated() -> None:
    """Cells that walk with a drift drawn from what the prior expects: said and seen must agree."""
    rng = np.random.default_rng(9)
    cells, seen, horizon = 1_500, 60, 60
    ramp = rng.random(cells) < 0.5
    drift = np.where(ramp, rng.normal(0.0, 1 / 60, cells), rng.normal(0.0, 1 / 600, cells))
    onset = rng.integers(10, 50, cells)
    steps = rng.normal(0.0, 0.012, (cells, seen + horizon))
    steps += drift[:, None] * (~ramp[:, None] | (np.arange(seen + horizon) >= onset[:, None]))
    level = 0.3 + np.cumsum(steps, axis=1)
    open_ = level[:, :seen].max(axis=1) < 0.95
    value = level[:, :seen] + rng.normal(0.0, 0.015, (cells, seen))
    prior = DriftPrior(
        ramp_probability=0.5,
        step_probability=0.02,
        ramp_scales_per_s=(1 / 60,),
        slow_sd_per_s=1 / 600,
    )
    told = estimate_drift(np.arange(float(seen)), value, pools=1, prior=prior)
    noise = np.hypot(told.noise, told.level_sd / np.sqrt(horizon))
    p = (
        told.share
        * passage_probability(1.0 - told.level, told.drift, noise, horizon, told.drift_sd)
    ).sum(axis=0)[open_]
    # The limit is watched once a second, the law watches always: 0.58 s sqrt(dt) further away.
    met = (level[:, seen:].max(axis=1) >= 1.0 - 0.58 * 0.012)[open_]
    assert abs(p.mean() - met.mean()) < 0.03
    for low, high in ((0.0, 0.1), (0.1, 0.35), (0.35, 0.65), (0.65, 0.9), (0.9, 1.01)):
        among = (p >= low) & (p < high)
        assert among.sum() > 20
        assert abs(p[among].mean() - met[among].mean()) < 0.14, (low, p[among].mean())


@pytest.mark.parametrize("ramp", [0.0, 1.0])
def test_a_prior_that_leaves_no_doubt_is_refused(ramp: float) -> None:
    with pytest.raises(InvalidValueError, match="ramp_probability"):
        DriftPrior(ramp_probability=ramp, ramp_scales_per_s=(0.1,), slow_sd_per_s=0.1)


def test_time_that_stands_still_is_refused() -> None:
    with pytest.raises(ForecastError, match="rise"):
        estimate_drift(np.zeros(3), np.zeros((1, 3)), pools=1, prior=PRIOR)
