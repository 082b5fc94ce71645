from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.app.learning import learner_named, learner_names
from foreshard.forecast import baseline, trend_model
from foreshard.forecast.baseline import HeadroomLearner
from foreshard.forecast.baseline.model import BaselineModel
from foreshard.forecast.history import History
from foreshard.forecast.learner import Risk, RiskModel, Snapshot
from foreshard.forecast.onset import find_onsets
from foreshard.forecast.trend_model import TrendLearner, TrendModel
from foreshard.model.errors import ConfigError
from foreshard.testing import check_learner
from foreshard.testing.conformance.learner import RULE, sample_history

Restore = Callable[[Snapshot], RiskModel]
RESTORERS: Mapping[str, Restore] = {
    "headroom": baseline.restore,
    "predict-linear": baseline.restore,
    "seasonal-naive": baseline.restore,
    "trend": trend_model.restore,
}


@pytest.mark.parametrize("name", sorted(RESTORERS))
def test_a_shipped_learner_keeps_the_contract(name: str) -> None:
    check_learner(learner_named(name), restore=RESTORERS[name])


def test_an_unknown_learner_is_refused_with_a_guess() -> None:
    with pytest.raises(ConfigError, match="did you mean headroom"):
        learner_named("headrom")
    with pytest.raises(ConfigError, match=", ".join(learner_names())):
        learner_named("xyz")


class Peeking(TrendModel):
    """Says what will be."""

    __slots__ = ()

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        later = np.minimum(at + 5, history.samples - 1)
        return super().risk(history, later, loads=loads)


class PeekingLearner(TrendLearner):
    """Makes a model that peeks."""

    __slots__ = ()

    def fit(self, *args: object, **more: object) -> Peeking:
        return Peeking(horizons_s=(900.0, 7200.0))


def test_a_model_that_sees_the_future_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"after the last one|comes later"):
        check_learner(PeekingLearner(), restore=trend_model.restore)


class DeafLearner(HeadroomLearner):
    """Learns, and takes all samples for the same."""

    __slots__ = ()

    def fit(self, history: History, *args: Any, **more: Any) -> BaselineModel:  # noqa: ANN401
        return super().fit(replace(history, weight=None), *args, **more)


def test_a_learner_to_whom_all_samples_are_the_same_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"must use `History.weight`"):
        check_learner(DeafLearner(), restore=baseline.restore)


def test_the_sample_fleet_has_something_to_learn_from() -> None:
    history = sample_history()
    found = find_onsets(history, RULE)
    per_cell = np.bincount(found.cell, minlength=4).tolist()
    assert per_cell[1] >= 2
    assert per_cell[2] >= 3
