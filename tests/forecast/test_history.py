from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.history import History
from foreshard.model.errors import ForecastError


def history(samples: int = 10) -> History:
    value = np.arange(2 * 3 * samples, dtype=np.float32).reshape(2, 3, samples)
    return History.of_gauges(
        value, cells=("a", "b"), gauges=("cpu", "disk", "memory"), step_s=60.0, begins_s=600.0
    )


def test_a_sample_stands_at_its_moment() -> None:
    assert history(3).time_s().tolist() == [600.0, 660.0, 720.0]


def test_a_cut_keeps_values_at_their_moments() -> None:
    whole = history()
    part = whole.between(4, 7)
    assert part.time_s().tolist() == whole.time_s()[4:7].tolist()
    assert np.array_equal(part.value, whole.value[:, :, 4:7])
    assert part.load.shape == part.censored.shape == part.up_s.shape == (2, 3)


def test_a_cut_is_a_view_and_copies_nothing() -> None:
    whole = history()
    assert np.shares_memory(whole.until(5).value, whole.value)


def test_declared_breaches_are_cut_too() -> None:
    declared = np.zeros((2, 10), dtype=bool)
    declared[1, 5] = True
    cut = replace(history(), declared=declared).between(4, 7)
    assert cut.declared is not None
    assert cut.declared.tolist() == [[False] * 3, [False, True, False]]


@pytest.mark.parametrize(("first", "end"), [(-1, 3), (4, 2), (0, 11)])
def test_a_cut_outside_is_refused(first: int, end: int) -> None:
    with pytest.raises(ForecastError, match=rf"\[{first}, {end}\) reaches outside its 10"):
        history().between(first, end)


def test_seconds_become_samples_and_a_short_horizon_is_one() -> None:
    assert [history().steps(s) for s in (0.0, 5.0, 300.0, 3600.0)] == [0, 1, 5, 60]


def test_bad_arrays_are_refused_with_name_and_shape() -> None:
    good = history()
    with pytest.raises(ForecastError, match=r"load is float32 \(2, 9\), must be float32 \(2, 10"):
        replace(good, load=good.load[:, 1:])
    with pytest.raises(ForecastError, match="sibling is int64"):
        replace(good, sibling=np.zeros(2, dtype=np.int64))
    with pytest.raises(ForecastError, match="step_s 0"):
        replace(good, step_s=0.0)
    with pytest.raises(ForecastError, match=r"cells \['a'\] stand there twice"):
        replace(good, cells=("a", "a"))
