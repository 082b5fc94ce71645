from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.lab.backtest.alarm import Ground, candidates, raise_alarms, tally
from foreshard.lab.backtest.ground import ground_of
from foreshard.lab.backtest.outline import Outline
from foreshard.lab.backtest.record import Record
from tests.lab.backtest.sample import OUTLINE

T = 60


def ground(onsets: list[list[int]], horizon: int = 5) -> Ground:
    """Cells that fail for two samples at given moments."""
    value = np.full((len(onsets), 1, T), 0.5, dtype=np.float32)
    for c, begins in enumerate(onsets):
        for begin in begins:
            value[c, 0, begin : begin + 2] = 1.0
    names = tuple(f"cell-{c}" for c in range(len(onsets)))
    history = History.of_gauges(value, cells=names, gauges=("g",), step_s=300.0)
    rule = BreachRule(sustain=2, merge_gap_s=600.0, quiet_s=600.0)
    many = len(onsets)
    laid: Any = Record(
        history=history,
        limits=None,  # type: ignore[arg-type]
        starts=np.zeros(many, dtype=np.int64),
        first=np.zeros(many, dtype=np.int64),
        last=np.full(many, T - 1),
    )
    outline: Outline = OUTLINE
    return ground_of(laid, find_onsets(history, rule), outline, 300.0 * horizon, first=laid.starts)


def said(*moments: int, p: float = 0.9) -> NDArray[np.float32]:
    found = np.full((1, T), 0.1, dtype=np.float32)
    found[0, list(moments)] = p
    return found


def alarms(p: NDArray[np.float32], on: Ground) -> list[tuple[int, int]]:
    found = raise_alarms(p, on, np.full(T, 0.5))
    return list(zip(found.at.tolist(), found.lead.tolist(), strict=True))


def test_an_alarm_is_right_when_an_onset_follows_within_the_horizon() -> None:
    on = ground([[30]])
    assert alarms(said(25), on) == [(25, 5)]
    assert alarms(said(24), on) == [(24, 0)]
    assert alarms(said(29), on) == [(29, 1)]


def test_an_alarm_is_silent_for_one_horizon() -> None:
    assert alarms(said(10, 11, 14, 15, 16), ground([[50]])) == [(10, 0), (15, 0)]


def test_nothing_is_said_while_an_episode_lasts_or_right_after() -> None:
    assert alarms(said(30, 31, 32, 33, 34), ground([[30]])) == [(34, 0)]


def test_what_cannot_be_known_raises_no_alarm() -> None:
    assert alarms(said(T - 3), ground([[30]])) == []
    silent = said(20)
    silent[0, 20] = np.nan
    assert alarms(silent, ground([[30]])) == []


def test_a_threshold_may_change_with_time() -> None:
    threshold = np.where(np.arange(T) < 20, 0.95, 0.5)
    found = raise_alarms(said(10, 40), ground([[50]]), threshold)
    assert found.at.tolist() == [40]


def test_a_cut_knows_nothing_of_what_comes_after_it() -> None:
    on = ground([[20, 40]])
    past = on.cut(10, 38)
    assert past.onset_at.tolist() == [10]
    assert not past.usable[0, -5:].any()
    assert past.next_onset[0, 0] == 10


chances = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), min_size=2 * T, max_size=2 * T)
onset_lists = st.lists(st.integers(8, 50), max_size=3, unique=True)


@settings(deadline=None)  # the first call compiles
@given(p=chances, one=onset_lists, two=onset_lists, horizon=st.integers(1, 8))
def test_counts_are_those_of_the_alarms_themselves(
    p: list[float], one: list[int], two: list[int], horizon: int
) -> None:
    on = ground([one, two], horizon)
    told = np.array(p, dtype=np.float32).reshape(2, T)
    thresholds = candidates(told, on.usable)
    counted = tally(told, on, thresholds)
    for k, threshold in enumerate(thresholds):
        found = raise_alarms(told, on, np.full(T, threshold))
        right = found.lead > 0
        assert counted.hits[k].tolist() == np.bincount(found.cell[right], minlength=2).tolist()
        assert counted.false[k].tolist() == np.bincount(found.cell[~right], minlength=2).tolist()
    assert (counted.hits <= counted.onsets).all()


@settings(deadline=None)  # the first call compiles
@given(p=chances, one=onset_lists, budget=st.floats(0.1, 200.0))
def test_the_best_threshold_keeps_the_budget_and_no_other_does_better(
    p: list[float], one: list[int], budget: float
) -> None:
    on = ground([one, [30]])
    told = np.array(p, dtype=np.float32).reshape(2, T)
    counted = tally(told, on, candidates(told, on.usable))
    rate = counted.false.sum(axis=1) / max(counted.days.sum(), 1e-12)
    hits = counted.hits.sum(axis=1)
    for is_eager in (False, True):
        best = counted.best(budget, is_eager=is_eager)
        assert rate[best] <= budget
        assert hits[best] == hits[rate <= budget].max()
    lazy, eager = counted.best(budget), counted.best(budget, is_eager=True)
    assert rate[lazy] <= rate[eager]
    assert counted.threshold[eager] <= counted.threshold[lazy]


def test_no_threshold_is_offered_where_nothing_was_said() -> None:
    assert candidates(np.zeros((1, T), dtype=np.float32), ground([[30]]).usable).tolist() == [
        np.inf
    ]
