from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foreshard.forecast.demand import DemandState, quantile_rps, start, update
from foreshard.model.errors import ForecastError

readings = hnp.arrays(
    np.float64,
    (15, 2),
    elements=st.one_of(st.just(float("nan")), st.floats(0.0, 1e5)),
)


def run(demand: np.ndarray) -> DemandState:
    state = start(demand.shape[1])
    for reading in demand:
        state = update(state, reading, dt_s=1.0)
    return state


def test_calm_demand_is_covered_nine_times_in_ten() -> None:
    rng = np.random.default_rng(3)
    rate = 200.0 * (1.0 + 0.15 * np.sin(2 * np.pi * np.arange(900) / 240))
    demand = rng.poisson(rate[:, None], (900, 20)).astype(float)
    state, covered, over = start(20), [], []
    for i in range(895):
        if i > 30:
            upper = quantile_rps(state, ahead_s=5.0)
            truth = demand[i : i + 5].mean(axis=0)
            covered.append(truth <= upper)
            over.append(upper / truth)
        state = update(state, demand[i], dt_s=1.0)
    assert 0.85 < np.mean(covered) < 0.995
    assert np.mean(over) < 1.12


def test_a_surge_is_followed_at_once_and_one_odd_second_left_at_once() -> None:
    rng = np.random.default_rng(4)
    calm = rng.poisson(100.0, (60, 1)).astype(float)
    odd = update(run(calm), np.array([400.0]), dt_s=1.0)
    assert odd.level_rps[0] == 400.0, "a queue would not wait either"
    assert update(odd, np.array([100.0]), dt_s=1.0).level_rps[0] < 115.0
    state = run(np.concatenate([calm, rng.poisson(250.0, (4, 1))]))
    assert state.level_rps[0] > 220.0
    settled = run(np.concatenate([calm, rng.poisson(250.0, (30, 1))]))
    assert settled.level_rps[0] == pytest.approx(250.0, rel=0.1)


def test_silence_holds_the_level_and_widens_the_doubt() -> None:
    state = run(np.random.default_rng(5).poisson(100.0, (60, 1)).astype(float))
    before, level = quantile_rps(state, ahead_s=5.0), state.level_rps
    for _ in range(30):
        state = update(state, np.array([np.nan]), dt_s=1.0)
    assert state.level_rps == level
    assert quantile_rps(state, ahead_s=5.0) > before
    assert quantile_rps(state, ahead_s=5.0, deviations=0.0) > 50.0


def test_a_flow_never_heard_of_is_unknown_not_zero() -> None:
    state = update(start(2), np.array([np.nan, 0.0]), dt_s=1.0)
    upper = quantile_rps(state, ahead_s=5.0)
    assert np.isnan(upper[0])
    assert upper[1] >= 0.0


@settings(max_examples=60, deadline=None)
@given(readings)
def test_any_readings_give_finite_levels_that_are_not_negative(demand: np.ndarray) -> None:
    state = run(demand)
    heard = ~np.isnan(demand).all(axis=0)
    assert np.array_equal(heard, ~np.isnan(state.level_rps))
    assert np.all(state.level_rps[heard] >= 0.0)
    middle = quantile_rps(state, ahead_s=10.0, deviations=0.0)
    assert np.all(quantile_rps(state, ahead_s=10.0)[heard] >= middle[heard])


def test_what_cannot_be_demand_is_refused() -> None:
    with pytest.raises(ForecastError, match="shape"):
        update(start(2), np.zeros(3), dt_s=1.0)
    with pytest.raises(ForecastError, match="dt_s"):
        update(start(1), np.zeros(1), dt_s=0.0)
    with pytest.raises(ForecastError, match="demand"):
        update(start(1), np.array([-1.0]), dt_s=1.0)
