"""This module is refused work on its way back: steps, order, room, and no oscillation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foreshard.planning.problem import SOFT_UTILISATION
from foreshard.planning.restoring import GAP, STEPS, least_shed

PRIORITY = np.array([0, 1, 2])
WORK = np.array([[2.2], [5.4], [3.6]])


def shed_again(live: list[float], *, load: float = 1.0, capacity: float = 18.0) -> list[float]:
    kept = least_shed(
        np.array(live),
        PRIORITY,
        load * WORK,
        np.array([capacity]),
        ceiling=SOFT_UTILISATION,
        interval_s=1.0,
    )
    return [round(float(x), 6) for x in kept]


def test_what_is_shed_comes_back_a_step_at_a_time_and_the_most_important_first() -> None:
    assert shed_again([0.0, 0.0, 0.8]) == [0.0, 0.0, round(0.8 - STEPS[2], 6)]
    assert shed_again([0.0, 0.4, 0.9]) == [0.0, round(0.4 - STEPS[1], 6), 0.9]
    assert shed_again([0.3, 0.4, 0.9]) == [0.0, round(0.4 - STEPS[1], 6), 0.9]


def test_nothing_comes_back_without_room_below_the_ceiling() -> None:
    full = WORK.sum() / SOFT_UTILISATION
    assert shed_again([0.0, 0.0, 0.5], capacity=full - 0.5 * WORK[2, 0]) == [0.0, 0.0, 0.5]


def test_a_flow_that_costs_nothing_comes_back_whatever_the_room() -> None:
    kept = least_shed(
        np.array([0.5]),
        np.array([2]),
        np.zeros((1, 1)),
        np.array([0.001]),
        ceiling=SOFT_UTILISATION,
        interval_s=10.0,
    )
    assert kept.tolist() == [0.0]


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
            np.array([18.0]),
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
