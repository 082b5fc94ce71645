from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.forecast.feature.column import COLUMNS
from foreshard.forecast.hazard import HazardLearner, HazardModel, restore
from foreshard.forecast.hazard.forest import grow
from foreshard.forecast.history import History
from foreshard.forecast.outlook import explained, outlook_of
from foreshard.model.errors import ForecastError
from foreshard.testing import check_learner
from foreshard.testing.conformance.learner import PER_DAY, RULE, sample_history

HORIZONS_S = (900.0, 1800.0, 7200.0)
HISTORY = sample_history()
TRAIN = HISTORY.until(6 * PER_DAY)
AT = np.arange(6 * PER_DAY, 8 * PER_DAY, 5, dtype=np.int64)
LEAKY, BUSY = 1, 2
FEW_TREES = HazardLearner(rounds=40)


@pytest.fixture(scope="module")
def model() -> HazardModel:
    return FEW_TREES.fit(TRAIN, RULE, HORIZONS_S, seed=1)


def test_hazard_keeps_the_contract_of_learners() -> None:
    check_learner(FEW_TREES, restore=restore)


def test_it_sees_a_leak_come(model: HazardModel) -> None:
    p = model.risk(HISTORY, AT).any[-1, 0, LEAKY]
    level = HISTORY.value[LEAKY, 1, AT]
    late, early = p[(level > 0.97) & (level < 1.0)], p[level < 0.6]
    assert np.nanmean(late) > 10.0 * np.nanmean(early)


def test_a_leak_does_not_care_for_the_load_and_a_busy_cell_does(model: HazardModel) -> None:
    risk = model.risk(HISTORY, AT, loads=(0.5, 1.0, 1.5)).by_gauge
    memory = risk[:, :, LEAKY, 1]
    np.testing.assert_array_equal(memory[:, 0], memory[:, 2])
    cpu = risk[-1, :, BUSY, 0].mean(axis=1)
    assert cpu[0] < 0.5 * cpu[1] < 0.5 * cpu[2]


def test_any_is_at_least_each(model: HazardModel) -> None:
    risk = model.risk(HISTORY, AT, loads=(0.5, 1.0))
    assert (np.nan_to_num(risk.by_gauge) <= np.nan_to_num(risk.any)[:, :, :, None]).all()


def near_the_limit() -> int:
    level = HISTORY.value[LEAKY, 1, AT]
    return int(AT[np.nanargmax(np.where(level < 0.99, level, np.nan))])


def test_reasons_name_the_gauge_in_the_order_of_what_counts(model: HazardModel) -> None:
    found = model.reasons(
        HISTORY, near_the_limit(), cells=("leaky", "silent"), horizon_s=7200.0, most=4
    )
    assert set(found) == {"leaky"}
    assert {reason.gauge for reason in found["leaky"]} == {"memory"}
    sizes = [abs(reason.effect) for reason in found["leaky"]]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0.3
    assert found["leaky"][0].words.startswith("memory: ")


def test_all_reasons_together_are_what_the_trees_say(model: HazardModel) -> None:
    row = np.random.default_rng(0).random((1, len(COLUMNS)), dtype=np.float32)
    forest = model.forests[2]
    told = 1.0 / (1.0 + np.exp(-forest.contributions(row).sum()))
    assert told == pytest.approx(float(forest.predict(row)[0]), rel=1e-6)


def test_reasons_of_a_cell_that_nobody_knows_are_refused(model: HazardModel) -> None:
    with pytest.raises(ForecastError, match="nowhere"):
        model.reasons(HISTORY, 100, cells=("nowhere",), horizon_s=7200.0, most=3)


def test_an_outlook_gives_reasons_for_the_cells_at_risk(model: HazardModel) -> None:
    until = HISTORY.until(near_the_limit() + 1)
    outlook = explained(outlook_of("m", model, until, loads=(0.0, 1.0)), model, until)
    p = dict(zip(outlook.cells, outlook.any[-1, 1].tolist(), strict=True))
    assert p["leaky"] > 0.1
    assert outlook.because["leaky"][0].startswith("memory: ")
    assert all(p[name] >= 0.02 for name in outlook.because)


def test_a_forest_without_a_tree_is_refused() -> None:
    with pytest.raises(ForecastError, match="rounds is 0"):
        HazardLearner(rounds=0)


def test_a_day_of_history_is_too_little() -> None:
    with pytest.raises(ForecastError, match=r"1\.0 days of history"):
        FEW_TREES.fit(HISTORY.until(PER_DAY), RULE, HORIZONS_S, seed=1)


def test_a_fleet_that_never_moves_teaches_nothing() -> None:
    still = History.of_gauges(
        np.full((2, 1, 3 * PER_DAY), 0.4, dtype=np.float32),
        cells=("a", "b"),
        gauges=("g",),
        step_s=300.0,
    )
    with pytest.raises(ForecastError, match="nothing to learn from"):
        FEW_TREES.fit(still, RULE, HORIZONS_S, seed=1)


def test_breaches_that_others_declare_are_learned_as_well() -> None:
    declared = HISTORY.value[:, 1] > 0.9
    history = replace(HISTORY, declared=declared)
    model = FEW_TREES.fit(history.until(6 * PER_DAY), RULE, HORIZONS_S, seed=1)
    risk = model.risk(history, AT)
    assert np.isnan(risk.by_gauge).all()
    p, level = risk.any[-1, 0, LEAKY], HISTORY.value[LEAKY, 1, AT]
    assert np.nanmean(p[(level > 0.85) & (level < 0.9)]) > 5.0 * np.nanmean(p[level < 0.6])


def test_an_episode_without_an_end_leaves_nothing_to_correct_by() -> None:
    declared = HISTORY.value[:, 1] > 0.9
    declared[:, 3 * PER_DAY :] = True
    history = replace(HISTORY, declared=declared)
    model = FEW_TREES.fit(history.until(6 * PER_DAY), RULE, HORIZONS_S, seed=1)
    np.testing.assert_array_equal(model.of_any.slope, np.eye(3))


def test_a_censored_past_teaches_no_calm(model: HazardModel) -> None:
    chance = np.random.default_rng(0)
    censored = replace(TRAIN, censored=chance.random(TRAIN.censored.shape) < 0.8)
    risk, plain = (
        m.risk(HISTORY, AT).any[-1, 0, LEAKY]
        for m in (FEW_TREES.fit(censored, RULE, HORIZONS_S, seed=1), model)
    )
    assert np.nanmean(risk) > np.nanmean(plain)


def test_where_every_calm_is_censored_nothing_can_be_learned() -> None:
    censored = replace(TRAIN, censored=np.ones_like(TRAIN.censored))
    with pytest.raises(ForecastError, match="that it did not; there is nothing to learn from"):
        FEW_TREES.fit(censored, RULE, HORIZONS_S, seed=1)


def test_where_every_sample_counts_for_nothing_nothing_can_be_learned() -> None:
    none = np.zeros(TRAIN.censored.shape, dtype=np.float32)
    with pytest.raises(ForecastError, match="nothing to learn from"):
        HazardLearner().fit(replace(TRAIN, weight=none), RULE, HORIZONS_S, seed=1)


def test_a_snapshot_of_another_kind_is_refused(model: HazardModel) -> None:
    with pytest.raises(ForecastError, match="is of kind 'trend'"):
        restore(replace(model.snapshot(), kind="trend"))


def test_a_snapshot_of_other_features_is_refused(model: HazardModel) -> None:
    good = model.snapshot()
    with pytest.raises(ForecastError, match="other features"):
        restore(replace(good, settings={**good.settings, "columns": ["now"]}))


@pytest.mark.parametrize("text", ["", "tree\nnonsense", "import os"])
def test_damaged_trees_are_refused(model: HazardModel, text: str) -> None:
    good = model.snapshot()
    with pytest.raises(ForecastError, match="damaged"):
        restore(replace(good, texts={**good.texts, "forest_1": text}))


def test_the_model_says_which_features_it_was_made_with(model: HazardModel) -> None:
    assert model.snapshot().settings["columns"] == list(COLUMNS)


def test_trees_of_another_width_are_refused(model: HazardModel) -> None:
    good = model.snapshot()
    rows = np.random.default_rng(0).random((400, 2), dtype=np.float32)
    narrow = grow(rows, rows[:, 0] > 0.5, np.ones(400, dtype=np.float32), seed=1)
    with pytest.raises(ForecastError, match="other features"):
        restore(replace(good, texts={**good.texts, "forest_1": narrow.text}))


@pytest.mark.parametrize(
    ("name", "array", "match"),
    [
        ("any_slope", np.eye(2), "shape"),
        ("any_offset", np.full(3, np.nan), "not finite"),
        ("gauge_slope", -np.eye(3), "below 0"),
    ],
)
def test_damaged_curves_are_refused(
    model: HazardModel, name: str, array: NDArray[np.float64], match: str
) -> None:
    good = model.snapshot()
    with pytest.raises(ForecastError, match=match):
        restore(replace(good, arrays={**good.arrays, name: array}))


def test_a_fleet_without_limits_is_refused_in_words() -> None:
    bare = replace(TRAIN, counts=np.zeros_like(TRAIN.counts))
    with pytest.raises(ForecastError, match="limit that counts"):
        FEW_TREES.fit(bare, RULE, HORIZONS_S, seed=1)
