from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.averted import Case, averted_by_holdout
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.forecast.outcome import LeftOut, Lived, Outcomes, outcomes_of
from foreshard.model.errors import InvalidValueError
from foreshard.model.plan import COIN_S, Intent, IntentSpan

STEP_S, REACH, SAMPLES = 60.0, 60, 240
RULE = BreachRule(sustain=3, merge_gap_s=600.0, quiet_s=600.0)
# A whole hour: the coin that falls at sample 0 lies until sample 60.
BEGINS_S = 10.0 * COIN_S


def span(
    at: int,
    *,
    acted: bool = True,
    e: float = 0.75,
    request_class: str = "",
    cell: str = "a",
    length: int = 0,
) -> IntentSpan:
    """Asked for in the step that ends at a sample, and for some more steps."""
    intent = Intent(cell=cell, request_class=request_class, p=0.7, propensity=e, acted=acted)
    first_s = BEGINS_S + at * STEP_S - 10.0
    return IntentSpan(intent=intent, first_s=first_s, last_s=first_s + length * STEP_S)


def lived(
    *,
    onset: int | None = None,
    off: tuple[int, int] | None = None,
    silent: tuple[int, int] | None = None,
    restarted: int | None = None,
) -> Lived:
    value = np.full((1, 1, SAMPLES), 0.5, dtype=np.float32)
    if onset is not None:
        value[0, 0, onset : onset + 4] = 1.0
    if silent is not None:
        value[0, 0, slice(*silent)] = np.nan
    history = History.of_gauges(
        value, cells=("a",), gauges=("g",), step_s=STEP_S, begins_s=BEGINS_S
    )
    if restarted is not None:
        up_s = np.full((1, SAMPLES), 1e6, dtype=np.float32)
        up_s[0, restarted:] = STEP_S * np.arange(SAMPLES - restarted)
        history = replace(history, up_s=up_s)
    flags = np.zeros((1, SAMPLES), dtype=bool)
    if off is not None:
        flags[0, slice(*off)] = True
    return Lived(history=history, onsets=find_onsets(history, RULE), off=flags, reach=REACH)


def only(found: Outcomes) -> Case:
    (case,) = found.cases
    assert not found.left_out
    return case


def left_out(spans: Sequence[IntentSpan], world: Lived) -> dict[LeftOut, int]:
    return dict(outcomes_of(spans, world).left_out)


def test_what_was_acted_upon_in_time_did_not_fail() -> None:
    case = only(outcomes_of([span(20)], lived(off=(21, 60))))
    assert case == Case(
        propensity=0.75, acted=True, failed=False, probe_failed=False, doubt=case.doubt
    )


def test_a_cell_that_failed_with_its_work_on_it_failed_whatever_was_intended() -> None:
    assert only(outcomes_of([span(20)], lived(onset=30))).failed
    # Work left in the step of the failure: too late.
    assert only(outcomes_of([span(20)], lived(onset=30, off=(30, 60)))).failed
    # It failed of the work that came back.
    assert only(outcomes_of([span(20)], lived(onset=50, off=(21, 45)))).failed
    # Beyond the hour it is another story.
    assert not only(outcomes_of([span(20)], lived(onset=81))).failed
    assert only(outcomes_of([span(20)], lived(onset=80))).failed


def test_a_cell_that_failed_while_its_work_was_elsewhere_is_what_probes_show() -> None:
    case = only(outcomes_of([span(20)], lived(onset=40, off=(21, 60))))
    assert (case.failed, case.probe_failed) == (False, True)
    # What comes after a restart would not have come without it.
    again = only(outcomes_of([span(20)], lived(onset=40, off=(21, 60), restarted=35)))
    assert (again.failed, again.probe_failed) == (False, False)
    unheard = only(outcomes_of([span(20)], lived(off=(21, 60), silent=(21, 60))))
    assert (unheard.failed, unheard.probe_failed) == (False, None)
    assert only(outcomes_of([span(20)], lived())).probe_failed is None


def test_what_was_withheld_is_told_by_what_came() -> None:
    world = lived(onset=40)
    case = only(outcomes_of([span(20, acted=False)], world))
    assert case == Case(propensity=0.75, acted=False, failed=True, doubt=case.doubt)
    assert not only(outcomes_of([span(20, acted=False)], lived())).failed
    # A cell that dies is failed over in the same step: that is a failure, and no relief.
    assert only(outcomes_of([span(20, acted=False)], lived(onset=40, off=(40, 90)))).failed


def test_what_is_no_case_does_not_depend_on_the_coin() -> None:
    for acted in (True, False):
        early, late = span(0, acted=acted), span(SAMPLES - REACH, acted=acted)
        assert left_out([early], lived()) == {LeftOut.FORGOTTEN: 1}
        assert left_out([span(9, acted=acted, cell="b")], lived()) == {LeftOut.FORGOTTEN: 1}
        assert left_out([late], lived()) == {LeftOut.OPEN: 1}
        asked = [span(20, acted=acted)]
        assert left_out(asked, lived(onset=18)) == {LeftOut.FAILING: 1}
        assert left_out(asked, lived(off=(10, 21))) == {LeftOut.OFF: 1}
        assert left_out(asked, lived(silent=(15, 25))) == {LeftOut.UNHEARD: 1}
        assert left_out(asked, lived(silent=(30, 40))) == {LeftOut.UNHEARD: 1}


def test_a_doubt_that_goes_on_after_a_coin_fell_for_acting_is_no_new_case() -> None:
    for acted in (True, False):
        guarded = [span(50, length=9), span(61, acted=acted)]
        found = outcomes_of(guarded, lived())
        assert len(found.cases) == 1
        assert found.left_out == {LeftOut.AGAIN: 1}
    later = [span(20, length=9), span(61)]
    assert len(outcomes_of(later, lived()).cases) == 2
    other = [span(50, length=9, request_class="report"), span(61, request_class="search")]
    assert len(outcomes_of(other, lived()).cases) == 2


def test_withheld_until_a_later_coin_fell_others_stand_for_it() -> None:
    first, again = span(50, acted=False, length=9), span(61, acted=False)
    relieved = outcomes_of([first, span(61)], lived(off=(62, 90)))
    assert relieved.left_out == {LeftOut.WEIGHED: 1}
    assert [case.acted for case in relieved.cases] == [True]
    both = outcomes_of([first, again], lived(onset=70))
    assert [(case.failed, case.stands_for) for case in both.cases] == [(True, 4.0), (True, 1.0)]
    assert len({case.doubt for case in both.cases}) == 1, "one cell's fate, seen twice"
    # The second coin had not fallen yet when it failed.
    sooner = outcomes_of([first, again], lived(onset=59))
    assert [case.stands_for for case in sooner.cases] == [1.0]
    without = outcomes_of([first], lived(off=(70, 90)))
    assert without.left_out == {LeftOut.RELIEVED: 1}


def test_the_estimate_is_right_on_average_where_coins_fall_again_and_again() -> None:
    """Cells in doubt for two hours, a coin each hour; 2 of 5 would fail after 70 minutes.

    Who is relieved does not fail. Without weights for those that a second coin relieved, what is
    averted at the first one would look like much less.
    """
    rng = np.random.default_rng(3)
    errors, held, cases_of_first = [], 0, 0
    for _ in range(100):
        cases, averted = list[Case](), 0
        for _ in range(120):
            would_fail = rng.random() < 0.4
            first, second = (bool(rng.random() < 0.6) for _ in range(2))
            spans = [span(50, acted=first, e=0.6, length=9)]
            if not first:
                spans.append(span(61, acted=second, e=0.6, length=10))
            off = (51, 170) if first else (62, 170) if second else None
            onset = 100 if would_fail and off is None else None
            found = outcomes_of(spans, lived(onset=onset, off=off))
            cases += found.cases
            averted += would_fail * (first or second)
        estimate = averted_by_holdout(cases)
        assert estimate is not None
        errors.append(estimate.failures - averted)
        held += estimate.low <= averted <= estimate.high
        cases_of_first += estimate.of
    assert cases_of_first == pytest.approx(100 * 120 * 0.84, rel=0.03)
    assert abs(float(np.mean(errors))) < 2.5
    assert held >= 85


def test_a_case_stands_for_itself_at_least() -> None:
    with pytest.raises(InvalidValueError, match=r"stands for 0\.5"):
        Case(propensity=0.5, acted=False, failed=True, stands_for=0.5)
