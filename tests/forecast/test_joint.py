from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.joint import Joint
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.model.errors import ForecastError

Array = NDArray[np.float64]


def history(samples: int = 50, *, cells: int = 2, gauges: int = 3) -> History:
    return History.of_gauges(
        np.full((cells, gauges, samples), 0.5, dtype=np.float32),
        cells=tuple(f"c{i}" for i in range(cells)),
        gauges=tuple(f"g{i}" for i in range(gauges)),
        step_s=60.0,
    )


PLAIN = Joint(offset=np.zeros(2), slope=np.ones(2))
hazards = arrays(
    np.float64,
    (2, 3, 2, 3, 4),
    elements=st.one_of(st.just(np.nan), st.just(0.0), st.floats(1e-9, 1e6)),
)


@settings(deadline=None)
@given(
    hazards,
    arrays(np.float64, 2, elements=st.floats(-9.0, 9.0)),
    arrays(np.float64, 2, elements=st.floats(0.01, 9.0)),
)
def test_any_hazards_and_any_curve_give_a_risk_that_rises(
    hazard: Array, offset: Array, slope: Array
) -> None:
    risk = Joint(offset=offset, slope=slope).risk(history(), hazard)
    unsaid = np.isnan(hazard)
    assert np.array_equal(np.isnan(risk.any), unsaid.all(axis=3))
    assert np.array_equal(np.isnan(risk.by_gauge), unsaid)
    worst = np.fmax.reduce(risk.by_gauge, axis=3)
    assert (worst <= risk.any + 1e-6)[~np.isnan(worst)].all()


def test_hazards_of_a_cell_add_up_and_each_gauge_keeps_its_own() -> None:
    hazard = np.full((2, 1, 1, 2, 1), 0.1)
    hazard[:, :, :, 1] = 0.3
    risk = PLAIN.risk(history(cells=1, gauges=2), hazard)
    assert risk.any[0, 0, 0, 0] == pytest.approx(1.0 - np.exp(-0.4))
    assert risk.by_gauge[0, 0, 0, :, 0] == pytest.approx(1.0 - np.exp([-0.1, -0.3]))


def test_what_others_declared_is_told_by_all_gauges_together() -> None:
    told = replace(history(cells=1, gauges=2), declared=np.zeros((1, 50), dtype=bool))
    hazard = np.full((2, 1, 1, 2, 1), 0.1)
    assert PLAIN.risk(told, hazard).any[0, 0, 0, 0] == pytest.approx(1.0 - np.exp(-0.1))


def test_a_cell_in_which_nothing_counts_cannot_fail() -> None:
    idle = replace(history(), counts=np.array([[False] * 3, [True] * 3]))
    risk = PLAIN.risk(idle, np.full((2, 1, 2, 3, 1), np.nan))
    assert risk.any[0, 0, 0, 0] == 0.0
    assert np.isnan(risk.any[0, 0, 1, 0])


def fitted(hazard: Array, seed: int, *, sign: float = 1.0) -> tuple[Joint, History, Array]:
    """A curve fitted to breaches that came with a tenth of the hazard."""
    chance = np.random.default_rng(seed)
    told = history(hazard.shape[-1], cells=1, gauges=1)
    begins = np.flatnonzero(chance.random(hazard.shape[-1]) < 0.1 * hazard[0, 0, 0] ** sign)
    told.value[0, 0, np.minimum(begins + 1, hazard.shape[-1] - 1)] = 1.5
    rule = BreachRule(sustain=1, merge_gap_s=0.0, quiet_s=0.0)
    onsets = find_onsets(told, rule)
    at = np.arange(hazard.shape[-1], dtype=np.int64)
    joint = Joint.fit(hazard, at, history=told, onsets=onsets, horizons_s=(60.0,))
    return joint, told, joint.risk(told, hazard[:, None]).any[0, 0, 0]


def test_a_curve_makes_of_wrong_hazards_what_came_of_them() -> None:
    hazard = np.random.default_rng(1).choice([0.1, 1.0], size=(1, 1, 1, 20_000))
    _, _, p = fitted(hazard, 2)
    high = hazard[0, 0, 0] == 1.0
    assert p[high].mean() == pytest.approx(0.1, abs=0.015)
    assert p[~high].mean() == pytest.approx(0.01, abs=0.005)


def test_hazards_that_mislead_leave_the_level_right() -> None:
    hazard = np.random.default_rng(1).choice([0.1, 1.0], size=(1, 1, 1, 20_000))
    joint, told, p = fitted(hazard, 2, sign=-0.5)
    assert joint.slope[0] > 0.0
    assert p.mean() == pytest.approx(float((told.value[0, 0] > 1.0).mean()), rel=0.15)


def test_a_curve_that_cannot_be_is_refused() -> None:
    with pytest.raises(ForecastError, match="one number a horizon"):
        Joint(offset=np.zeros(2), slope=np.ones(3))
    with pytest.raises(ForecastError, match="above 0"):
        Joint(offset=np.zeros(1), slope=np.zeros(1))
    with pytest.raises(ForecastError, match="finite"):
        Joint(offset=np.array([np.nan]), slope=np.ones(1))
