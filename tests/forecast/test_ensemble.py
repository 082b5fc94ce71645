from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.forecast.baseline import HeadroomLearner
from foreshard.forecast.ensemble import EVIDENCE_S, EnsembleLearner, EnsembleModel, restore
from foreshard.forecast.forecaster import Json
from foreshard.forecast.hazard import HazardLearner
from foreshard.forecast.history import History
from foreshard.forecast.trend_model import TrendLearner
from foreshard.model.errors import ForecastError
from foreshard.testing import check_learner
from foreshard.testing.conformance.learner import PER_DAY, RULE, sample_history

HORIZONS_S = (900.0, 7200.0)
HISTORY = sample_history()
TRAIN = HISTORY.until(6 * PER_DAY)
FEW_TREES = EnsembleLearner(members=(HazardLearner(rounds=15), HeadroomLearner(), TrendLearner()))
AT = np.arange(6 * PER_DAY, 7 * PER_DAY, 9, dtype=np.int64)


def renamed(history: History, *names: str) -> History:
    return replace(history, cells=names)


@pytest.fixture(scope="module")
def model() -> EnsembleModel:
    return FEW_TREES.fit(TRAIN, RULE, HORIZONS_S, seed=1)


def test_the_ensemble_keeps_the_contract_of_learners() -> None:
    check_learner(FEW_TREES, restore=restore)


def test_a_cell_that_was_learned_stands_on_the_trees(model: EnsembleModel) -> None:
    assert model.stands_on(("leaky",))[0].startswith("hazard")
    assert model.evidence(("leaky",))[0] == pytest.approx(
        6.0 * 86_400.0 / (6.0 * 86_400.0 + EVIDENCE_S), rel=0.02
    )


def test_a_cell_that_nobody_saw_stands_on_level_and_trend(model: EnsembleModel) -> None:
    assert "hazard" not in model.stands_on(("new",))[0]


def test_a_new_cell_ranks_as_its_level_and_trend_do(model: EnsembleModel) -> None:
    # The same telemetry under other names: the trees have no say in it.
    fresh = renamed(HISTORY, "n1", "n2", "n3", "n4")
    quiet = replace(
        model,
        members=tuple(m for m in model.members if m.name != "hazard"),
        learned=replace(model.untaught, slope=model.untaught.slope[:, 1:]),
        untaught=replace(model.untaught, slope=model.untaught.slope[:, 1:]),
    )
    np.testing.assert_allclose(
        model.risk(fresh, AT).any, quiet.risk(fresh, AT).any, atol=1e-6, equal_nan=True
    )


def test_a_history_too_short_for_trees_still_gives_a_model() -> None:
    model = FEW_TREES.fit(HISTORY.until(PER_DAY), RULE, HORIZONS_S, seed=1)
    assert [member.name for member in model.members] == ["headroom", "trend"]
    assert not np.isnan(model.risk(HISTORY, AT).any[:, :, :3]).all()


def test_an_ensemble_of_learned_models_alone_is_refused() -> None:
    with pytest.raises(ForecastError, match="cells that have no history"):
        EnsembleLearner(members=(HazardLearner(),))


def test_any_members_do() -> None:
    model = EnsembleLearner(members=(HeadroomLearner(),)).fit(TRAIN, RULE, HORIZONS_S, seed=1)
    assert model.stands_on(("leaky",)) == ("headroom",)


def test_a_damaged_snapshot_is_refused_in_words(model: EnsembleModel) -> None:
    good = model.snapshot()
    bad: dict[str, dict[str, NDArray[np.generic]]] = {
        "shape": {"learned_slope": np.eye(2)},
        "do not match": {"seen_s": np.ones(1)},
        "no numbers called": {"0_any_slope": np.array(["x"])},
    }
    for match, arrays in bad.items():
        with pytest.raises(ForecastError, match=match):
            restore(replace(good, arrays={**good.arrays, **arrays}))


def test_a_member_that_nobody_knows_is_refused(model: EnsembleModel) -> None:
    good = model.snapshot()
    members: list[Json] = [{"kind": "oracle", "settings": {}}]
    with pytest.raises(ForecastError, match="'oracle' is not known"):
        restore(replace(good, settings={**good.settings, "members": members}))


def test_reasons_are_given_for_cells_that_stand_on_what_was_learned(model: EnsembleModel) -> None:
    at = int(AT[-1])
    found = model.reasons(HISTORY, at, cells=("leaky", "busy"), horizon_s=7200.0, most=3)
    assert set(found) == {"leaky", "busy"}
    fresh = renamed(HISTORY, "n1", "n2", "n3", "n4")
    assert model.reasons(fresh, at, cells=("n2",), horizon_s=7200.0, most=3) == {}
