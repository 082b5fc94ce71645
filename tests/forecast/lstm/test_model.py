import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.forecast.baseline.learner import HeadroomLearner
from foreshard.forecast.history import History
from foreshard.forecast.learner import RiskModel, Snapshot
from foreshard.forecast.lstm.course import Course
from foreshard.forecast.lstm.model import LstmModel, restore
from foreshard.forecast.onset import BreachRule, find_onsets, labels
from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.testing.conformance.learner import check_learner
from tests.forecast.lstm.fleet import DAY, HASTY, HORIZONS_S, LEARNER, RULE, fleet

TRAINED = 9 * DAY
HISTORY = fleet()


@pytest.fixture(scope="module")
def model() -> LstmModel:
    return LEARNER.fit(HISTORY.until(TRAINED), RULE, HORIZONS_S, seed=0)


def average_precision(y: NDArray[np.bool_], p: NDArray[np.float32]) -> float:
    order = np.argsort(-p, kind="stable")
    hits = y[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def judged(model: RiskModel, horizon: int) -> tuple[float, float]:
    """Average precision on what came after training, and the prevalence."""
    at = np.arange(TRAINED, HISTORY.samples, dtype=np.int64)
    onsets = find_onsets(HISTORY, RULE)
    y, known = labels(onsets, HISTORY.steps(HORIZONS_S[horizon]))
    use = (onsets.scored & known)[:, at]
    p = model.risk(HISTORY, at).any[horizon, 0]
    return average_precision(y[:, at][use], p[use]), float(y[:, at][use].mean())


def test_it_keeps_the_contract_of_learners() -> None:
    check_learner(HASTY, restore=restore)


def test_it_learns_ramps_and_seasons(model: LstmModel) -> None:
    headroom = HeadroomLearner().fit(HISTORY.until(TRAINED), RULE, HORIZONS_S, seed=0)
    for horizon in (0, 1):
        found, prevalence = judged(model, horizon)
        bare, _ = judged(headroom, horizon)
        assert found > 8.0 * prevalence
        assert found > 1.3 * bare


def test_its_probabilities_are_as_often_true_as_they_say(model: LstmModel) -> None:
    at = np.arange(TRAINED, HISTORY.samples, dtype=np.int64)
    onsets = find_onsets(HISTORY, RULE)
    y, known = labels(onsets, HISTORY.steps(HORIZONS_S[1]))
    use = (onsets.scored & known)[:, at]
    p = model.risk(HISTORY, at).any[1, 0][use]
    truth = y[:, at][use]
    assert abs(p.mean() - truth.mean()) < 0.25 * truth.mean()
    assert truth[p > 0.5].mean() > 0.5
    assert truth[p < 0.1].mean() < 0.1


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    history = HISTORY.until(4 * DAY)
    one, same = (HASTY.fit(history, RULE, HORIZONS_S, seed=5) for _ in range(2))
    other = HASTY.fit(history, RULE, HORIZONS_S, seed=6)
    for name, weights in one.weights.items():
        assert np.array_equal(weights, same.weights[name])
    assert not np.array_equal(one.weights["into"], other.weights["into"])


def test_what_comes_back_from_a_snapshot_says_the_same_to_the_last_bit(model: LstmModel) -> None:
    at = np.arange(TRAINED, TRAINED + 50, dtype=np.int64)
    again = restore(model.snapshot())
    assert again.snapshot().settings == model.snapshot().settings
    one, other = (m.risk(HISTORY, at, loads=(0.5, 1.0)) for m in (model, again))
    assert np.array_equal(one.any, other.any, equal_nan=True)
    assert np.array_equal(one.by_gauge, other.by_gauge, equal_nan=True)


def damaged(snapshot: Snapshot, how: str) -> Snapshot:
    settings, arrays = dict(snapshot.settings), dict(snapshot.arrays)
    if how == "kind":
        return replace(snapshot, kind="hazard")
    if how == "edition":
        settings["edition"] = 99
    elif how == "channels":
        settings["channels"] = ["level"]
    elif how == "told":
        settings["told"] = "many"
    elif how == "missing":
        del arrays["across"]
    elif how == "not finite":
        arrays["deep"] = np.full_like(arrays["deep"], np.nan)
    elif how == "shape":
        arrays["out"] = arrays["out"][:, :-1]
    elif how == "flat":
        arrays["into"] = arrays["into"].ravel()
    elif how == "horizons":
        settings["horizons_s"] = [60.0]
    return replace(snapshot, settings=settings, arrays=arrays)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kind", "of kind 'hazard'"),
        ("edition", "train the model again"),
        ("channels", "train the model again"),
        ("told", "told is 'many'"),
        ("missing", "no numbers called 'across'"),
        ("not finite", "deep is not finite"),
        ("shape", "out has shape"),
        ("flat", "into has no axis of nets"),
        ("horizons", "offset has shape"),
    ],
)
def test_a_foreign_or_damaged_snapshot_is_refused(model: LstmModel, how: str, words: str) -> None:
    with pytest.raises(ForecastError, match=words):
        restore(damaged(model.snapshot(), how))


def test_risk_rises_with_horizon_and_load_and_load_moves_only_what_it_moves(
    model: LstmModel,
) -> None:
    moved = replace(HISTORY, scales_with_load=np.array([False, True]))
    at = np.arange(TRAINED, TRAINED + 2 * DAY, 7, dtype=np.int64)
    risk = model.risk(moved, at, loads=(0.25, 0.5, 1.0, 2.0))
    assert (np.diff(risk.any, axis=0) >= 0.0).all()
    assert (np.diff(risk.any, axis=1) >= 0.0).all()
    # The queue at 0.4 of its limit is over its limit at a load three times as high.
    queue = risk.by_gauge[1, :, :, 1]
    assert np.median(queue[3] - queue[2]) > 0.05
    assert np.median(queue[0]) < 0.05


def test_horizons_of_any_length_can_be_asked_for() -> None:
    horizons_s = (600.0, 900.0, 7200.0)
    found = HASTY.fit(HISTORY.until(4 * DAY), RULE, horizons_s, seed=0)
    assert found.risk(HISTORY, np.array([5 * DAY])).any.shape == (3, 1, 6, 1)


def test_gaps_are_bridged_and_silence_is_not_spoken_of(model: LstmModel) -> None:
    value = HISTORY.value.copy()
    value[0, :, ::7] = np.nan
    value[1, :, TRAINED - 50 :] = np.nan
    value[2, 1, TRAINED - 50 :] = np.nan
    risk = model.risk(replace(HISTORY, value=value), np.array([TRAINED + 30]))
    assert np.isfinite(risk.any[:, 0, [0, 2, 3], 0]).all()
    assert np.isnan(risk.any[:, 0, 1, 0]).all()
    assert np.isnan(risk.by_gauge[:, 0, 2, 1, 0]).all()
    assert np.isfinite(risk.by_gauge[:, 0, 2, 0, 0]).all()


def test_of_a_cell_without_history_nothing_is_said_until_there_is_some(model: LstmModel) -> None:
    value = HISTORY.value.copy()
    value[5, :, :TRAINED] = np.nan
    at = np.array([TRAINED - 1, TRAINED + 5, TRAINED + 40])
    said = np.isfinite(model.risk(replace(HISTORY, value=value), at).any[0, 0, 5])
    assert said.tolist() == [False, False, True]


def test_a_cell_in_which_nothing_counts_cannot_fail(model: LstmModel) -> None:
    counts = HISTORY.counts.copy()
    counts[3] = False
    risk = model.risk(replace(HISTORY, counts=counts), np.array([TRAINED]))
    assert (risk.any[:, 0, 3] == 0.0).all()
    assert np.isnan(risk.by_gauge[:, 0, 3]).all()


def test_breaches_that_others_declared_are_learned_from_all_gauges() -> None:
    declared = np.zeros((6, HISTORY.samples), dtype=bool)
    declared[:, 100::200] = True
    declared[:, 101::200] = True
    history = replace(HISTORY, declared=declared)
    found = HASTY.fit(history.until(TRAINED), RULE, HORIZONS_S, seed=0)
    at = np.arange(TRAINED, HISTORY.samples, 5, dtype=np.int64)
    # An onset every 200 samples, 12 of which lie within the horizon.
    assert float(found.risk(history, at).any[1].mean()) == pytest.approx(12 / 200, abs=0.03)


def refused(history: History, words: str, rule: BreachRule = RULE) -> None:
    with pytest.raises(ForecastError, match=words):
        HASTY.fit(history, rule, HORIZONS_S, seed=0)


def test_what_cannot_be_learned_from_is_refused_in_words() -> None:
    refused(HISTORY.until(100), "too few to learn from")
    refused(replace(HISTORY, counts=np.zeros_like(HISTORY.counts)), "no gauge has a limit")
    refused(replace(HISTORY, value=HISTORY.value * np.float32(0.5)), "no limit was reached")


def test_a_history_of_another_step_is_refused(model: LstmModel) -> None:
    with pytest.raises(ForecastError, match=r"steps of 60.0 s, .* 300.0 s"):
        model.risk(replace(HISTORY, step_s=60.0), np.array([TRAINED]))


def test_without_jax_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "foreshard.forecast.lstm.training", None)
    refused(HISTORY.until(4 * DAY), r"pip install 'foreshard\[lstm\]'")


def test_a_course_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="nets is 0"):
        Course(nets=0)
    with pytest.raises(InvalidValueError, match=r"dropped is 1\.0"):
        Course(dropped=1.0)
    with pytest.raises(InvalidValueError, match="rate is 0"):
        Course(rate=0.0)
