from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.feature.span import Spans
from foreshard.forecast.feature.table import lines_of
from foreshard.forecast.hazard.quiet import NEVER
from foreshard.forecast.hazard.sample import Places, draw_places, levels_of
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, find_onsets, labels
from foreshard.testing.conformance.learner import RULE, sample_history

HISTORY = sample_history()
SPANS = Spans.of(HISTORY.step_s, (900.0, 7200.0), RULE.sustain)
LEAKY, SILENT = 1, 3


def drawn(history: History, *, most: int = 100_000, rule: BreachRule = RULE) -> Places:
    return draw_places(
        lines_of(history, SPANS),
        history,
        levels_of(history),
        (rule, find_onsets(history, rule)),
        chance=np.random.default_rng(0),
        most=most,
        between=(SPANS.day, history.samples),
    )


def at_real_limits(places: Places) -> np.ndarray:
    return np.asarray((np.isnan(places.limit) | (places.limit == 1.0)).all(axis=1))


def only_leaky() -> History:
    only = np.zeros_like(HISTORY.counts)
    only[LEAKY, 1] = True
    return replace(HISTORY, counts=only)


def killed_at_the_limit() -> History:
    """The same cell, of which no sample is at the limit: a kernel kills it when it comes there."""
    history = only_leaky()
    value = history.value.copy()
    up_s = np.full(history.up_s.shape, 1e6, dtype=np.float32)
    up_s += history.step_s * np.arange(history.samples, dtype=np.float32)
    episodes = find_onsets(history, RULE)
    for begin, end in zip(episodes.begin, episodes.end, strict=True):
        value[LEAKY, 1, begin : end + 1] = 0.2
        value[LEAKY, 1, begin - 1] = 0.97
        up_s[LEAKY, begin:] = history.step_s * np.arange(history.samples - begin)
    value[LEAKY, 1] = np.minimum(value[LEAKY, 1], 0.97)
    return replace(history, value=value, up_s=up_s)


@pytest.mark.parametrize("history_of", [only_leaky, killed_at_the_limit])
def test_real_limits_are_shown_with_the_labels_that_are_scored(
    history_of: Callable[[], History],
) -> None:
    history = history_of()
    places = drawn(history)
    here = at_real_limits(places) & ~np.isnan(places.limit[:, 1])
    assert here.sum() > 30
    onsets = find_onsets(history, RULE)
    for horizon in SPANS.horizons:
        y, known = labels(onsets, horizon)
        came = places.ahead[here, 1] <= horizon
        told = came | (places.sight[here] >= horizon)
        assert came.any()
        at = places.at[here]
        np.testing.assert_array_equal(came, y[LEAKY, at])
        np.testing.assert_array_equal(told, known[LEAKY, at])


def test_weights_make_up_for_what_was_not_drawn() -> None:
    few, many = drawn(HISTORY, most=2_000), drawn(HISTORY)
    assert len(few.at) < 0.5 * len(many.at)
    assert few.weight.sum() == pytest.approx(many.weight.sum(), rel=0.1)


def test_a_sample_counts_as_much_as_its_weight_says() -> None:
    weight = np.ones(HISTORY.load.shape, dtype=np.float32)
    weight[LEAKY] = 3.0
    plain, heavy = drawn(HISTORY), drawn(replace(HISTORY, weight=weight))
    of_leaky = plain.cell == LEAKY
    np.testing.assert_allclose(heavy.weight[of_leaky], 3.0 * plain.weight[of_leaky])
    np.testing.assert_array_equal(heavy.weight[~of_leaky], plain.weight[~of_leaky])


def test_silence_hides_what_came() -> None:
    value = HISTORY.value.copy()
    value[LEAKY, :, 1200:1300] = np.nan
    places = drawn(replace(HISTORY, value=value))
    before = (places.cell == LEAKY) & (places.at < 1200) & (places.at > 1190)
    assert before.any()
    assert (places.sight[before] == 1199 - places.at[before]).all()
    free = (places.cell == LEAKY) & (places.at > 1310)
    assert (places.sight[free] > 10 * SPANS.horizons[-1]).all()


def test_after_an_intervention_only_what_came_is_known() -> None:
    places = drawn(replace(HISTORY, censored=np.ones_like(HISTORY.censored)))
    assert len(places.at)
    assert (places.sight == 0).all()
    assert (places.ahead.min(axis=1) <= SPANS.horizons[-1]).all()


def test_a_gauge_is_shown_before_levels_that_it_reaches_and_its_limit() -> None:
    levels = levels_of(HISTORY)
    assert (levels[HISTORY.counts][:, -1] == 1.0).all()
    assert np.isnan(levels[~HISTORY.counts]).all()
    own = levels[LEAKY, 1]
    assert not np.isnan(own).any()
    assert (np.diff(own[:-1]) > 0.0).all()


def test_what_never_came_is_later_than_any_sample() -> None:
    places = drawn(HISTORY)
    assert (places.ahead[places.cell == SILENT] == NEVER).any()
