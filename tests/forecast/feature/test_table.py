from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreshard.forecast.feature.column import AHEAD, SHARED, WORDS, columns_of
from foreshard.forecast.feature.plain import past_of, season_of
from foreshard.forecast.feature.span import Spans
from foreshard.forecast.feature.table import describe, lines_of
from foreshard.forecast.history import History
from foreshard.forecast.past import EVERY, coarsened
from foreshard.model.errors import ForecastError
from foreshard.testing.conformance.learner import sample_history

HORIZONS_S = (900.0, 7200.0)
HISTORY = sample_history(days=9)
SPANS = Spans.of(HISTORY.step_s, HORIZONS_S, 3)
NAMES = (*SHARED, *AHEAD, *AHEAD)


def described(history: History, cell: int, at: int, limit: float = 1.0) -> NDArray[np.float32]:
    """[G, F] of one place."""
    lines = lines_of(history, SPANS)
    limits = np.full((1, len(history.gauges)), limit, dtype=np.float32)
    found: NDArray[np.float32] = describe(lines, np.array([cell]), np.array([at]), limits)[0]
    return found


def column(name: str, horizon: int = 0) -> int:
    if name in SHARED:
        return SHARED.index(name)
    return int(columns_of(horizon)[1].start) + AHEAD.index(name)


@given(
    st.integers(0, 3), st.integers(0, 2), st.integers(0, 2500), st.sampled_from([0.5, 0.8, 1.0])
)
@settings(max_examples=60, deadline=None)
def test_compiled_features_are_the_plain_ones(
    cell: int, gauge: int, at: int, limit: float
) -> None:
    found = described(HISTORY, cell, at, limit)[gauge]
    line = HISTORY.value[cell, gauge, : at + 1].astype(np.float64)
    wanted = past_of(line, limit, SPANS)
    for name, value in wanted.items():
        got = found[column(name)]
        assert got == pytest.approx(value, rel=1e-3, abs=2e-3, nan_ok=True), name
    for horizon in range(2):
        for name, value in season_of(line, limit, SPANS, horizon).items():
            got = found[column(name, horizon)]
            assert got == pytest.approx(value, rel=1e-3, abs=2e-3, nan_ok=True), name


@given(st.lists(st.integers(0, 2500), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_sample_by_sample_gives_what_bulk_gives(moments: list[int]) -> None:
    lines = lines_of(HISTORY, SPANS)
    at = np.array(moments)
    limits = np.ones((len(at), 3), dtype=np.float32)
    bulk = describe(lines, np.zeros(len(at), dtype=np.int64), at, limits)
    for i, t in enumerate(moments):
        np.testing.assert_allclose(bulk[i], described(HISTORY.until(t + 1), 0, t), atol=1e-6)


def test_a_memory_of_a_week_gives_what_the_whole_history_gives() -> None:
    at = HISTORY.samples - 1
    first = at - SPANS.reach
    later = HISTORY.between(first, HISTORY.samples)
    np.testing.assert_allclose(
        described(later, 2, at - first), described(HISTORY, 2, at), atol=1e-5
    )


def test_a_short_memory_with_blocks_behind_it_still_knows_the_week() -> None:
    at = HISTORY.samples - 1
    near = replace(HISTORY.between(at - 99, HISTORY.samples), older=coarsened(HISTORY, EVERY))
    short, whole = described(near, 2, 99), described(HISTORY, 2, at)
    for name in ("mean_7d", "max_7d", "at_limit_7d", "near_7d", "since_limit", "mean_1h"):
        np.testing.assert_allclose(
            short[:, column(name)], whole[:, column(name)], atol=1e-5, err_msg=name
        )
    for name in ("ahead_1d", "ahead_7d", "ahead_max"):
        exact, rough = whole[:, column(name, 1)], short[:, column(name, 1)]
        # A block knows no edge and no holding: never too low, and hardly too high.
        assert (rough >= exact - 1e-6).all(), name
        assert (rough <= exact + 0.15).all(), name


@given(st.integers(0, 2**32 - 1), st.integers(300, 2000))
@settings(max_examples=15, deadline=None)
def test_shuffling_the_future_changes_no_feature(seed: int, at: int) -> None:
    chance = np.random.default_rng(seed)
    order = np.arange(HISTORY.samples)
    order[at + 1 :] = chance.permutation(order[at + 1 :])
    shuffled = replace(
        HISTORY,
        value=np.ascontiguousarray(HISTORY.value[:, :, order]),
        load=np.ascontiguousarray(HISTORY.load[:, order]),
        up_s=np.ascontiguousarray(HISTORY.up_s[:, order]),
    )
    for cell in range(3):
        np.testing.assert_array_equal(described(shuffled, cell, at), described(HISTORY, cell, at))


@given(st.integers(0, 39), st.integers(0, 23))
@settings(max_examples=20, deadline=None)
def test_no_block_reaches_beyond_its_sample_whatever_the_step(at: int, begins: int) -> None:
    value = np.random.default_rng(1).random((1, 1, 400), dtype=np.float32)
    whole = History.of_gauges(value, cells=("a",), gauges=("g",), step_s=3600.0)
    first = 300 + begins
    near = replace(whole.between(first, 400), older=coarsened(whole, EVERY))
    spans = Spans.of(3600.0, (3600.0, 86_400.0), 1)
    cut = near.until(at + 1)
    limit = np.ones((1, 1), dtype=np.float32)
    found = [
        describe(lines_of(h, spans), np.array([0]), np.array([at]), limit) for h in (near, cut)
    ]
    np.testing.assert_array_equal(found[0], found[1])


def test_a_lower_limit_is_the_same_as_higher_values() -> None:
    doubled = replace(
        HISTORY, value=HISTORY.value * np.float32(2.0), load=HISTORY.load * np.float32(2.0)
    )
    for at in (700, 1500, 2300):
        np.testing.assert_allclose(
            described(HISTORY, 1, at, 0.5), described(doubled, 1, at), rtol=1e-3, atol=1e-3
        )


def test_the_worst_of_the_others_is_found_by_rank_and_not_by_name() -> None:
    at = 1500
    found = described(HISTORY, 0, at)
    now = found[:, column("now")]
    for gauge in range(3):
        others = np.sort(np.delete(now, gauge))
        assert found[gauge, column("other_now")] == others[-1]
        assert found[gauge, column("second_now")] == others[-2]
    turned = replace(HISTORY, value=np.ascontiguousarray(HISTORY.value[:, ::-1]))
    np.testing.assert_allclose(described(turned, 0, at)[::-1], found, atol=1e-6)


def test_a_gauge_without_a_limit_is_nobodys_worst() -> None:
    lines = lines_of(HISTORY, SPANS)
    limits = np.array([[1.0, np.nan, 1.0]], dtype=np.float32)
    found = describe(lines, np.array([0]), np.array([1500]), limits)[0]
    assert np.isnan(found[1]).all()
    assert found[0, column("other_now")] == found[2, column("now")]
    assert np.isnan(found[0, column("second_now")])


def test_a_cell_is_told_from_its_siblings() -> None:
    value = np.full((4, 1, 600), 0.3, dtype=np.float32)
    value[2, 0] += 0.2
    history = replace(
        History.of_gauges(value, cells=("a", "b", "c", "d"), gauges=("g",), step_s=300.0),
        sibling=np.array([5, 5, 5, -1], dtype=np.int32),
    )
    above = [described(history, cell, 599)[0, column("above_peers")] for cell in range(4)]
    assert above[:3] == pytest.approx([-0.1, -0.1, 0.2], abs=1e-5)
    assert np.isnan(above[3])


def test_work_that_becomes_dearer_shows() -> None:
    load = np.full((1, 600), 0.5, dtype=np.float32)
    value = np.full((1, 1, 600), 0.4, dtype=np.float32)
    value[0, 0, 540:] = 0.6
    history = replace(
        History.of_gauges(value, cells=("a",), gauges=("g",), step_s=300.0), load=load
    )
    assert described(history, 0, 530)[0, column("cost_drift")] == pytest.approx(0.0, abs=1e-5)
    assert described(history, 0, 560)[0, column("cost_drift")] > 0.3


@pytest.mark.parametrize("step_s", [1.0, 10.0, 60.0, 300.0, 3600.0])
def test_any_step_has_windows_that_differ(step_s: float) -> None:
    spans = Spans.of(step_s, (30.0, 86_400.0), 1)
    assert list(spans.recent) == sorted(set(spans.recent))
    assert min(spans.recent) >= 2
    assert spans.horizons[0] >= 1


def test_a_step_of_a_day_is_refused() -> None:
    with pytest.raises(ForecastError, match="longer than an hour"):
        Spans.of(86_400.0, (3600.0,), 1)


def test_every_feature_has_words_and_none_names_a_gauge() -> None:
    assert set(WORDS) == {*SHARED, *AHEAD}
    assert not any(gauge in name for name in WORDS for gauge in ("cpu", "memory", "disk"))
