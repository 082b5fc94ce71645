from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foreshard.forecast.censoring import (
    LeftAlone,
    by_coin,
    carried_shares,
    censored_by,
    is_relieved,
    weights_of,
)
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.model.errors import ForecastError
from foreshard.model.plan import Intent, IntentSpan


def test_a_cell_that_lost_half_of_its_work_is_relieved_until_it_is_back() -> None:
    share = np.array([[0.2] * 10 + [0.1] * 10 + [0.15] * 5 + [0.2] * 10])
    assert np.flatnonzero(is_relieved(share)[0]).tolist() == list(range(10, 25))


def test_a_cell_that_joins_takes_work_from_all_and_relieves_nobody() -> None:
    share = np.array([[1.0 / 5.0] * 10 + [1.0 / 6.0] * 10])
    assert not is_relieved(share).any()


def test_slow_changes_of_the_plan_are_no_relief() -> None:
    share = np.linspace(0.3, 0.1, 4_000)[None, :]
    assert not is_relieved(share).any()


def test_what_was_taken_over_for_two_hours_may_be_given_back() -> None:
    third, half = 1.0 / 3.0, 1.0 / 2.0
    drained = [third] * 300 + [0.02] * 120 + [third] * 300
    other = [third] * 300 + [half] * 120 + [third] * 300
    found = is_relieved(np.array([drained, other, other]))
    assert np.flatnonzero(found[0]).tolist() == list(range(300, 420))
    assert not found[1:].any()


def test_a_plan_that_stays_is_the_new_usual_some_day() -> None:
    found = is_relieved(np.array([[0.2] * 300 + [0.1] * 8_000]))[0]
    assert found[300:1_740].all()
    assert not found[-1_440:].any()


def test_shares_are_carried_where_the_work_is() -> None:
    load = np.array([[0.6, 0.3, np.nan, np.nan], [0.2, 0.1, 0.2, np.nan], [0.2, 0.1, 0.2, 0.4]])
    share = carried_shares(load.astype(np.float32))
    np.testing.assert_allclose(share[:, 0], [0.6, 0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(share[:, 1], share[:, 0], rtol=1e-6)
    np.testing.assert_allclose(share[:, 2], [np.nan, 0.5, 0.5], rtol=1e-6)
    assert np.isnan(share[:, 3]).all()


def test_silence_changes_nothing() -> None:
    share = np.array([[0.2] * 5 + [np.nan] * 5 + [0.05] + [np.nan] * 5 + [0.2]])
    assert np.flatnonzero(is_relieved(share)[0]).tolist() == list(range(10, 16))


def test_what_came_before_a_relief_within_reach_is_censored() -> None:
    relieved = np.zeros((1, 30), dtype=bool)
    relieved[0, 20:22] = True
    assert np.flatnonzero(censored_by(relieved, reach=5)[0]).tolist() == list(range(15, 22))


@given(
    npst.arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 30))),
    st.integers(1, 40),
)
def test_a_sample_is_censored_exactly_if_a_relief_is_in_its_future(
    relieved: np.ndarray, reach: int
) -> None:
    found = censored_by(relieved, reach=reach)
    for c in range(relieved.shape[0]):
        for t in range(relieved.shape[1]):
            assert found[c, t] == relieved[c, t : t + reach + 1].any()


def test_no_reach_is_refused() -> None:
    with pytest.raises(ForecastError, match="reach is 0"):
        censored_by(np.zeros((1, 1), dtype=bool), reach=0)


def weighed(
    withheld: list[LeftAlone],
    relieved: list[int],
    onset: int | None = None,
    *,
    chosen: bool = True,
) -> list[float]:
    flags = np.zeros((1, 40), dtype=bool)
    flags[0, relieved] = True
    value = np.full((1, 1, 40), 0.5, dtype=np.float32)
    if onset is not None:
        value[0, 0, onset : onset + 3] = 1.0
    history = History.of_gauges(value, cells=("a",), gauges=("g",), step_s=60.0)
    onsets = find_onsets(history, BreachRule(sustain=3, merge_gap_s=0.0, quiet_s=0.0))
    found: list[float] = weights_of(withheld, flags, onsets, chosen=flags & chosen, reach=5)[
        0
    ].tolist()
    return found


def test_what_was_withheld_stands_for_what_was_done() -> None:
    found = weighed([LeftAlone(cell=0, begin=20, end=25, p=0.25)], [])
    assert found == [1.0] * 15 + [4.0] * 10 + [1.0] * 15


def test_what_was_done_weighs_nothing() -> None:
    assert weighed([], [20, 21]) == [1.0] * 15 + [0.0] * 7 + [1.0] * 18


def test_a_failure_before_the_relief_was_seen_and_counts() -> None:
    found = weighed([], list(range(20, 25)), onset=17)
    # From the sample before the onset back it is known; between onset and relief it is not.
    assert found[:17] == [1.0] * 17
    assert found[17:25] == [0.0] * 8


def test_a_failure_in_the_step_in_which_work_is_taken_off_counts() -> None:
    """Who fails over takes all work off within seconds, in the very step of the onset."""
    found = weighed([], list(range(20, 25)), onset=20)
    assert found == [1.0] * 20 + [0.0] * 5 + [1.0] * 15


def test_a_failure_of_the_work_that_comes_back_teaches_nothing() -> None:
    for chosen in (True, False):
        found = weighed([], list(range(10, 20)), onset=20, chosen=chosen)
        assert found[5:20] == [0.0] * 15


def test_a_failure_while_work_was_off_counts_unless_others_speak_for_it() -> None:
    sure = weighed([], list(range(10, 20)), onset=15, chosen=False)
    assert sure == [1.0] * 10 + [0.0] * 10 + [1.0] * 20
    drawn = weighed([], list(range(10, 20)), onset=15)
    assert drawn == [1.0] * 5 + [0.0] * 15 + [1.0] * 20
    # One of its own that only came after the first relief is over.
    twice = weighed([], [*range(10, 13), *range(16, 20)], onset=17, chosen=False)
    assert twice == [1.0] * 5 + [0.0] * 8 + [1.0] * 3 + [0.0] * 4 + [1.0] * 20


def test_no_sample_stands_for_more_than_a_hundred() -> None:
    rare = LeftAlone(cell=0, begin=20, end=25, p=0.001)
    assert max(weighed([rare, rare], [])) == 100.0


def spans(*parts: tuple[str, float, float, float, bool]) -> list[IntentSpan]:
    return [
        IntentSpan(
            intent=Intent(cell=cell, request_class="", p=0.8, propensity=e, acted=acted),
            first_s=first_s,
            last_s=last_s,
        )
        for cell, first_s, last_s, e, acted in parts
    ]


def test_what_was_left_to_chance_is_found_in_the_samples_in_which_it_was() -> None:
    value = np.full((2, 1, 10), 0.5, dtype=np.float32)
    history = History.of_gauges(
        value, cells=("a", "b"), gauges=("g",), step_s=60.0, begins_s=600.0
    )
    alone, chosen = by_coin(
        spans(
            # A sample covers the minute before it.
            ("a", 720.0, 781.0, 0.75, False),
            ("b", 661.0, 719.0, 0.75, True),
            ("a", 900.0, 910.0, 1.0, True),
            ("gone", 700.0, 710.0, 0.75, True),
            ("a", 0.0, 500.0, 0.75, False),
            ("b", 1_130.0, 9_000.0, 0.75, False),
        ),
        history,
    )
    assert alone == (
        LeftAlone(cell=0, begin=2, end=5, p=0.25),
        LeftAlone(cell=1, begin=9, end=10, p=0.25),
    )
    assert np.argwhere(chosen).tolist() == [[1, 2]]


def test_weights_are_right_on_average_whoever_is_withheld() -> None:
    rng = np.random.default_rng(1)
    total, p = np.zeros(40), 0.2
    for _ in range(4_000):
        alone = rng.random() < p
        withheld = [LeftAlone(cell=0, begin=20, end=25, p=p)] if alone else []
        total += weighed(withheld, [] if alone else list(range(20, 25)))
    np.testing.assert_allclose(total / 4_000, 1.0, atol=0.15)


def test_an_impossible_withholding_is_refused() -> None:
    with pytest.raises(ForecastError, match=r"probability 0\.0"):
        LeftAlone(cell=0, begin=1, end=2, p=0.0)
    with pytest.raises(ForecastError, match="from sample 2 to 2"):
        LeftAlone(cell=0, begin=2, end=2, p=0.5)
