from __future__ import annotations

import numpy as np
import pytest

from foreshard.model.errors import ForecastError
from foreshard.profile.meter import MeterState, growth, start_meter, update_meter

GAUGES = ("memory", "disk", "threads", "descriptors")
LEVELS = np.array([0.5, 0.3, 0.1, 0.12])


def watched(
    factor: np.ndarray, *, seed: int = 1, started_s: np.ndarray | None = None
) -> MeterState:
    """Two cells, of which the first shows `factor` [T] or [T, 4] times its levels."""
    rng, state = np.random.default_rng(seed), start_meter(2)
    for t, now in enumerate(factor):
        level = np.vstack((LEVELS * now, LEVELS)) * (1.0 + rng.normal(0.0, 0.02, (2, 4)))
        began = np.zeros(2) if started_s is None else np.array([started_s[t], 0.0])
        state = update_meter(state, GAUGES, level, started_s=began, dt_s=1.0)
    return state


def test_a_quiet_cell_is_read_as_it_is() -> None:
    assert growth(watched(np.ones(600))).tolist() == [1.0, 1.0]


def test_what_all_gauges_show_too_much_is_known_within_seconds() -> None:
    factor = growth(watched(np.where(np.arange(330) < 300, 1.0, 1.5)))
    assert factor[0] == pytest.approx(1.4, abs=0.12)
    assert factor[1] == 1.0


def test_one_gauge_that_stays_is_enough_to_believe_the_others() -> None:
    factor = np.ones((600, 4))
    factor[200:, :3] = 1.6
    assert growth(watched(factor))[0] == 1.0


def test_a_new_process_has_no_past() -> None:
    factor = np.where(np.arange(500) < 300, 0.4, 1.0)
    started_s = np.where(np.arange(500) < 300, 0.0, 300.0)
    assert growth(watched(factor, started_s=started_s))[0] == 1.0


def test_nothing_is_said_of_a_cell_with_few_gauges() -> None:
    state = start_meter(1)
    for t in range(300):
        level = np.array([[0.5, 0.3, 0.1]]) * (1.0 if t < 200 else 1.5)
        state = update_meter(state, GAUGES[:3], level, started_s=np.zeros(1), dt_s=1.0)
    assert growth(state).tolist() == [1.0]


def test_gauges_may_come_and_go() -> None:
    state = start_meter(1)
    for t in range(200):
        names = GAUGES if t % 2 else GAUGES[:2]
        level = LEVELS[None, : len(names)]
        state = update_meter(state, names, level, started_s=np.zeros(1), dt_s=1.0)
    assert state.gauges == GAUGES
    assert growth(state).tolist() == [1.0]


def test_readings_of_another_shape_are_refused() -> None:
    with pytest.raises(ForecastError, match="meter: level"):
        update_meter(start_meter(2), GAUGES, np.ones((1, 4)), started_s=np.zeros(2), dt_s=1.0)
