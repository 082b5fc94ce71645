import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab import service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.faults import FaultSpec
from foreshard.lab.policy.bound import BIN_S, Burden
from foreshard.lab.records import UNKNOWN_CELL, Outcome, Records, Run, judge
from foreshard.lab.scores import Conduct, Trial, report
from foreshard.lab.story import Story
from foreshard.lab.timeline import (
    Limits,
    Lives,
    Shares,
    breaches,
    false_evacuations,
    onset_s,
    relieved_s,
)
from foreshard.lab.traffic import Surge
from foreshard.model.errors import LabError

CELLS = ("eu-1", "eu-2")
CHECKOUT, SEARCH, REPORT = range(3)
LIMITS = Limits()


def records(
    *, seconds: int = 60, rate: int = 20, request_class: int = SEARCH, cell: int = 0
) -> Records:
    """A steady stream of good requests."""
    n = seconds * rate
    blank = Records.blank(np.arange(n) / rate, np.full(n, request_class, np.uint8))
    blank.latency_s[:] = 0.1
    blank.lateness_s[:] = 0.001
    blank.status[:] = 200
    blank.outcome[:] = Outcome.ANSWERED
    blank.cell[:] = cell
    return blank


def spoilt(
    of: Records, from_s: float, to_s: float, *, latency_s: float = 0.1, status: int = 200
) -> Records:
    """The same with one stretch gone bad."""
    inside = (of.t_s >= from_s) & (of.t_s < to_s)
    of.latency_s[inside] = latency_s
    of.status[inside] = status
    return of


def a_fault(kind: FaultKind = FaultKind.CREEP, *, cell: str = "eu-1") -> FaultSpec:
    fault = Fault.of(kind, duration_s=10.0)
    return FaultSpec(cells=(cell,), fault=fault, at_s=20.0, lasts_s=10.0)


def a_trial(reactive: Records, foreshard: Records, *faults: FaultSpec) -> Trial:
    return Trial(
        seed=3,
        story=Story(name="test", duration_s=60.0, warm_up_s=5.0, faults=faults),
        classes=service.CLASSES,
        run=Run(
            classes=tuple(c.name for c in service.CLASSES),
            cells=CELLS,
            fleets={"reactive": reactive, "foreshard": foreshard},
        ),
    )


def shares(*rows: tuple[float, Sequence[float]]) -> Shares:
    """Shares per cell, the same for every class."""
    return Shares(
        t_s=np.array([t for t, _ in rows]),
        share=np.array([[list(row)] * len(service.CLASSES) for _, row in rows]),
    )


def dig(found: object, *path: str | int) -> object:
    """A value deep in a report."""
    for step in path:
        found = cast("dict[str | int, object]", found)[step]
    return found


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Outcome)),
            st.sampled_from([0, 200, 404, 429, 503, 504]),
            st.floats(0.0, 7.0),
            st.integers(0, 2),
        ),
        min_size=1,
    )
)
def test_each_bad_request_is_counted_once(rows: list[tuple[Outcome, int, float, int]]) -> None:
    found = Records.blank(np.zeros(len(rows)), np.array([r[3] for r in rows], np.uint8))
    found.outcome[:] = [r[0] for r in rows]
    found.status[:] = [r[1] for r in rows]
    found.latency_s[:] = [r[2] for r in rows]
    verdict = judge(found, service.CLASSES)
    times_counted = verdict.failed.astype(int) + verdict.slow + verdict.shed
    assert np.array_equal(times_counted, verdict.bad.astype(int))
    no_answer = found.outcome != Outcome.ANSWERED
    assert np.all(verdict.failed[no_answer])


def test_a_refusal_is_shed_an_error_failed_and_a_late_answer_slow() -> None:
    one = spoilt(records(seconds=40), 10.0, 15.0, status=429)
    one = spoilt(one, 20.0, 30.0, status=503)
    one = spoilt(one, 30.0, 31.0, latency_s=0.6)
    fleet = dig(report(a_trial(one, records()), Conduct()), "fleets", "reactive")
    assert dig(fleet, "requests") == 35 * 20
    assert (dig(fleet, "shed"), dig(fleet, "failed"), dig(fleet, "slow")) == (100, 200, 20)
    assert dig(fleet, "bad") == 320
    assert dig(fleet, "bad_weighted") == 320 * 3.0
    assert dig(fleet, "weighted_demand") == 700 * 3.0
    assert dig(fleet, "by_class", "search", "bad") == 320
    assert dig(fleet, "by_class", "checkout", "requests") == 0
    assert dig(fleet, "p50_ms") == pytest.approx(100.0, abs=0.1)


def test_the_warm_up_is_not_scored_but_shown() -> None:
    found = report(a_trial(spoilt(records(), 0.0, 5.0, status=503), records()), Conduct())
    assert dig(found, "fleets", "reactive", "bad") == 0
    assert dig(found, "series", "bad_weighted", "reactive", 4) == 60.0


def test_a_report_is_json_and_its_parts_add_up() -> None:
    one = spoilt(records(), 10.0, 50.0, status=503)
    found = json.loads(json.dumps(report(a_trial(one, records(), a_fault()), Conduct())))
    in_window = dig(found, "faults", 0, "bad_weighted", "reactive")
    elsewhere = dig(found, "elsewhere", "bad_weighted", "reactive")
    assert in_window == 22 * 20 * 3.0
    assert elsewhere == 18 * 20 * 3.0
    assert dig(found, "loadgen_lateness_ms_p99") == pytest.approx(1.0)


def test_onset_relief_and_lead_are_read_from_the_run() -> None:
    reactive = spoilt(records(), 27.0, 33.0, latency_s=0.9)
    steered = Conduct(
        decisions=2, shares=shares((0.0, (0.5, 0.5)), (22.5, (0.45, 0.55)), (24.0, (0.2, 0.8)))
    )
    found = report(a_trial(reactive, records(), a_fault()), steered)
    fault = dig(found, "faults", 0)
    assert dig(fault, "relieved_s") == 24.0
    # Requests are counted over two seconds from each moment: one second early at most.
    assert dig(fault, "onset_s") == 26.0
    assert dig(fault, "lead_time_s") == 2.0
    assert dig(found, "false_evacuations") == 0
    assert dig(found, "decisions") == 2


def test_a_fault_that_never_bites_has_no_onset_and_no_lead() -> None:
    found = report(a_trial(records(), records(), a_fault()), Conduct())
    assert dig(found, "faults", 0, "onset_s") is None
    assert dig(found, "faults", 0, "lead_time_s") is None


def test_a_short_blip_is_no_onset() -> None:
    over = breaches(
        spoilt(records(), 25.0, 25.5, latency_s=0.9), service.CLASSES, 2, limits=LIMITS
    )
    assert over.any()
    assert onset_s(over, None, [0], (20.0, 40.0), limits=LIMITS) is None


def test_a_breach_at_another_cell_is_no_onset() -> None:
    over = breaches(
        spoilt(records(cell=1), 25.0, 35.0, status=503), service.CLASSES, 2, limits=LIMITS
    )
    assert onset_s(over, None, [0], (20.0, 40.0), limits=LIMITS) is None
    assert onset_s(over, None, [1], (20.0, 40.0), limits=LIMITS) == 24.0


def test_a_dead_process_is_an_onset_even_if_nobody_asked_it() -> None:
    lives = Lives(t_s=np.arange(60.0), up=np.ones((60, 2), dtype=bool))
    lives.up[31:37, 0] = False
    over = breaches(records(), service.CLASSES, 2, limits=LIMITS)
    assert onset_s(over, lives, [0], (20.0, 40.0), limits=LIMITS) == 31.0
    assert onset_s(over, lives, [1], (20.0, 40.0), limits=LIMITS) is None


def test_two_cells_are_relieved_when_both_are() -> None:
    moved = shares((0.0, (0.5, 0.5)), (21.0, (0.1, 0.9)), (25.0, (0.1, 0.3)))
    rates = np.ones(3)
    assert relieved_s(moved, [0], rates, (20.0, 40.0), limits=LIMITS) == 21.0
    assert relieved_s(moved, [0, 1], rates, (20.0, 40.0), limits=LIMITS) == 25.0
    assert relieved_s(moved, [0, 1], rates, (20.0, 24.0), limits=LIMITS) is None


def test_relief_of_one_class_is_not_seen_in_the_others() -> None:
    moved = shares((0.0, (0.5, 0.5)), (21.0, (0.5, 0.5)))
    moved.share[1, SEARCH] = [0.0, 1.0]
    only_search, only_checkout = np.eye(3)[SEARCH], np.eye(3)[CHECKOUT]
    assert relieved_s(moved, [0], only_search, (20.0, 40.0), limits=LIMITS) == 21.0
    assert relieved_s(moved, [0], only_checkout, (20.0, 40.0), limits=LIMITS) is None


def test_a_drain_without_a_reason_is_false_and_one_with_a_reason_is_not() -> None:
    moved = shares(
        (0.0, (0.5, 0.5)),
        (10.0, (0.1, 0.9)),
        (12.0, (0.2, 0.8)),
        (20.0, (0.5, 0.5)),
        (60.0, (0.5, 0.5)),
    )
    rates = np.ones(3)
    assert false_evacuations(moved, rates, {}, limits=LIMITS) == 1
    assert false_evacuations(moved, rates, {0: [(9.0, 11.0)]}, limits=LIMITS) == 0
    assert false_evacuations(moved, rates, {1: [(9.0, 11.0)]}, limits=LIMITS) == 1
    assert false_evacuations(moved, rates, {0: [(11.0, 19.0)]}, limits=LIMITS) == 1


@given(st.floats(0.81, 1.0))
def test_a_wobble_under_a_fifth_is_no_evacuation(factor: float) -> None:
    moved = shares(
        (0.0, (0.5, 0.5)),
        (10.0, (0.5 * factor, 1 - 0.5 * factor)),
        (11.0, (0.5, 0.5)),
        (60.0, (0.5, 0.5)),
    )
    assert false_evacuations(moved, np.ones(3), {}, limits=LIMITS) == 0


def test_requests_that_the_end_cut_off_are_not_scored() -> None:
    cut = records()
    cut.outcome[-100:] = Outcome.OPEN
    found = report(a_trial(cut, records()), Conduct())
    assert dig(found, "fleets", "reactive", "requests") == 55 * 20 - 100
    assert dig(found, "fleets", "reactive", "bad") == 0


def test_a_run_cut_short_says_how_far_it_came() -> None:
    cut = records()
    cut.outcome[cut.t_s > 33.0] = Outcome.UNSENT
    assert dig(report(a_trial(cut, cut), Conduct()), "ran_s") == 33.0
    assert dig(report(a_trial(records(), records()), Conduct()), "ran_s") == 60.0


def test_answers_are_counted_by_cell_and_second_and_only_where_the_cell_is_known() -> None:
    one = records(cell=1)
    one.cell[:20] = UNKNOWN_CELL
    one.outcome[20:30] = Outcome.TIMED_OUT
    found = report(a_trial(one, records()), Conduct())
    assert dig(found, "series", "cells") == list(CELLS)
    answered = cast("list[list[int]]", dig(found, "series", "answered", "reactive"))
    assert answered[0] == [0] * 60
    assert answered[1] == [0, 10, *[20] * 58]


def test_records_of_other_classes_are_refused() -> None:
    right = a_trial(records(), records())
    with pytest.raises(LabError, match="classes"):
        Trial(seed=1, story=right.story, classes=service.CLASSES[:1], run=right.run)


def an_overload() -> tuple[Trial, Story]:
    """Twenty searches a second, each of one cpu second, on cells that do fifteen."""
    told = Story(
        name="test",
        duration_s=60.0,
        warm_up_s=5.0,
        faults=(),
        surges=(Surge(request_class=SEARCH, factor=2.0, at_s=20.0, lasts_s=8.0),),
    )
    bins = round(60.0 / BIN_S)
    work_s = np.zeros((bins, 3))
    work_s[:, SEARCH] = 20.0 * BIN_S
    burden = Burden(
        capacity_s=np.full(bins, 15.0 * BIN_S),
        work_s=work_s,
        requests=np.array([0.0, 1200.0, 0.0]),
        classes=service.CLASSES,
    )
    shed = spoilt(records(), 20.0, 40.0, status=429)
    return replace(a_trial(records(), shed), story=told, burden=burden), told


def test_both_fleets_are_held_against_what_had_to_be_bad() -> None:
    trial, _ = an_overload()
    found = report(trial, Conduct())
    window = cast("dict[str, Any]", dig(found, "oracle", "window"))
    # Five of twenty, but for the last half second, which the end of the run forgives.
    assert window["bad_weighted_ratio"] == pytest.approx(0.25, abs=0.005)
    assert window["bound_ratio"] == pytest.approx(0.25, abs=0.005)
    assert window["fleets"] == {"reactive": 0.0, "foreshard": 1.0}
    assert window["over_points"]["foreshard"] == pytest.approx(75.0, abs=0.5)
    assert window["over_points"]["reactive"] == pytest.approx(-25.0, abs=0.5)
    assert dig(found, "oracle", "run", "fleets", "foreshard") == pytest.approx(20.0 / 55.0)
    json.dumps(found)


def test_a_run_that_was_ended_early_is_compared_as_far_as_it_went() -> None:
    trial, _ = an_overload()
    short = {name: each.at(each.t_s < 15.0) for name, each in trial.run.fleets.items()}
    found = report(replace(trial, run=replace(trial.run, fleets=short)), Conduct())
    assert dig(found, "oracle", "window") is None
    assert dig(found, "oracle", "run", "bad_weighted_ratio") == pytest.approx(0.25, abs=0.02)


def test_without_a_burden_there_is_no_oracle() -> None:
    assert report(a_trial(records(), records()), Conduct())["oracle"] is None
