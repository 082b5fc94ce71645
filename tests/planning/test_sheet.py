from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.model.forecast import Forecast
from foreshard.planning.judgement import cell_doubts, class_doubts
from foreshard.planning.sheet import Sheet, sheet_of
from foreshard.planning.thresholds import Thresholds
from tests.engine.shop import maintenance
from tests.forecast.test_trend import FORECASTER, MEMORY, ONSET, SEARCH, quiet


def foreseen(seed: int) -> Forecast:
    """A fleet with a leak in one cell, a slow class in another, and one that is not heard."""
    story = quiet(ONSET + 30, seed=seed)
    story.value[2, MEMORY, ONSET:] += 0.012 * np.arange(30)
    story.value[1, SEARCH, ONSET:] += 0.05 * np.arange(30)
    story.value[0] = np.nan
    return story.forecast(ONSET + 20)


@pytest.mark.parametrize("seed", range(4))
def test_the_columns_of_a_forecast_are_what_its_cells_say(seed: int) -> None:
    told = foreseen(seed)
    read = replace(told, cells=dict(told.cells))
    columns, objects = sheet_of(told), sheet_of(read)
    assert isinstance(told.cells, Sheet)
    assert not isinstance(read.cells, Sheet)
    assert columns.names == objects.names
    assert columns.classes == objects.classes
    assert np.array_equal(columns.calibrated, objects.calibrated)
    assert set(objects.gauges) <= set(columns.gauges)
    for horizon_s in told.horizons_s:
        for column, object_ in zip(columns.risk(horizon_s), objects.risk(horizon_s), strict=True):
            assert np.array_equal(column, object_)
        for gauge in columns.gauges:
            own = columns.standing(gauge, horizon_s), columns.drift_low_per_s(gauge)
            theirs = objects.standing(gauge, horizon_s), objects.drift_low_per_s(gauge)
            assert np.array_equal(own, theirs)
        for name in columns.classes:
            p = columns.class_risk(name, horizon_s), objects.class_risk(name, horizon_s)
            assert np.array_equal(*p, equal_nan=True)


@pytest.mark.parametrize("seed", range(4))
def test_who_is_doubted_does_not_hang_on_how_the_forecast_is_read(seed: int) -> None:
    told = foreseen(seed)
    read = replace(told, cells=dict(told.cells))
    serving = ("cell-0", "cell-1", "cell-2", "cell-3")
    doubts = cell_doubts(told, serving=serving, floor=0.2)
    assert "cell-2" in doubts
    assert doubts == cell_doubts(read, serving=serving, floor=0.2)
    thresholds = Thresholds()
    classes = class_doubts(told, serving=serving, thresholds=thresholds)
    assert classes == class_doubts(read, serving=serving, thresholds=thresholds)


def test_an_announced_absence_is_certain_in_the_columns_too() -> None:
    window = maintenance("cell-1", known_s=0.0, starts_s=0.0, ends_s=60.0)
    window = replace(window, known_at_s=0.0, starts_at_s=0.0, ends_at_s=2.0 * ONSET)
    told = FORECASTER.forecast(quiet(ONSET, seed=1).until(ONSET), (window,), now_s=float(ONSET))
    _, p = sheet_of(told).risk(told.horizons_s[0])
    assert (p[sheet_of(told).names.index("cell-1")] == 1.0).all()
