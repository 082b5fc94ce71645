"""What is compiled says what its reference in NumPy says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from foreshard.forecast import plain
from foreshard.forecast.band import band_of, drift_quantile, mixture_of, probability_band
from foreshard.forecast.compiled.passage import passage_mixed, passage_times, passage_within
from foreshard.forecast.compiled.scatter import block_differences, clipped_squares
from foreshard.forecast.compiled.view import uncounted
from foreshard.forecast.drift import Basis, DriftPosterior, DriftPrior, estimate_drift
from foreshard.forecast.first_passage import passage_probability, passage_quantile_s
from foreshard.forecast.noise import CLIP_SDS, FLOOR_SD, MAD_TO_SD, estimate_noise, reading_sd
from foreshard.forecast.regimes import clean

HORIZONS_S = (20.0, 60.0)
PRIOR = DriftPrior.for_horizons(HORIZONS_S)
# More rows than a block has, and not a whole number of blocks.
ROWS = 84


def readings(seed: int, *, steps: int) -> np.ndarray:
    """Noise, ramps, steps, falls, spikes, gaps; a row without readings, and one with one."""
    rng = np.random.default_rng(seed)
    value = 0.5 + 0.02 * rng.standard_normal((ROWS, steps))
    ages = np.arange(steps)
    value[::5] += 0.01 * np.maximum(ages - steps // 2, 0)
    value[1::7, steps // 3 :] -= 0.3
    value[2::7, steps // 3 :] += 0.2
    value[rng.random(value.shape) < 0.03] += 0.4
    value[rng.random(value.shape) < 0.1] = np.nan
    value[3], value[4] = np.nan, np.nan
    value[4, steps // 2] = 0.4
    return value


def estimated(seed: int, *, steps: int) -> tuple[DriftPosterior, DriftPosterior]:
    """Compiled, and by the reference."""
    value, time_s = readings(seed, steps=steps), np.arange(steps, dtype=np.float64)
    told = estimate_drift(time_s, value, pools=3, prior=PRIOR)
    cleaned = plain.clean(value, sd=reading_sd(value, pools=3))
    noise = estimate_noise(cleaned.value, pools=3, dt_s=1.0)
    var = np.repeat(noise.measurement_var[:, None], steps, axis=1)
    var[:, -1] *= cleaned.last_doubt
    basis = Basis.over(time_s, PRIOR)
    return told, plain.posterior(time_s, cleaned.value, var, noise.process_var, basis)


@given(st.integers(0, 2**32), st.sampled_from([3, 5, 8, 40]))
@settings(max_examples=15, deadline=None)
def test_the_filter_and_its_explanations_follow_the_reference(seed: int, steps: int) -> None:
    told, read = estimated(seed, steps=steps)
    for field in fields(DriftPosterior):
        one, other = getattr(told, field.name), getattr(read, field.name)
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-11, err_msg=field.name)


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 4, 30]))
@settings(max_examples=20, deadline=None)
def test_cleaning_follows_the_reference_to_the_bit(seed: int, steps: int) -> None:
    value = readings(seed, steps=steps)
    sd = np.random.default_rng(seed).uniform(0.002, 0.05, ROWS)
    told, read = clean(value, sd=sd), plain.clean(value, sd=sd)
    assert np.array_equal(told.value, read.value, equal_nan=True)
    np.testing.assert_allclose(told.last_doubt, read.last_doubt, rtol=1e-12)


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 8]), st.sampled_from([2, 6, 30]))
@settings(max_examples=20, deadline=None)
def test_scatter_follows_the_reference(seed: int, block: int, steps: int) -> None:
    value = readings(seed, steps=steps)
    ordered = np.sort(block_differences(value, block), axis=1)
    variance, count = clipped_squares(ordered, CLIP_SDS * MAD_TO_SD, CLIP_SDS * FLOOR_SD)
    expected, seen = plain.clipped_variance(value, block)
    np.testing.assert_allclose(variance, expected, rtol=1e-9)
    assert np.array_equal(count, seen)


@pytest.mark.parametrize("seed", range(3))
def test_first_passage_follows_the_reference(seed: int) -> None:
    of, _ = estimated(seed, steps=40)
    rows = np.arange(ROWS)
    mixture = mixture_of(of, rows)
    for horizon_s in HORIZONS_S:
        for load in (0.0, 1.0, 1.5):
            noise = load * np.hypot(of.noise, of.level_sd / np.sqrt(horizon_s))
            p = passage_probability(
                1.0 - load * of.level, load * of.drift, noise, horizon_s, load * of.drift_sd
            )
            mixed = passage_mixed(mixture, rows, horizon_s, load)
            np.testing.assert_allclose(mixed, (of.share * p).sum(axis=0), atol=1e-12)
        p = passage_probability(1.0 - of.level, of.drift, of.noise, horizon_s, of.drift_sd)
        within = passage_within(mixture, horizon_s)
        np.testing.assert_allclose(within, (of.share * p).sum(axis=0), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_times_to_a_limit_follow_the_reference(seed: int) -> None:
    of, _ = estimated(seed, steps=40)
    known = np.flatnonzero(of.samples > 0.0)
    quantiles = np.array([0.1, 0.5, 0.9])
    told = passage_times(mixture_of(of, known), quantiles, 300.0)
    for i, q in enumerate(quantiles.tolist()):
        expected = passage_quantile_s(
            q,
            1.0 - of.level[:, known],
            of.drift[:, known],
            of.noise[known],
            of.drift_sd[:, known],
            of.share[:, known],
            beyond_s=300.0,
        )
        np.testing.assert_allclose(told[i], expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_of_the_drift_and_bands_follow_the_reference(seed: int) -> None:
    of, _ = estimated(seed, steps=40)
    for q in (0.1, 0.9):
        expected = plain.drift_quantile(of, q)
        np.testing.assert_allclose(drift_quantile(of, q), expected, rtol=1e-9, atol=1e-12)
    rows = of.samples > 0.0
    band = probability_band(of, HORIZONS_S, rows)
    np.testing.assert_allclose(band, plain.probability_band(of, HORIZONS_S, rows), atol=1e-6)
    some = np.flatnonzero(rows)[:5]
    assert np.array_equal(band_of(mixture_of(of, some), HORIZONS_S), band[:, :, some])


@njit
def doubled(x: np.ndarray) -> None:
    """Doubles every other row, through slices of a view."""
    view = uncounted(x)
    for row in range(0, view.shape[0], 2):
        part = view[row, 1:]
        part *= 2.0


@pytest.mark.parametrize("laid", [np.ascontiguousarray, np.asfortranarray])
def test_a_view_without_an_owner_is_the_array_itself(laid: Callable[..., np.ndarray]) -> None:
    x = laid(np.arange(12.0).reshape(3, 4))
    references = sys.getrefcount(x)
    doubled(x)
    assert x.tolist() == [[0, 2, 4, 6], [4, 5, 6, 7], [8, 18, 20, 22]]
    assert sys.getrefcount(x) == references
