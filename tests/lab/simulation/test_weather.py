from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab.scenario.fault import FAULT_RANGES, FaultLine, Kind, Recovery, Shape
from foreshard.lab.simulation.course import Cause
from foreshard.lab.simulation.effects import GAUGES, Effects, calm
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.load import mean_rps
from foreshard.lab.simulation.weather import Weather
from foreshard.model.errors import InvalidValueError, LabError
from foreshard.model.events import EventKind
from tests.lab.simulation.playing import (
    CLASSES,
    NAMES,
    RESTART_S,
    play,
    scenario,
    served,
    weather,
)

MEMORY, DISK, DESCRIPTORS, THREADS = (GAUGES.index(name) for name in GAUGES)
# The heap of a healthy cell breathes up to so much.
BREATH = 0.5 * 0.03
CHECKOUT, SEARCH, REPORT = range(3)


def line(kind: Kind, **changes: object) -> FaultLine:
    """From 100 s on, whole at 200 s, for 50 s, in eu-2 or in the demand."""
    told: dict[str, object] = {
        "kind": kind,
        "cells": () if kind.is_of_demand else ("eu-2",),
        "at_s": 100.0,
        "grows_s": 0.0 if kind.is_sudden else 100.0,
        "holds_s": 50.0,
    }
    return FaultLine(**{**told, **changes})  # type: ignore[arg-type]  # a table of changes


def same(one: Effects, other: Effects) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Effects)
    )


def but_for_breath(effects: Effects) -> Effects:
    used = effects.used.copy()
    used[:, MEMORY] = 0.5
    return replace(effects, used=used)


def calm_here() -> Effects:
    return calm(len(NAMES), len(CLASSES), 1, connections=48)


@pytest.mark.parametrize(
    ("shape", "half", "full"),
    [
        (Shape.STEP, 1.0, 1.0),
        (Shape.LINEAR, 0.5, 1.0),
        (Shape.EXPONENTIAL, math.expm1(2.0) / math.expm1(4.0), 1.0),
        # In the middle of a tooth of twenty seconds.
        (Shape.SAWTOOTH, 0.6 * 0.5 + 0.4 * 0.5, 0.6 + 0.4 * 0.5),
        (Shape.LOAD, 0.5, 1.0),
        # Turns of twenty seconds: the third has begun, then the sixth.
        (Shape.PULSE, 0.5, 0.0),
    ],
)
def test_each_shape_grows_as_its_table_says(shape: Shape, half: float, full: float) -> None:
    fault = line(
        Kind.PACKET_LOSS, magnitude=0.8, shape=shape, period_s=20.0, collected=0.4, at_s=100.0
    )
    played = weather(fault)
    assert play(played, 99.9).stall_ratio[1] == 0.0
    begun = play(played, 100.0).stall_ratio[1]
    assert begun == pytest.approx(0.8 if shape is Shape.STEP else 0.0, abs=0.01)
    assert play(played, 150.0).stall_ratio[1] == pytest.approx(0.8 * half, abs=0.01)
    assert play(played, 210.0).stall_ratio[1] == pytest.approx(0.8 * full, abs=0.01)
    assert play(played, 250.0).stall_ratio[1] == 0.0


def test_a_saw_tooth_falls_back_by_what_is_collected_each_time() -> None:
    fault = line(
        Kind.DISK_FILL, grows_s=0.0, holds_s=200.0, shape=Shape.SAWTOOTH, period_s=40.0,
        collected=1.0,
    )  # fmt: skip
    played = weather(fault)
    tops = [play(played, 100.0 + 40.0 * n - 0.1).used[1, DISK] for n in (1, 2, 3)]
    assert tops == pytest.approx([0.3 + 0.7 * 39.9 / 40.0] * 3)
    assert play(played, 220.0).used[1, DISK] == pytest.approx(0.3)


def test_what_grows_with_load_does_not_grow_in_an_empty_cell_and_twice_as_fast_in_a_busy_one() -> (
    None
):
    fault = line(Kind.LEAK, magnitude=0.5, shape=Shape.LOAD)
    assert play(weather(fault), 150.0).used[1, MEMORY] == pytest.approx(0.625, abs=BREATH)
    assert play(weather(fault), 150.0, factor=0.0).used[1, MEMORY] == pytest.approx(
        0.5, abs=BREATH
    )
    assert play(weather(fault), 150.0, factor=2.0).used[1, MEMORY] == pytest.approx(
        0.75, abs=BREATH
    )


def test_the_load_of_one_class_may_drive_a_leak() -> None:
    fault = line(Kind.LEAK, magnitude=0.5, shape=Shape.LOAD, request_class="report")
    played = weather(fault)
    play(played, 100.0)
    only = served(played, 100.0)
    only[:, [CHECKOUT, SEARCH]] = 0.0
    assert played.at(200.0, only).used[1, MEMORY] == pytest.approx(0.75, abs=BREATH)


def test_nothing_happens_without_faults_but_that_heaps_breathe() -> None:
    played = weather()
    for to_s in (0.0, 10.0, 399.9):
        effects = play(played, to_s)
        assert same(but_for_breath(effects), calm_here())
        assert (effects.used[:, MEMORY] >= 0.5).all()
        assert (effects.used[:, MEMORY] <= 0.5 + BREATH).all()
    assert played.falls == ()


# (kind, magnitude, what is read, at rest, whole)
PICTURES = [
    (Kind.LEAK, 0.6, lambda e: e.used[1, MEMORY], 0.5, 0.8),
    (Kind.CREEP, 0.4, lambda e: e.speed[1], 1.0, 0.4),
    (Kind.THROTTLE, 0.4, lambda e: e.speed[1], 1.0, 0.4),
    (Kind.DISK_FILL, 0.5, lambda e: e.used[1, DISK], 0.3, 0.65),
    (Kind.POOL, 0.75, lambda e: e.connections[1], 48.0, 12.0),
    (Kind.DESCRIPTORS, 0.5, lambda e: e.used[1, DESCRIPTORS], 0.1, 0.55),
    (Kind.THREADS, 0.5, lambda e: e.used[1, THREADS], 0.1, 0.55),
    (Kind.SLOW_DEPENDENCY, 1.5, lambda e: e.wait_s[1, SEARCH], 0.0, 1.5),
    (Kind.PACKET_LOSS, 0.3, lambda e: e.stall_ratio[1], 0.0, 0.3),
    (Kind.LATENCY, 0.3, lambda e: e.wait_s[1, REPORT], 0.0, 0.3),
    (Kind.ERRORS, 0.3, lambda e: e.error_ratio[1, CHECKOUT], 0.0, 0.3),
    (Kind.PARTITION, 1.0, lambda e: e.is_reachable[1], 1.0, 0.0),
    (Kind.OUTAGE, 1.0, lambda e: e.is_up[1], 1.0, 0.0),
    (Kind.MAINTENANCE, 1.0, lambda e: e.is_up[1], 1.0, 0.0),
    (Kind.DEPLOY, 0.3, lambda e: e.error_ratio[1, SEARCH], 0.0, 0.3),
    (Kind.SURGE, 2.5, lambda e: e.demand[0, REPORT], 1.0, 2.5),
    (Kind.SURGE, 0.5, lambda e: e.demand[0, REPORT], 1.0, 0.5),
    (Kind.HOT_KEY, 0.2, lambda e: e.hot_ratio, 0.0, 0.2),
    (Kind.FROZEN_METRICS, 1.0, lambda e: e.is_frozen[1], 0.0, 1.0),
    (Kind.ZERO_METRICS, 1.0, lambda e: e.scale[1], 1.0, 0.0),
    (Kind.SCALED_METRICS, 1.5, lambda e: e.scale[1], 1.0, 1.5),
    (Kind.MISSING_METRICS, 1.0, lambda e: e.is_heard[1], 1.0, 0.0),
    (Kind.CLOCK_SKEW, -90.0, lambda e: e.skew_s[1], 0.0, -90.0),
    (Kind.FLAPPING, 1.0, lambda e: e.is_reachable[1], 1.0, 0.0),
]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda row: f"{row[0]} {row[1]}")
def test_each_kind_grows_holds_and_heals_and_touches_no_other_cell(picture: tuple) -> None:  # type: ignore[type-arg]  # a row
    kind, magnitude, read, rest, whole = picture
    fault = line(kind, magnitude=magnitude)
    played, within = weather(fault), BREATH + 0.01
    whole_s = 100.0 if kind.is_sudden else 200.0
    assert read(play(played, 99.9)) == pytest.approx(rest, abs=within)
    if not kind.is_sudden:
        half = read(play(played, 150.0))
        assert half == pytest.approx((rest + whole) / 2.0, abs=within)
    effects = play(played, whole_s + 0.1)
    assert read(effects) == pytest.approx(whole, abs=within)
    quiet = calm_here()
    if not kind.is_of_demand:
        for field in fields(Effects):
            if field.name not in {"hot_ratio", "demand", "used"}:
                others = np.delete(getattr(effects, field.name), 1, axis=0)
                assert np.array_equal(others, np.delete(getattr(quiet, field.name), 1, axis=0))
    assert read(play(played, whole_s + 50.1)) == pytest.approx(rest, abs=within)


def test_every_kind_but_the_crash_has_its_picture() -> None:
    assert {row[0] for row in PICTURES} == set(Kind) - {Kind.CRASH}


def test_only_what_depends_on_something_suffers_from_a_slow_dependency() -> None:
    effects = play(weather(line(Kind.SLOW_DEPENDENCY, magnitude=1.0)), 200.0)
    assert effects.wait_s[1].tolist() == [0.0, pytest.approx(1.0), 0.0]


def test_one_class_alone_may_fail() -> None:
    effects = play(weather(line(Kind.ERRORS, magnitude=0.5, request_class="report")), 200.0)
    assert effects.error_ratio[1].tolist() == [0.0, 0.0, pytest.approx(0.5)]


def test_a_surge_may_come_from_one_origin_and_be_of_one_class() -> None:
    fault = line(Kind.SURGE, magnitude=3.0, origin="us", request_class="search")
    effects = play(Weather(scenario(fault, origins=("eu", "us")), seed=1), 200.0)
    assert effects.demand.tolist() == [[1.0, 1.0, 1.0], [1.0, pytest.approx(3.0), 1.0]]


def test_a_full_disk_fails_what_writes_and_nothing_else() -> None:
    played = weather(line(Kind.DISK_FILL, holds_s=50.0))
    assert play(played, 199.9).error_ratio[1].tolist() == [0.0, 0.0, 0.0]
    assert play(played, 200.0).error_ratio[1].tolist() == [1.0, 0.0, 0.0]
    assert play(played, 250.0).error_ratio[1].tolist() == [0.0, 0.0, 0.0]


def test_without_descriptors_all_are_refused_and_with_few_all_wait() -> None:
    played = weather(line(Kind.DESCRIPTORS))
    few = play(played, 198.0)
    assert few.connections[1] == pytest.approx(18.0)
    assert few.error_ratio[1].max() == 0.0
    none = play(played, 200.0)
    assert none.connections[1] == 0.0
    assert none.error_ratio[1].min() == 1.0


def test_without_threads_all_wait_and_nobody_is_refused() -> None:
    none = play(weather(line(Kind.THREADS)), 200.0)
    assert none.connections[1] == 0.0
    assert none.error_ratio[1].max() == 0.0


def test_a_leak_kills_and_the_supervisor_starts_a_healed_process() -> None:
    played = weather(line(Kind.LEAK, holds_s=math.inf))
    assert play(played, 199.9).is_up[1]
    assert not play(played, 200.0).is_up[1]
    assert not play(played, 206.9).is_up[1]
    risen = play(played, 207.0)
    assert risen.is_up.all()
    assert risen.used[1, MEMORY] <= 0.5 + BREATH
    play(played, 399.0)
    (fall,) = played.deaths
    assert (fall.cell, fall.cause) == ("eu-2", Cause.MEMORY)
    assert (fall.at_s, fall.back_s) == pytest.approx((200.0, 200.0 + RESTART_S))


def test_a_leak_in_the_code_begins_anew_with_each_process() -> None:
    played = weather(line(Kind.LEAK, recovery=Recovery.NEVER))
    play(played, 399.0)
    assert [fall.at_s for fall in played.deaths] == pytest.approx([200.0, 307.0])


def test_two_leaks_add_up_to_one_death() -> None:
    half = line(Kind.LEAK, magnitude=0.6, holds_s=math.inf)
    played = weather(half, replace(half, at_s=150.0))
    play(played, 300.0, step_s=0.1)
    # 0.6 after 100 s, and 0.4 of the other one after 66.7.
    assert [fall.at_s for fall in played.deaths] == pytest.approx([216.7])


@pytest.mark.parametrize(
    "kind", [Kind.LEAK, Kind.CREEP, Kind.POOL, Kind.DESCRIPTORS, Kind.THREADS]
)
def test_a_restart_cures_what_lives_in_the_process_and_it_does_not_begin_again(
    kind: Kind,
) -> None:
    played = weather(line(kind, magnitude=0.5, holds_s=math.inf))
    play(played, 180.0)
    assert played.restart("eu-2", 180.0)
    assert not play(played, 180.1).is_up[1]
    assert same(but_for_breath(play(played, 187.0)), calm_here())
    assert same(but_for_breath(play(played, 390.0)), calm_here())
    (fall,) = played.restarts
    assert (fall.cause, fall.is_death, played.deaths) == (Cause.RESTART, False, ())


@pytest.mark.parametrize("kind", [Kind.THROTTLE, Kind.SLOW_DEPENDENCY, Kind.DISK_FILL])
def test_a_restart_does_not_cure_what_has_its_cause_outside(kind: Kind) -> None:
    fault = line(kind, magnitude=0.5, holds_s=math.inf)
    restarted, left_alone = weather(fault), weather(fault)
    play(restarted, 180.0)
    restarted.restart("eu-2", 180.0)
    assert same(play(restarted, 250.0), play(left_alone, 250.0))


def test_a_fault_whose_recovery_is_a_restart_is_cured_by_one() -> None:
    played = weather(line(Kind.THROTTLE, magnitude=0.5, recovery=Recovery.RESTART))
    play(played, 180.0)
    played.restart("eu-2", 180.0)
    assert play(played, 200.0).speed[1] == 1.0


def test_what_would_begin_while_there_is_no_process_begins_with_the_next_one() -> None:
    crash = line(Kind.CRASH, at_s=95.0)
    played = weather(crash, line(Kind.CREEP, magnitude=0.5, holds_s=math.inf))
    assert play(played, 102.0).speed[1] == pytest.approx(1.0, abs=0.001)
    assert play(played, 152.0).speed[1] == pytest.approx(0.75)


def test_a_crash_is_over_after_the_restart_and_an_outage_after_it_holds() -> None:
    played = weather(
        line(Kind.CRASH), line(Kind.OUTAGE, cells=("us-1", "us-2"), stagger_s=10.0, holds_s=30.0)
    )
    assert play(played, 105.0).is_up.tolist() == [True, False, True, False, True, True]
    assert play(played, 111.0).is_up.tolist() == [True, True, True, False, False, True]
    assert play(played, 131.0).is_up.tolist() == [True, True, True, True, False, True]
    assert [(f.cell, f.cause, f.back_s) for f in played.deaths] == [
        ("eu-2", Cause.CRASH, 107.0),
        ("us-1", Cause.OUTAGE, 130.0),
        ("us-2", Cause.OUTAGE, 140.0),
    ]


def test_an_outage_of_a_cell_that_is_down_keeps_it_down_and_is_no_second_death() -> None:
    played = weather(line(Kind.CRASH), line(Kind.OUTAGE, at_s=103.0, holds_s=30.0))
    assert not play(played, 120.0).is_up[1]
    assert play(played, 133.0).is_up[1]
    (fall,) = played.deaths
    assert (fall.cause, fall.back_s) == (Cause.CRASH, 133.0)


def test_a_cell_that_is_down_is_not_restarted() -> None:
    played = weather(line(Kind.OUTAGE, holds_s=30.0))
    play(played, 110.0)
    assert not played.restart("eu-2", 110.0)
    assert not play(played, 129.9).is_up[1]
    with pytest.raises(InvalidValueError, match="cell 'mars' is unknown"):
        played.restart("mars", 130.0)


def test_time_only_runs_forward() -> None:
    played = weather()
    play(played, 10.0)
    with pytest.raises(LabError, match="only runs forward"):
        played.at(9.0, served(played, 0.1))


def test_a_deploy_rolls_over_cells_one_by_one() -> None:
    fault = line(
        Kind.DEPLOY, cells=("eu-1", "eu-2", "eu-3"), grows_s=0.0, stagger_s=20.0, magnitude=0.5
    )
    played = weather(fault)
    for to_s, ill in ((101.0, 1), (121.0, 2), (141.0, 3), (151.0, 2), (191.0, 0)):
        assert (play(played, to_s).error_ratio[:, 0] > 0.0).sum() == ill


def test_flapping_turns_and_turns() -> None:
    played = weather(line(Kind.FLAPPING, period_s=10.0))
    seen = [bool(play(played, 100.0 + s).is_reachable[1]) for s in (0, 9.9, 10, 19.9, 20, 35, 50)]
    assert seen == [False, False, True, True, False, True, True]


def test_maintenance_is_told_from_its_announcement_to_its_end() -> None:
    off = line(Kind.MAINTENANCE, known_s=40.0)
    rolling = line(
        Kind.DEPLOY, cells=("us-1", "us-2"), stagger_s=30.0, known_s=90.0, holds_s=math.inf
    )
    played = Weather(scenario(off, rolling), seed=1, start_s=1_000.0)
    assert played.events(39.0) == ()
    (told,) = played.events(40.0)
    assert (told.kind, told.cells) == (EventKind.MAINTENANCE, {"eu-2"})
    assert (told.known_at_s, told.starts_at_s, told.ends_at_s) == (1_040.0, 1_100.0, 1_150.0)
    assert [event.starts_at_s for event in played.events(100.0)] == [1_100.0, 1_100.0, 1_130.0]
    later = played.events(160.0)
    assert [(e.kind, e.ends_at_s) for e in later] == [(EventKind.DEPLOY, 1_400.0)] * 2
    assert len({event.id for event in played.events(100.0)}) == 3


def test_the_declared_stretches_say_when_each_cell_is_felt() -> None:
    played = weather(
        line(Kind.MAINTENANCE, known_s=40.0),
        line(Kind.CREEP, magnitude=0.5, cells=("eu-1", "eu-3"), stagger_s=50.0, holds_s=500.0),
        line(Kind.SURGE, magnitude=2.0),
        line(Kind.LEAK, holds_s=math.inf),
    )
    rows = [(s.cell, s.noticed_s, s.begins_s, s.whole_s, s.ends_s) for s in played.stretches]
    assert rows == [
        ("eu-2", 40.0, 100.0, 100.0, 150.0),
        ("eu-1", 100.0, 100.0, 200.0, 400.0),
        ("eu-3", 150.0, 150.0, 250.0, 400.0),
        ("", 100.0, 100.0, 200.0, 250.0),
        ("eu-2", 100.0, 100.0, 200.0, 200.0),
    ]


MAGNITUDES = {
    kind: st.floats(max(0.05, right.above), min(1.0, right.most), allow_nan=False)
    for kind, right in FAULT_RANGES.items()
}


@st.composite
def faults(draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind)) -> FaultLine:
    kind = draw(st.sampled_from(kinds))
    shapes = [s for s in Shape if s is not Shape.LOAD or not kind.is_of_demand]
    cells = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return FaultLine(
        kind=kind,
        cells=() if kind.is_of_demand else tuple(cells),
        at_s=draw(st.floats(0.0, 40.0)),
        grows_s=0.0 if kind.is_sudden else draw(st.floats(0.0, 40.0)),
        holds_s=draw(st.floats(1.0, 40.0)),
        magnitude=draw(MAGNITUDES[kind]),
        shape=draw(st.sampled_from(shapes)),
        recovery=draw(st.sampled_from(Recovery)),
        period_s=draw(st.floats(1.0, 20.0)),
        stagger_s=draw(st.floats(0.0, 10.0)),
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(faults(), max_size=5))
def test_whatever_befalls_whom_the_effects_make_sense_and_are_repeated_to_the_bit(
    told: list[FaultLine],
) -> None:
    first, second = weather(*told), weather(*told)
    for to_s in (0.0, 15.0, 30.0, 45.0, 60.0, 90.0):
        effects = play(first, to_s)
        assert same(effects, play(second, to_s))
        assert (effects.speed > 0.0).all()
        assert (effects.speed <= 1.0).all()
        for ratio in (effects.error_ratio, effects.stall_ratio, effects.used):
            assert ((ratio >= 0.0) & (ratio <= 1.0 + 1e-9)).all()
        assert (effects.wait_s >= 0.0).all()
        assert (effects.demand > 0.0).all()
        assert ((effects.connections >= 0.0) & (effects.connections <= 48.0)).all()
        assert 0.0 <= effects.hot_ratio <= 1.0
    assert first.falls == second.falls


SPEEDS = (Kind.CREEP, Kind.THROTTLE)
SHARES = (Kind.ERRORS, Kind.DEPLOY, Kind.PACKET_LOSS)
WAITS = (Kind.SLOW_DEPENDENCY, Kind.LATENCY)
SIMPLE = (*SPEEDS, *SHARES, *WAITS, Kind.SURGE)


@settings(max_examples=40, deadline=None)
@given(st.lists(faults(SIMPLE), min_size=2, max_size=4), st.floats(0.0, 90.0))
def test_faults_compose_speeds_multiply_waits_add_and_shares_do_as_chance(
    told: list[FaultLine], at_s: float
) -> None:
    together = weather(*told)
    whole = together.at(at_s, served(together, at_s))
    alone = []
    for fault in told:
        played = weather(fault)
        alone.append(played.at(at_s, served(played, at_s)))
    assert np.allclose(whole.speed, np.prod([e.speed for e in alone], axis=0))
    assert np.allclose(whole.demand, np.prod([e.demand for e in alone], axis=0))
    assert np.allclose(whole.wait_s, np.sum([e.wait_s for e in alone], axis=0))
    for name in ("error_ratio", "stall_ratio"):
        passing = np.prod([1.0 - getattr(e, name) for e in alone], axis=0)
        assert np.allclose(1.0 - getattr(whole, name), passing)


def test_a_seed_changes_how_heaps_breathe_and_nothing_else() -> None:
    fault = line(Kind.CREEP, magnitude=0.5)
    one, other = play(weather(fault, seed=1), 150.0), play(weather(fault, seed=2), 150.0)
    assert not np.array_equal(one.used, other.used)
    assert same(but_for_breath(one), but_for_breath(other))


@settings(max_examples=12, deadline=None)
@given(st.lists(faults(), max_size=4))
def test_what_is_foreseen_at_the_start_is_what_happens_when_nobody_acts(
    told: list[FaultLine],
) -> None:
    if any(fault.shape is Shape.LOAD for fault in told):
        # Foreseen by its mean only.
        return
    played = weather(*told)
    truth = Foresight(played)
    foreseen = {to_s: truth.effects(to_s) for to_s in (80.0, 20.0, 50.0)}
    for to_s in (20.0, 50.0, 80.0):
        assert same(foreseen[to_s], play(played, to_s, step_s=0.1))


def test_a_leak_that_grows_with_load_is_foreseen_to_a_few_seconds() -> None:
    played = weather(line(Kind.LEAK, shape=Shape.LOAD, holds_s=math.inf))
    truth = Foresight(played)
    # The day's first half asks for more than the mean.
    ups = [bool(truth.effects(float(at_s)).is_up[1]) for at_s in (180, 195, 200, 207)]
    assert ups[:2] == [True, False]
    assert ups[3]


def test_the_truth_knows_what_a_restart_has_cured_and_plays_nothing_itself() -> None:
    played = weather(line(Kind.LEAK, holds_s=math.inf))
    truth = Foresight(played)
    assert not truth.effects(201.0).is_up[1]
    play(played, 150.0)
    played.restart("eu-2", 150.0)
    assert truth.effects(201.0).is_up[1]
    assert played.now_s == 150.0
    with pytest.raises(LabError, match="ask for now or later"):
        truth.effects(100.0)


def test_the_truth_tells_mean_demand_with_its_day_and_its_surges() -> None:
    fault = line(Kind.SURGE, magnitude=3.0, request_class="report")
    told = scenario(fault, origins=("eu", "us"))
    truth = Foresight(Weather(told, seed=1))
    mean = mean_rps(told)
    assert mean.sum() == pytest.approx(told.rate_rps())
    start = truth.demand_rps(0.0)
    assert start["us", "search"] == pytest.approx(mean[1, SEARCH])
    later = truth.demand_rps(200.0)
    swing = 1.0 + told.load.swing_ratio * math.sin(2.0 * math.pi * 200.0 / told.load.period_s)
    assert later["eu", "report"] == pytest.approx(3.0 * swing * mean[0, REPORT])
    assert later["eu", "checkout"] == pytest.approx(swing * mean[0, CHECKOUT])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": Kind.LEAK, "cells": ()}, "name at least one"),
        ({"kind": Kind.LEAK, "magnitude": 1.5}, "magnitude is 1.5, must be over 0 and at most 1"),
        ({"kind": Kind.SURGE, "cells": ("eu-1",)}, "must be none: it befalls demand"),
        ({"kind": Kind.CREEP, "cells": ("eu-1", "eu-1")}, "a cell is named twice"),
        ({"kind": Kind.PARTITION, "grows_s": 3.0}, "there is no half of it"),
        ({"kind": Kind.MAINTENANCE, "holds_s": math.inf}, "over 0 and finite"),
        ({"kind": Kind.CREEP, "known_s": 3.0}, "only maintenance and deploys are announced"),
        ({"kind": Kind.DEPLOY, "known_s": 300.0}, "at most at_s"),
        ({"kind": Kind.CREEP, "origin": "eu"}, "only a surge comes from somewhere"),
        ({"kind": Kind.SURGE, "shape": Shape.LOAD}, "demand serves nothing"),
        ({"kind": Kind.CREEP, "request_class": "search"}, "it befalls all classes alike"),
        ({"kind": Kind.CREEP, "at_s": -1.0}, "at_s is -1.0, must be 0 or more"),
        ({"kind": Kind.CREEP, "period_s": 0.0}, "period_s is 0.0, must be > 0"),
        ({"kind": Kind.CREEP, "collected": 2.0}, r"must lie in \[0, 1\]"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidValueError, match=says):
        line(**changes)  # type: ignore[arg-type]  # a table of changes


@pytest.mark.parametrize(
    "fault",
    [
        line(Kind.CREEP, cells=("mars-1",), magnitude=0.5),
        line(Kind.ERRORS, magnitude=0.5, request_class="video"),
        line(Kind.SURGE, magnitude=2.0, origin="mars"),
    ],
)
def test_a_scenario_refuses_faults_of_strangers(fault: FaultLine) -> None:
    with pytest.raises(InvalidValueError, match="scenario sample: fault"):
        scenario(fault)


def test_a_scenario_refuses_a_default_class_that_is_none() -> None:
    with pytest.raises(InvalidValueError, match="default_class is 'video'"):
        replace(scenario(), default_class="video")
