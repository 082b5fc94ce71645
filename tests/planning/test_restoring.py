"""This module is refused work on its way back: steps, order, room, and no oscillation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foreshard.planning.formulation import refused_above
from foreshard.planning.problem import SOFT_UTILISATION
from foreshard.planning.restoring import GAP, MOST_STEP_S, STEPS, Room, cell_sets, least_shed

PRIORITY = np.array([0, 1, 2])
WORK = np.array([[2.2], [5.4], [3.6]])


def room(capacity: float, flows: int = 3, servable: float = 1.0) -> Room:
    return Room(
        able=np.ones((flows, 1), dtype=bool),
        capacity=np.array([[capacity]]),
        servable=np.full(flows, servable),
    )


def shed_again(live: list[float], *, load: float = 1.0, capacity: float = 18.0) -> list[float]:
    kept = least_shed(
        np.array(live),
        PRIORITY,
        load * WORK,
        room(capacity),
        ceiling=SOFT_UTILISATION,
        interval_s=1.0,
    )
    return [round(float(x), 6) for x in kept]


def test_what_is_shed_comes_back_a_step_at_a_time_and_the_most_important_soonest() -> None:
    assert shed_again([0.0, 0.0, 0.8]) == [0.0, 0.0, round(0.8 - STEPS[2], 6)]
    assert shed_again([0.3, 0.4, 0.9]) == [0.0, round(0.4 - STEPS[1], 6), round(0.9 - STEPS[2], 6)]


def test_room_that_a_more_important_flow_can_use_is_kept_for_it() -> None:
    # Room for the rest of search and half of report, which therefore waits for the other half.
    served = 2.2 + 0.6 * 5.4 + 0.1 * 3.6
    fits = (served + 0.4 * 5.4 + 0.05 * 3.6) / (SOFT_UTILISATION - GAP)
    assert shed_again([0.0, 0.4, 0.9], capacity=fits) == [0.0, 0.15, 0.85]
    none_left = (served + 0.4 * 5.4) / (SOFT_UTILISATION - GAP)
    assert shed_again([0.0, 0.4, 0.9], capacity=none_left) == [0.0, 0.15, 0.9]


def test_a_flow_that_no_cell_can_serve_more_of_keeps_nobody_waiting() -> None:
    live = np.array([0.0, 0.6, 1.0])
    held = Room(
        able=np.ones((3, 1), dtype=bool),
        capacity=np.array([[18.0]]),
        servable=np.array([1.0, 0.4, 1.0]),
    )
    for _ in range(12):
        live = least_shed(live, PRIORITY, WORK, held, ceiling=SOFT_UTILISATION, interval_s=1.0)
    assert live.tolist() == [0.0, 0.6, 0.0]


def test_a_flow_whose_region_is_full_keeps_nobody_of_another_region_waiting() -> None:
    able = np.array([[True, False], [True, True], [True, True]])
    regions = Room(able=able, capacity=np.array([[2.0], [10.0]]), servable=np.ones(3))
    live, work = np.array([0.3, 0.0, 0.5]), np.array([[2.6], [2.0], [2.0]])
    kept = least_shed(live, PRIORITY, work, regions, ceiling=SOFT_UTILISATION, interval_s=1.0)
    assert kept.tolist() == [0.3, 0.0, 0.4]


def test_what_is_refused_later_also_comes_back_earlier() -> None:
    begins = refused_above(PRIORITY)
    assert begins.tolist() == sorted(begins, reverse=True)
    # Full of search and checkout, at a load at which report is refused and search is not.
    capacity = 0.95 * float(WORK[:2].sum()) / (begins[1] - GAP)
    live = np.array([0.0, 0.1, 1.0])
    kept = least_shed(live, PRIORITY, WORK, room(capacity), ceiling=begins, interval_s=1.0)
    assert kept[1] < live[1]
    assert kept[2] == 1.0


def test_a_gap_in_what_is_seen_lets_in_no_more_than_two_steps() -> None:
    kept = least_shed(
        np.array([0.0, 0.0, 1.0]),
        PRIORITY,
        WORK,
        room(18.0),
        ceiling=SOFT_UTILISATION,
        interval_s=300.0,
    )
    assert kept[2] == 1.0 - MOST_STEP_S * STEPS[2]


def test_sets_are_those_that_flows_name_and_all_that_take_work() -> None:
    able = np.array([[True, False, False], [False, False, False]])
    sets = {tuple(s.tolist()) for s in cell_sets(able, np.array([True, True, False]))}
    assert sets == {(True, False, False), (True, True, False)}


def test_nothing_comes_back_without_room_below_the_ceiling() -> None:
    full = WORK.sum() / SOFT_UTILISATION
    assert shed_again([0.0, 0.0, 0.5], capacity=full - 0.5 * WORK[2, 0]) == [0.0, 0.0, 0.5]


def test_a_flow_that_costs_nothing_comes_back_whatever_the_room() -> None:
    kept = least_shed(
        np.array([0.5]),
        np.array([2]),
        np.zeros((1, 1)),
        room(0.001, flows=1),
        ceiling=SOFT_UTILISATION,
        interval_s=1.0,
    )
    assert kept.tolist() == [0.4]


@given(
    live=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
    load=st.floats(0.0, 5.0),
    capacity=st.floats(0.01, 100.0),
)
def test_it_never_demands_more_than_is_shed_nor_lets_in_more_than_fits(
    live: list[float], load: float, capacity: float
) -> None:
    kept = np.array(shed_again(live, load=load, capacity=capacity))
    before = np.array(live)
    assert (kept >= 0.0).all()
    assert (kept <= before + 1e-6).all()
    served = float(((1.0 - kept) * load * WORK[:, 0]).sum())
    already = float(((1.0 - before) * load * WORK[:, 0]).sum())
    rounding = 0.01 * load * float(WORK.sum())
    assert served <= max(already, (SOFT_UTILISATION - GAP) * capacity) + rounding


def test_a_day_of_noise_around_the_ceiling_makes_no_oscillation() -> None:
    rng = np.random.default_rng(7)
    seconds = np.arange(86_400)
    swing = 0.80 + 0.12 * np.sin(2.0 * np.pi * seconds / 3_600.0)
    noisy = swing * (1.0 + 0.02 * rng.standard_normal(seconds.size))
    level, shed, turns, rising = swing[0], 0.0, 0, False
    sheds = []
    for wanted in noisy:
        level += 0.2 * (wanted - level)
        work = level * 18.0 * WORK / WORK.sum()
        over = float(work.sum()) - SOFT_UTILISATION * 18.0
        kept = least_shed(
            np.array([0.0, 0.0, shed]),
            PRIORITY,
            work,
            room(18.0),
            ceiling=SOFT_UTILISATION,
            interval_s=1.0,
        )[2]
        after = float(np.clip(max(over / work[2, 0], kept), 0.0, 1.0))
        if abs(after - shed) > 0.01:
            turns += (after > shed) != rising
            rising = after > shed
        shed = after
        sheds.append(shed)
    assert max(sheds) > 0.15, "the peaks really overload it"
    assert min(sheds[1_800::3_600]) == 0.0, "and between them all is served"
    # Twenty-four peaks: up once and down once each; noise may add as much again.
    assert turns <= 4 * 24
