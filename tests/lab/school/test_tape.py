from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.history import History
from foreshard.lab.school.tape import Days, composed
from foreshard.model.errors import LabError

START_S = 1_000_000.0
STEP_S = 10.0
PERIOD_S = 200.0
DAYS = Days(
    start_s=START_S,
    lasts_s=8_000.0,
    rest_s=800.0,
    lesson_s=600.0,
    period_s=PERIOD_S,
    calm_period_s=PERIOD_S,
)


def stretch(lasts_s: float, *, level: float, cells: int = 2) -> History:
    """Gauge 0 tells the phase of the cycle, gauge 1 a level."""
    samples = round(lasts_s / STEP_S)
    at_s = START_S + STEP_S * np.arange(1, samples + 1)
    phase = np.mod(at_s - START_S, PERIOD_S) / PERIOD_S
    value = np.stack([np.tile(phase, (cells, 1)), np.full((cells, samples), level)], axis=1)
    history = History.of_gauges(
        value.astype(np.float32),
        cells=tuple(f"cell-{c}" for c in range(cells)),
        gauges=("phase", "level"),
        step_s=STEP_S,
        begins_s=START_S + STEP_S,
    )
    age_s = 3_600.0 + STEP_S * np.arange(1, samples + 1)
    return replace(
        history,
        load=value[:, 0].astype(np.float32),
        up_s=np.tile(age_s, (cells, 1)).astype(np.float32),
    )


def days(played: History, **changes: float) -> History:
    return composed(
        stretch(800.0, level=0.1),
        played,
        replace(DAYS, **changes),
        chance=np.random.default_rng(1),
    )


def test_the_cycle_goes_on_without_a_break_into_the_trial() -> None:
    made = days(stretch(1_210.0, level=0.9))
    assert made.samples == 800
    last_s = float(made.time_s()[-1])
    assert START_S - 2.0 * STEP_S <= last_s < START_S
    told = made.value[:, 0]
    true = np.mod(made.time_s() - START_S, PERIOD_S) / PERIOD_S
    far = np.abs(told - true[None])
    assert np.minimum(far, 1.0 - far).max() <= 0.051


def test_lessons_stand_whole_and_apart_and_the_last_hours_are_calm() -> None:
    made = days(stretch(1_210.0, level=0.9))
    is_lesson = made.value[0, 1] > 0.5
    edges = np.flatnonzero(np.diff(is_lesson.astype(int), prepend=0, append=0))
    assert (edges[1::2] - edges[::2]).tolist() == [60, 60]
    assert edges[2] > edges[1]
    assert not is_lesson[-80:].any()


def test_ages_go_on_through_calm_and_begin_anew_with_a_restart() -> None:
    played = stretch(1_210.0, level=0.9)
    # The second cell restarts in the middle of the first lesson.
    played.up_s[1, 30:] = STEP_S * np.arange(played.samples - 30)
    made = days(played)
    began = int(np.argmax(made.value[0, 1] > 0.5))
    young = np.flatnonzero(np.diff(made.up_s[1]) < 0.0)
    assert made.up_s[1, began + 30] == pytest.approx(0.0)
    # After the lesson it is as old as it became, and the fleet is started before the trial.
    assert made.up_s[1, began + 100] == pytest.approx(STEP_S * 70)
    assert young.tolist()[0] == began + 29
    assert (np.diff(made.up_s[0]) < 0.0).sum() == 1
    assert (made.up_s[:, -1] <= 3_600.0).all()


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    with pytest.raises(LabError, match="take more days or fewer lessons"):
        days(stretch(1_210.0, level=0.9), lasts_s=1_500.0)


def test_a_gauge_that_calm_hours_never_had_is_left_out_and_a_missing_one_not_heard() -> None:
    made = days(replace(stretch(1_210.0, level=0.9), gauges=("other", "level")))
    assert made.gauges == ("phase", "level")
    is_lesson = made.value[0, 1] > 0.5
    assert np.isnan(made.value[0, 0, is_lesson]).all()
    assert not np.isnan(made.value[0, 0, ~is_lesson]).any()
