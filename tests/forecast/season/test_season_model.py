from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.history import History
from foreshard.forecast.learner import Snapshot
from foreshard.forecast.onset import BreachRule
from foreshard.forecast.season.learner import ProphetLearner
from foreshard.forecast.season.model import SeasonModel, restore
from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.testing.conformance.learner import check_learner

DAY = 288
RULE = BreachRule(sustain=2, merge_gap_s=1800.0, quiet_s=1800.0)
HORIZONS_S = (900.0, 3600.0)


def fleet() -> History:
    """Demand with a peak a day, over the limit on some; a disk that fills in two weeks."""
    chance = np.random.default_rng(5)
    t = np.arange(12 * DAY)
    peak = np.exp(-0.5 * ((t % DAY - 150) / 12.0) ** 2)
    height = chance.uniform(0.45, 0.6, size=(2, 12)).repeat(DAY, axis=1)
    value = np.full((2, 2, len(t)), 0.45)
    value[:, 0] += height * peak
    value[:, 1] = 0.5 + 0.35 * t / len(t)
    value += chance.normal(0.0, 0.01, size=value.shape)
    return replace(
        History.of_gauges(
            value.astype(np.float32), cells=("a", "b"), gauges=("cpu", "disk"), step_s=300.0
        ),
        scales_with_load=np.array([True, False]),
    )


HISTORY = fleet()
TRAINED = 10 * DAY


@pytest.fixture(scope="module")
def model() -> SeasonModel:
    return ProphetLearner().fit(HISTORY.until(TRAINED), RULE, HORIZONS_S, seed=0)


def test_it_keeps_the_contract_of_learners() -> None:
    check_learner(ProphetLearner(at_most=3), restore=restore)


def test_the_hour_of_the_peak_is_known_before_anything_rises(model: SeasonModel) -> None:
    # An hour before the peak, and in the dead of the night.
    before = np.array([TRAINED + 150 - 13, TRAINED + 10])
    assert (HISTORY.value[:, 0, before] < 0.8).all()
    risk = model.risk(HISTORY, before).by_gauge[1, 0, :, 0]
    assert (risk[:, 0] > 5.0 * risk[:, 1]).all()


def test_half_the_load_is_less_risk_where_load_is_the_cause(model: SeasonModel) -> None:
    at = np.array([TRAINED + 145])
    risk = model.risk(HISTORY, at, loads=(0.0, 0.5, 1.0, 1.5))
    cpu, disk = risk.by_gauge[1, :, 0, 0, 0], risk.by_gauge[1, :, 0, 1, 0]
    assert cpu[1] < 0.3 * cpu[2]
    assert cpu[3] > cpu[2]
    assert (np.diff(risk.any, axis=1) >= 0.0).all()
    assert (disk <= risk.any[1, :, 0, 0]).all()


def test_fits_are_bounded_and_the_rest_is_spoken_of_all_the_same() -> None:
    told: list[float] = []
    learner = ProphetLearner(at_most=0)
    model = learner.fit(HISTORY.until(TRAINED), RULE, HORIZONS_S, seed=0, progress=told.append)
    assert not model.curves.season.any()
    assert np.isfinite(model.risk(HISTORY, np.array([TRAINED])).any).all()
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_snapshot_comes_back_to_the_last_bit(model: SeasonModel) -> None:
    at = np.arange(TRAINED, TRAINED + 40, dtype=np.int64)
    again = restore(model.snapshot())
    assert np.array_equal(again.risk(HISTORY, at).by_gauge, model.risk(HISTORY, at).by_gauge)


def broken(snapshot: Snapshot, how: str) -> Snapshot:
    settings, arrays = dict(snapshot.settings), dict(snapshot.arrays)
    if how == "kind":
        return replace(snapshot, kind="lstm")
    if how == "edition":
        settings["edition"] = 7
    elif how == "cells":
        settings["cells"] = ["a"]
    elif how == "missing":
        del arrays["fading"]
    elif how == "season":
        arrays["season"] = arrays["season"][:, :-1]
    return replace(snapshot, settings=settings, arrays=arrays)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kind", "kind 'lstm'"),
        ("edition", "train the model again"),
        ("cells", "do not match"),
        ("missing", "no numbers called 'fading'"),
        ("season", "season has shape"),
    ],
)
def test_a_foreign_or_damaged_snapshot_is_refused(
    model: SeasonModel, how: str, words: str
) -> None:
    with pytest.raises(ForecastError, match=words):
        restore(broken(model.snapshot(), how))


def test_a_cell_that_it_never_saw_is_not_spoken_of(model: SeasonModel) -> None:
    other = replace(HISTORY, cells=("a", "new"))
    risk = model.risk(other, np.array([TRAINED]))
    assert np.isnan(risk.any[:, 0, 1]).all()
    assert np.isfinite(risk.any[:, 0, 0]).all()


def test_what_cannot_be_learned_from_is_refused_in_words(model: SeasonModel) -> None:
    with pytest.raises(ForecastError, match="too few to learn from"):
        ProphetLearner().fit(HISTORY.until(400), RULE, HORIZONS_S, seed=0)
    idle = replace(HISTORY, counts=np.zeros((2, 2), dtype=bool))
    with pytest.raises(ForecastError, match="no gauge has a limit"):
        ProphetLearner().fit(idle, RULE, HORIZONS_S, seed=0)
    with pytest.raises(ForecastError, match=r"steps of 60.0 s"):
        model.risk(replace(HISTORY, step_s=60.0), np.array([TRAINED]))
    with pytest.raises(InvalidValueError, match="at_most is -1"):
        ProphetLearner(at_most=-1)
