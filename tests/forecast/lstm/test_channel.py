from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.forecast.history import History
from foreshard.forecast.lstm.channel import CHANNELS, Sight, counted_rows, under_load
from foreshard.testing.conformance.learner import sample_history

HISTORY = sample_history()
DAY = 288
AT = {name: i for i, name in enumerate(CHANNELS)}


def sight(history: History) -> Sight:
    return Sight(history, ahead=(3, 24), sustain=3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 8 * DAY - 70), st.integers(0, 2**32 - 1))
def test_the_future_changes_nothing_that_is_seen(first: int, seed: int) -> None:
    rows = counted_rows(HISTORY)
    end = first + 60
    chance = np.random.default_rng(seed)
    value, load, up_s = HISTORY.value.copy(), HISTORY.load.copy(), HISTORY.up_s.copy()
    for array in (value, load, up_s):
        array[..., end:] = chance.permuted(array[..., end:], axis=-1) * 3.0
    other = replace(HISTORY, value=value, load=load, up_s=up_s)
    seen, spoken = sight(HISTORY).channels(rows, first, end)
    again, spoken_again = sight(other).channels(rows, first, end)
    assert np.array_equal(seen, again)
    assert np.array_equal(spoken, spoken_again)
    assert np.isfinite(seen).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(7 * DAY + 100, 8 * DAY - 70), st.integers(0, 60))
def test_bulk_and_live_see_the_same(t: int, back: int) -> None:
    rows = counted_rows(HISTORY)
    bulk, _ = sight(HISTORY).channels(rows, t - back, t + 10)
    # What a live memory of a week and a little holds when this sample comes.
    live = HISTORY.between(t + 1 - 7 * DAY - 70, t + 1)
    now, _ = sight(live).channels(rows, live.samples - 1, live.samples)
    assert np.allclose(bulk[:, back], now[:, 0], atol=1e-5)


def test_what_a_day_and_a_week_ago_came_next_is_seen_now() -> None:
    value = np.full((1, 1, 9 * DAY), 0.1, dtype=np.float32)
    value[0, 0, 5 * DAY + 10 : 5 * DAY + 14] = 0.8
    history = History.of_gauges(value, cells=("a",), gauges=("cpu",), step_s=300.0)

    def seen(t: int, name: str) -> float:
        return float(sight(history).channels(counted_rows(history), t, t + 1)[0][0, 0, AT[name]])

    soon, later = "a day ago, the first horizon ahead", "a day ago, the last horizon ahead"
    assert seen(6 * DAY, later) == pytest.approx(0.8)
    assert seen(6 * DAY, soon) == pytest.approx(0.1)
    assert seen(6 * DAY + 11, soon) == pytest.approx(0.8)
    assert seen(6 * DAY + 20, later) == pytest.approx(0.1)
    assert seen(7 * DAY, "two days ago, the last horizon ahead") == pytest.approx(0.8)
    # Two samples at 0.8 were no breach, so they are none to expect.
    value[0, 0, 5 * DAY + 12 : 5 * DAY + 14] = 0.1
    assert seen(6 * DAY, later) == pytest.approx(0.1)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1.5), st.integers(DAY, 5 * DAY))
def test_more_load_is_more_of_all_that_load_moves(load: float, first: int) -> None:
    rows = counted_rows(HISTORY)
    scales = HISTORY.scales_with_load
    lifted = HISTORY.value * np.where(scales, np.float32(load), np.float32(1.0))[None, :, None]
    alone = replace(HISTORY, sibling=np.full(4, -1, dtype=np.int32))
    seen, _ = sight(alone).channels(rows, first, first + 30)
    wanted, _ = sight(replace(alone, value=lifted)).channels(rows, first, first + 30)
    moved = under_load(seen, load, scales[rows.gauge])
    moved[..., AT["load against its usual"]] = wanted[..., AT["load against its usual"]]
    inside = np.abs(wanted) < 2.0
    assert np.allclose(moved[inside], wanted[inside], atol=1e-4)


def test_a_cell_that_leaves_its_siblings_stands_above_them() -> None:
    value = np.full((3, 1, 100), 0.3, dtype=np.float32)
    value[1, 0, 50:] = 0.6
    history = replace(
        History.of_gauges(value, cells=("a", "b", "c"), gauges=("cpu",), step_s=300.0),
        sibling=np.array([4, 4, -1], dtype=np.int32),
    )
    seen, _ = sight(history).channels(counted_rows(history), 80, 81)
    above = seen[:, 0, AT["above its siblings"]]
    assert above.tolist() == pytest.approx([-0.3, 0.3, 0.0])


def test_the_worst_other_gauge_is_seen_by_what_load_does_to_it() -> None:
    value = np.zeros((1, 3, 50), dtype=np.float32)
    value[0] = np.array([0.2, 0.5, 0.7])[:, None]
    history = replace(
        History.of_gauges(value, cells=("a",), gauges=("cpu", "queue", "disk"), step_s=60.0),
        scales_with_load=np.array([True, True, False]),
    )
    seen, _ = sight(history).channels(counted_rows(history), 40, 41)
    still = seen[:, 0, AT["worst other gauge that stands still under load"]]
    moved = seen[:, 0, AT["worst other gauge that scales with load"]]
    assert still.tolist() == pytest.approx([0.7, 0.7, 0.0])
    assert moved.tolist() == pytest.approx([0.5, 0.2, 0.5])


def test_what_is_silent_or_was_hardly_heard_is_not_spoken_of() -> None:
    value = np.full((2, 1, 200), 0.3, dtype=np.float32)
    value[0, 0, 100:] = np.nan
    value[1, 0, :190] = np.nan
    history = History.of_gauges(value, cells=("gone", "new"), gauges=("cpu",), step_s=60.0)
    _, spoken = sight(history).channels(counted_rows(history), 0, 200)
    assert spoken[0, 99]
    assert spoken[0, 103]
    assert not spoken[0, 104:].any()
    assert not spoken[0, :19].any()
    assert not spoken[1].any()
