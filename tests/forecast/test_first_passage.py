from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from foreshard.forecast.first_passage import passage_probability, passage_quantile_s
from foreshard.forecast.normal import erfcx, log_ndtr, ndtr

distances = st.floats(-1.0, 5.0)
drifts = st.floats(-0.2, 0.2)
noises = st.floats(0.0, 0.5)
spreads = st.floats(0.0, 0.1)
horizons = st.floats(0.1, 10_000.0)
more = st.floats(0.0, 1.0)


def p(d: float, m: float, s: float, h: float, v: float = 0.0) -> float:
    return float(passage_probability(d, m, s, h, v))


def test_the_normal_tail_agrees_with_scipy_far_out() -> None:
    x = np.linspace(-300.0, 30.0, 20_001)
    np.testing.assert_allclose(log_ndtr(x), special.log_ndtr(x), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ndtr(x[x > -35]), special.ndtr(x[x > -35]), rtol=2e-9)
    z = np.linspace(0.0, 1e4, 10_001)
    np.testing.assert_allclose(erfcx(z), special.erfcx(z), rtol=1e-9)


@given(distances, drifts, noises, horizons, spreads)
def test_a_probability_lies_between_nothing_and_certainty(
    d: float, m: float, s: float, h: float, v: float
) -> None:
    assert 0.0 <= p(d, m, s, h, v) <= 1.0


@given(st.floats(-1.0, 0.0), drifts, noises, horizons, spreads)
def test_a_limit_that_is_met_is_met(d: float, m: float, s: float, h: float, v: float) -> None:
    assert p(d, m, s, h, v) == 1.0


@given(distances, drifts, noises, horizons, spreads, more)
def test_more_time_more_drift_or_less_distance_never_help(
    d: float, m: float, s: float, h: float, v: float, extra: float
) -> None:
    here = p(d, m, s, h, v)
    assert p(d, m, s, h * (1.0 + extra), v) >= here - 1e-8
    assert p(d, m + extra * 0.1, s, h, v) >= here - 1e-8
    assert p(d - extra, m, s, h, v) >= here - 1e-8


@given(st.floats(0.05, 3.0), st.floats(0.005, 0.2), st.floats(0.01, 0.3), st.floats(1.0, 200.0))
def test_with_a_known_rising_drift_it_is_the_inverse_gaussian_law(
    d: float, m: float, s: float, h: float
) -> None:
    shape = d * d / (s * s)
    known = stats.invgauss.cdf(h, mu=(d / m) / shape, scale=shape)
    assert p(d, m, s, h) == pytest.approx(known, rel=1e-5, abs=1e-9)


@given(
    st.floats(0.05, 2.0),
    st.floats(-0.05, 0.05),
    st.floats(0.01, 0.2),
    st.floats(1.0, 100.0),
    st.floats(1e-3, 0.03),
)
def test_the_closed_form_is_the_integral_over_the_drift(
    d: float, m: float, s: float, h: float, v: float
) -> None:
    nodes = np.linspace(-9.0, 9.0, 6_001)
    values = passage_probability(d, m + v * nodes, s, h) * stats.norm.pdf(nodes)
    assert p(d, m, s, h, v) == pytest.approx(integrate.simpson(values, x=nodes), abs=2e-6)


def test_nothing_overflows_when_the_noise_is_tiny() -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert p(0.5, 0.01, 0.0, 60.0) == 1.0
        assert p(0.5, 0.01, 0.0, 40.0) < 1e-100
        assert p(0.5, 0.01, 1e-9, 60.0, 0.05) == pytest.approx(
            stats.norm.sf((0.5 / 60.0 - 0.01) / 0.05), rel=1e-6
        )
        assert p(0.5, -0.2, 1e-9, 3600.0) < 1e-100


def test_it_agrees_with_a_simulated_diffusion() -> None:
    rng = np.random.default_rng(5)
    d, m, s, h, v, steps = 0.4, 0.006, 0.03, 60.0, 0.004, 1_500
    paths = 4_000
    drift = rng.normal(m, v, paths)
    dt = h / steps
    level, alive = np.zeros(paths), np.ones(paths)
    for _ in range(steps):
        after = level + drift * dt + s * np.sqrt(dt) * rng.standard_normal(paths)
        # Between grid points the path may touch the limit too (Brownian bridge).
        touch = np.exp(-2.0 * np.maximum(d - level, 0) * np.maximum(d - after, 0) / (s * s * dt))
        alive *= 1.0 - touch
        level = after
    assert p(d, m, s, h, v) == pytest.approx(1.0 - alive.mean(), abs=0.025)


def test_quantiles_invert_the_probability_and_are_infinite_when_never() -> None:
    d = np.array([[0.5, 0.5, -0.1], [0.5, 0.5, -0.1]])
    m = np.array([[0.0, -0.1, 0.0], [0.02, -0.1, 0.0]])
    v = np.full((2, 3), 0.002)
    share = np.array([[0.2, 0.5, 1.0], [0.8, 0.5, 0.0]])
    noise = np.full(3, 0.01)
    late = 0.0
    for q in (0.1, 0.5, 0.75):
        t = passage_quantile_s(q, d, m, noise, v, share, beyond_s=600.0)
        mixed = share[:, 0] @ passage_probability(d[:, 0], m[:, 0], 0.01, t[0], v[:, 0])
        assert mixed == pytest.approx(q, abs=1e-6)
        assert t[0] > late
        assert np.isinf(t[1])
        assert t[2] == 0.0
        late = float(t[0])
