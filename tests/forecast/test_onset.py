from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.forecast.history import History
from foreshard.forecast.onset import NO_GAUGE, BreachRule, Onsets, find_onsets, labels
from foreshard.model.errors import ForecastError, InvalidValueError

RULE = BreachRule(sustain=3, merge_gap_s=300.0, quiet_s=240.0)


def fleet(*cells: Sequence[Sequence[float]]) -> History:
    value = np.array(cells, dtype=np.float32)
    names = tuple(f"cell-{i}" for i in range(value.shape[0]))
    gauges = tuple(f"gauge-{i}" for i in range(value.shape[1]))
    return History.of_gauges(value, cells=names, gauges=gauges, step_s=60.0)


def at_limit(*moments: int, samples: int = 40) -> list[float]:
    return [1.0 if t in moments else 0.5 for t in range(samples)]


def episodes(onsets: Onsets) -> list[tuple[int, int, int]]:
    columns = (onsets.cell.tolist(), onsets.begin.tolist(), onsets.end.tolist())
    return list(zip(*columns, strict=True))


def test_a_breach_begins_with_the_first_of_enough_samples() -> None:
    found = find_onsets(fleet([at_limit(4, 5, 10, 11, 12, 13)]), RULE)
    assert episodes(found) == [(0, 10, 13)]


def test_gauges_may_take_turns_at_the_limit() -> None:
    found = find_onsets(fleet([at_limit(10, 12), at_limit(11)]), RULE)
    assert episodes(found) == [(0, 10, 12)]
    assert found.gauge.tolist() == [0]


def test_the_gauge_that_stands_highest_at_the_onset_is_named() -> None:
    high = [2.0 * v for v in at_limit(10, 11, 12)]
    assert find_onsets(fleet([at_limit(10, 11, 12), high]), RULE).gauge.tolist() == [1]


def test_a_gauge_that_does_not_count_makes_no_breach() -> None:
    history = fleet([at_limit(10, 11, 12)])
    found = find_onsets(replace(history, counts=np.zeros((1, 1), dtype=bool)), RULE)
    assert episodes(found) == []
    assert found.scored.all()


def test_fragments_less_than_the_gap_apart_are_one_episode() -> None:
    near = find_onsets(fleet([at_limit(10, 11, 12, 16, 17, 18)]), RULE)
    assert episodes(near) == [(0, 10, 18)]
    apart = find_onsets(fleet([at_limit(10, 11, 12, 17, 18, 19)]), RULE)
    assert episodes(apart) == [(0, 10, 12), (0, 17, 19)]


def test_an_episode_and_the_quiet_time_after_it_are_not_scored() -> None:
    found = find_onsets(fleet([at_limit(10, 11, 12)]), RULE)
    assert np.flatnonzero(~found.scored[0]).tolist() == list(range(10, 17))


def test_declared_breaches_stand_in_for_the_gauges() -> None:
    declared = np.zeros((1, 40), dtype=bool)
    declared[0, 20:24] = True
    history = replace(fleet([at_limit(10, 11, 12)]), declared=declared)
    found = find_onsets(history, RULE)
    assert episodes(found) == [(0, 20, 23)]
    assert found.gauge.tolist() == [NO_GAUGE]


def test_labels_look_from_the_next_sample_to_the_horizon() -> None:
    y, known = labels(find_onsets(fleet([at_limit(10, 11, 12)]), RULE), 4)
    assert np.flatnonzero(y[0]).tolist() == [6, 7, 8, 9]
    assert known[0, :36].all()


def test_the_end_of_the_record_hides_the_answer_unless_it_is_yes() -> None:
    y, known = labels(find_onsets(fleet([at_limit(36, 37, 38)]), RULE), 10)
    assert np.flatnonzero(y[0]).tolist() == list(range(26, 36))
    assert np.flatnonzero(known[0]).tolist() == list(range(36))


def test_an_onset_may_hide_in_a_long_silence_and_not_in_a_short_one() -> None:
    silent = at_limit()
    silent[10:12] = [np.nan] * 2
    silent[20:23] = [np.nan] * 3
    found = find_onsets(fleet([silent]), RULE)
    _, known = labels(found, 5)
    assert np.flatnonzero(~known[0, :35]).tolist() == list(range(15, 22))
    assert np.flatnonzero(~found.scored[0]).tolist() == [20, 21, 22]


def test_a_censored_sample_gives_no_negative_label_but_may_give_a_positive_one() -> None:
    censored = np.zeros((1, 40), dtype=bool)
    censored[0, 5:9] = True
    history = replace(fleet([at_limit(10, 11, 12)]), censored=censored)
    y, known = labels(find_onsets(history, RULE), 3)
    assert np.flatnonzero(~known[0, :37]).tolist() == [5, 6]
    assert y[0, 7]
    assert known[0, 7]


def test_a_horizon_of_nothing_is_refused() -> None:
    with pytest.raises(ForecastError, match="0 samples"):
        labels(find_onsets(fleet([at_limit()]), RULE), 0)


@pytest.mark.parametrize("bad", [{"sustain": 0}, {"merge_gap_s": -1.0}, {"quiet_s": -1.0}])
def test_a_rule_that_means_nothing_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=str(next(iter(bad.values())))):
        BreachRule(**bad)  # type: ignore[arg-type]


values = st.lists(st.sampled_from([0.5, 1.0, 1.5, np.nan]), min_size=60, max_size=60)


@given(
    cells=st.lists(st.tuples(values, values), min_size=1, max_size=2),
    horizon=st.integers(1, 12),
    sustain=st.integers(1, 4),
)
def test_labels_agree_with_their_definition(
    cells: list[tuple[list[float], list[float]]], horizon: int, sustain: int
) -> None:
    rule = BreachRule(sustain=sustain, merge_gap_s=300.0, quiet_s=120.0)
    found = find_onsets(fleet(*cells), rule)
    y, known = labels(found, horizon)
    for c, (one, two) in enumerate(cells):
        hot = [a >= 1.0 or b >= 1.0 for a, b in zip(one, two, strict=True)]
        onsets = found.of_cell(c).tolist()
        heard = "".join(
            "x" if np.isnan(both).all() else "." for both in zip(one, two, strict=True)
        )
        gaps = [g.span() for g in re.finditer("x+", heard) if len(g.group()) >= sustain]
        silent = [any(first <= t < end for first, end in gaps) for t in range(60)]
        for onset in onsets:
            assert all(hot[onset : onset + sustain])
            assert onset == 0 or not hot[onset - 1]
        for t in range(60):
            assert y[c, t] == any(t < onset <= t + horizon for onset in onsets)
            hides = t + horizon >= 60 or any(silent[t + 1 : t + horizon + 1])
            assert known[c, t] == (y[c, t] or not hides)


@given(cells=st.lists(st.tuples(values), min_size=1, max_size=2), cut=st.integers(20, 60))
def test_what_comes_later_moves_no_earlier_onset(
    cells: list[tuple[list[float]]], cut: int
) -> None:
    rule = BreachRule(sustain=2, merge_gap_s=120.0, quiet_s=60.0)
    whole, part = (find_onsets(h, rule) for h in (fleet(*cells), fleet(*cells).until(cut)))
    early = whole.begin < cut - rule.sustain
    assert set(zip(whole.cell[early].tolist(), whole.begin[early].tolist(), strict=True)) <= set(
        zip(part.cell.tolist(), part.begin.tolist(), strict=True)
    )
