from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from foreshard.forecast.baseline import (
    HeadroomLearner,
    PredictLinearLearner,
    SeasonalNaiveLearner,
    restore,
)
from foreshard.forecast.baseline.ascent import fit_ascent
from foreshard.forecast.baseline.score import SCORES
from foreshard.forecast.history import History
from foreshard.forecast.learner import Snapshot
from foreshard.forecast.onset import BreachRule
from foreshard.model.errors import ForecastError
from foreshard.testing.conformance.learner import RULE, sample_history

LEARNERS = (HeadroomLearner(), PredictLinearLearner(), SeasonalNaiveLearner())


def one(series: list[float], *, step_s: float = 60.0) -> History:
    value = np.array(series, dtype=np.float32)[None, None]
    return History.of_gauges(value, cells=("a",), gauges=("g",), step_s=step_s)


def test_a_line_is_drawn_on_as_far_as_the_horizon() -> None:
    history = one([0.1 + 0.002 * t for t in range(100)])
    ahead = SCORES["predict-linear"](history, np.array([80]), (1200.0,))
    assert ahead[0, 0, 0, 0] == pytest.approx(0.1 + 0.002 * 100, abs=1e-6)


@given(st.lists(st.one_of(st.floats(0.0, 2.0), st.just(np.nan)), min_size=61, max_size=61))
def test_a_line_with_gaps_is_the_one_that_least_squares_gives(series: list[float]) -> None:
    found = SCORES["predict-linear"](one(series), np.array([60]), (300.0,))[0, 0, 0, 0]
    y = np.array(series, dtype=np.float32)[1:].astype(np.float64)
    heard = np.flatnonzero(~np.isnan(y))
    if len(heard) < 3:
        assert np.isnan(found)
    else:
        slope, offset = np.polyfit(heard, y[heard], 1)
        assert found == pytest.approx(offset + slope * (59 + 5), abs=1e-6)


def test_yesterday_is_the_most_of_the_same_stretch() -> None:
    series = [0.2] * 300
    series[100] = 0.9
    history = one(series, step_s=3600.0 / 6)
    score = SCORES["seasonal-naive"]
    at = np.array([100 + 144 - 3, 100 + 144 - 2, 100 + 144 - 1, 100 + 144])
    assert score(history, at, (1200.0,))[0, 0, 0].round(3).tolist() == [0.2, 0.9, 0.9, 0.2]
    assert np.isnan(score(history, np.array([50]), (1200.0,))).all()


def test_a_missing_sample_is_bridged_for_a_moment_only() -> None:
    history = one([0.5, np.nan, np.nan, np.nan])
    found = SCORES["headroom"](history, np.arange(4), (300.0,))[0, 0, 0]
    assert found[:3].tolist() == [0.5, 0.5, 0.5]
    assert np.isnan(found[3])


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda each: each.name)
def test_a_cell_in_which_nothing_counts_has_no_risk(learner: HeadroomLearner) -> None:
    history = sample_history()
    counts = history.counts.copy()
    counts[0] = False
    history = replace(history, counts=counts)
    model = learner.fit(history, RULE, (900.0,), seed=1)
    at = np.arange(1000, 1100)
    assert (model.risk(history, at).any[:, :, 0] == 0.0).all()
    declared = replace(history, declared=np.zeros((4, history.samples), dtype=bool))
    assert np.isnan(model.risk(declared, at).any[:, :, 0]).all()


def test_a_baseline_ranks_as_its_bare_score() -> None:
    history = sample_history()
    model = HeadroomLearner().fit(history, RULE, (900.0,), seed=1)
    at = np.arange(600, 900)
    p = model.risk(history, at).by_gauge[0, 0, 2, 0]
    bare = SCORES["headroom"](history, at, (900.0,))[0, 2, 0]
    assert np.array_equal(np.argsort(p, kind="stable"), np.argsort(bare, kind="stable"))


def test_a_cell_that_was_not_there_is_judged_by_the_others() -> None:
    history = sample_history()
    model = HeadroomLearner().fit(history, RULE, (900.0,), seed=1)
    new = replace(history, cells=("w", "x", "y", "z"))
    p = model.risk(new, np.arange(600, 700)).any
    assert np.isfinite(p[:, :, :3]).all()


def test_a_history_without_onset_gives_a_small_risk() -> None:
    calm = one([0.3 + 0.01 * (t % 7) for t in range(2000)])
    model = HeadroomLearner().fit(calm, BreachRule(), (300.0, 3600.0), seed=1)
    assert model.risk(calm, np.arange(100, 200)).any.max() < 0.01


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda each: each.name)
def test_nothing_is_learned_from_nothing(learner: HeadroomLearner) -> None:
    with pytest.raises(ForecastError, match=f"{learner.name}: the history is empty"):
        learner.fit(sample_history().until(0), RULE, (900.0,), seed=1)


@pytest.mark.parametrize(
    "bad",
    [
        Snapshot(kind="hazard", settings={}),
        Snapshot(kind="baseline", settings={"name": "nobody"}),
        Snapshot(kind="baseline", settings={"name": "headroom"}),
        Snapshot(kind="baseline", settings={"name": "headroom", "horizons_s": ["x"]}),
    ],
)
def test_a_damaged_snapshot_is_refused(bad: Snapshot) -> None:
    with pytest.raises(ForecastError, match="snapshot"):
        restore(bad)


@given(seed=st.integers(0, 1000), slope=st.floats(0.2, 3.0))
def test_the_curve_is_the_one_of_most_likelihood(seed: int, slope: float) -> None:
    chance = np.random.default_rng(seed)
    score = chance.normal(size=400)
    came_true = chance.random(400) < 1.0 / (1.0 + np.exp(2.0 - slope * score))
    hits = float(came_true.sum())
    target = np.where(came_true, (hits + 1) / (hits + 2), 1 / (402 - hits))

    def cost(theta: np.ndarray) -> float:
        z = theta[0] + theta[1] * score
        return float((np.logaddexp(0.0, z) - target * z).sum() + 0.5 * (theta[1] - 1.0) ** 2)

    best = minimize(cost, x0=[0.0, 1.0]).x
    found = fit_ascent(score, came_true)
    assert found[1] == pytest.approx(max(best[1], 0.01), abs=1e-2)
    if best[1] > 0.01:
        assert found[0] == pytest.approx(best[0], abs=1e-2)


def test_the_curve_is_finite_where_all_or_none_came_true() -> None:
    score = np.linspace(-3.0, 3.0, 50)
    for came_true in (np.zeros(50, dtype=bool), np.ones(50, dtype=bool)):
        offset, slope = fit_ascent(score, came_true)
        assert np.isfinite([offset, slope]).all()
        assert slope > 0.0
