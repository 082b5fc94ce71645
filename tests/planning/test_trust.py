from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.planning.harm import HarmCount
from foreshard.planning.trust import LEAST_KEPT, Trial, Trust, full_trust, trusted

CELLS = 6
# checkout (asked once), search and report (may be asked twice).
TWICE = np.array([False, True, True])
WEIGHT = np.array([10.0, 3.0, 1.0])
RATE = np.array([28.0, 35.0, 7.0])
TRIAL = Trial(
    twice=TWICE,
    weight=WEIGHT,
    size=np.ones(CELLS),
    used=0.6,
    serves=np.ones(CELLS, dtype=np.bool_),
    suspected=np.zeros((CELLS, 3), dtype=np.bool_),
    rest_s=10.0,
    longest_rest_s=120.0,
    warm_s=120.0,
)


@dataclass
class Fleet:
    """Cells that get what they are trusted with, and fail or delay a part of it."""

    trial: Trial = TRIAL
    failed: dict[tuple[int, int], float] = field(default_factory=dict)
    slow: dict[tuple[int, int], float] = field(default_factory=dict)
    trust: Trust = field(default_factory=lambda: full_trust(CELLS, RATE.size))
    now_s: float = 0.0
    bad: np.ndarray = field(default_factory=lambda: np.zeros(RATE.size))

    def look(self, times: int = 1) -> Trust:
        for _ in range(times):
            self.now_s += 1.0
            rate = RATE * self.trust.part
            failed, slow = np.zeros_like(rate), np.zeros_like(rate)
            for at, ratio in self.failed.items():
                failed[at] = ratio
            for at, ratio in self.slow.items():
                slow[at] = ratio
            self.bad = self.bad + ((failed + slow) * rate).sum(axis=0)
            count = HarmCount(rate_rps=rate, failed_ratio=failed, slow_ratio=slow)
            self.trust, _ = trusted(self.trust, count, self.trial, now_s=self.now_s, dt_s=1.0)
        return self.trust

    def fails(self, cell: int, ratio: float, classes: tuple[int, ...] = (0, 1, 2)) -> None:
        self.failed |= {(cell, k): ratio for k in classes}


def test_a_cell_that_fails_loses_everything_in_one_look_and_no_other_anything() -> None:
    fleet = Fleet()
    fleet.look(5)
    fleet.fails(2, 0.5)
    part = fleet.look().part
    assert (part[2] == 0.0).all()
    assert (np.delete(part, 2, axis=0) == 1.0).all()
    assert fleet.trust.doubted.tolist() == [c == 2 for c in range(CELLS)]


def test_one_class_that_fails_leaves_alone() -> None:
    fleet = Fleet()
    fleet.fails(2, 0.9, classes=(1,))
    part = fleet.look().part
    assert part[2].tolist() == [1.0, 0.0, 1.0]


def test_a_few_failures_in_a_hundred_are_seen_within_seconds() -> None:
    fleet = Fleet()
    fleet.fails(1, 0.04)
    fleet.look(5)
    assert (fleet.trust.part[1] == 0.0).all()


def test_what_all_cells_do_is_nobodys_fault() -> None:
    fleet = Fleet()
    for cell in range(CELLS):
        fleet.fails(cell, 0.3)
    assert fleet.look(30).is_full


def test_half_of_a_fleet_in_trouble_is_not_what_is_usual() -> None:
    fleet = Fleet()
    for cell in range(3):
        fleet.fails(cell, 0.5)
    part = fleet.look(3).part
    assert (part[:3].mean(axis=0) < 1.0).all()
    assert (part[3:] == 1.0).all()
    assert (part.mean(axis=0) >= LEAST_KEPT - 1e-9).all()


def test_two_failed_requests_are_chance() -> None:
    fleet = Fleet()
    fleet.failed = {(1, 0): 1.0 / RATE[0], (1, 1): 1.0 / RATE[1]}
    fleet.look()
    fleet.failed = {}
    assert fleet.look().is_full


def test_a_burst_of_one_look_moves_nothing_and_delay_that_lasts_moves_a_part() -> None:
    fleet = Fleet()
    fleet.slow = {(1, 0): 0.2, (1, 1): 0.2}
    assert fleet.look().is_full
    part = fleet.look().part[1]
    assert ((part > 0.0) & (part < 1.0)).all()


def test_what_is_mostly_late_leaves_in_a_few_looks() -> None:
    fleet = Fleet()
    fleet.slow = {(1, k): 0.6 for k in range(3)}
    fleet.look(3)
    assert (fleet.trust.part[1] == 0.0).all()


def test_what_the_rest_cannot_carry_is_not_taken_for_a_few_failures() -> None:
    tight = Fleet(trial=replace(TRIAL, used=0.85))
    tight.fails(1, 0.1)
    tight.look(3)
    assert (tight.trust.part[1] > 0.3).all()
    loose = Fleet()
    loose.fails(1, 0.1)
    loose.look(3)
    assert (loose.trust.part[1] == 0.0).all()


def test_two_cells_that_the_rest_can_carry_one_of_leave_one_after_the_other() -> None:
    fleet = Fleet(trial=replace(TRIAL, used=0.7))
    fleet.fails(1, 0.3)
    fleet.fails(2, 0.25)
    part = fleet.look().part
    assert (part[1] == 0.0).all()
    assert (part[2] > 0.0).all()


def test_a_cell_that_recovered_is_tried_first_with_what_may_be_asked_twice() -> None:
    fleet = Fleet()
    fleet.fails(1, 1.0)
    fleet.look()
    fleet.failed = {}
    fleet.look(9)
    assert (fleet.trust.part[1] == 0.0).all()
    tried = fleet.look(2).part[1]
    assert (tried[TWICE] > 0.0).all()
    assert tried[0] == 0.0
    fleet.look(30)
    assert 0.0 < fleet.trust.part[1, 0] < fleet.trust.part[1, 1] < 1.0
    fleet.look(120)
    assert fleet.trust.is_full
    assert fleet.trust.strikes.any()
    fleet.look(240)
    assert not fleet.trust.strikes.any()


def test_trials_of_a_cell_that_stays_sick_become_rarer_and_spare_what_is_asked_once() -> None:
    fleet = Fleet()
    fleet.fails(1, 0.8)
    fleet.look(2)
    first = fleet.bad
    fleet.look(300)
    assert fleet.trust.strikes[1].max() >= 4.0
    assert fleet.trust.strikes[1].max() <= 6.0
    assert fleet.bad[0] == first[0]
    assert fleet.bad.sum() < 2.0 * first.sum()


def test_a_cell_out_of_service_is_another_matter() -> None:
    serves = TRIAL.serves.copy()
    serves[1] = False
    fleet = Fleet(trial=replace(TRIAL, serves=serves))
    fleet.fails(1, 1.0)
    assert fleet.look(3).is_full


def test_silence_is_no_harm() -> None:
    silent = HarmCount(
        rate_rps=np.full((CELLS, 3), np.nan),
        failed_ratio=np.zeros((CELLS, 3)),
        slow_ratio=np.zeros((CELLS, 3)),
    )
    trust, verdict = trusted(full_trust(CELLS, 3), silent, TRIAL, now_s=1.0, dt_s=1.0)
    assert trust.is_full
    assert not verdict.excess.any()


@given(seed=st.integers(0, 2**32 - 1), used=st.floats(0.1, 1.2))
def test_trust_stays_a_part_and_enough_of_the_fleet_is_trusted(seed: int, used: float) -> None:
    rng = np.random.default_rng(seed)
    trust = full_trust(CELLS, 3)
    trial = replace(TRIAL, used=used, size=rng.uniform(0.5, 2.0, CELLS))
    for second in range(40):
        count = HarmCount(
            rate_rps=rng.uniform(0.0, 60.0, (CELLS, 3)),
            failed_ratio=rng.uniform(size=(CELLS, 3)) ** 4,
            slow_ratio=rng.uniform(size=(CELLS, 3)) ** 4,
        )
        before = trust.part.mean(axis=0)
        trust, _ = trusted(trust, count, trial, now_s=float(second), dt_s=1.0)
        assert ((trust.part >= 0.0) & (trust.part <= 1.0)).all()
        kept = trial.size @ trust.part / trial.size.sum()
        assert (kept >= min(LEAST_KEPT, before.min()) - 1e-9).all()


@pytest.mark.parametrize("dt_s", [0.5, 1.0, 3.0])
def test_a_sick_cell_is_found_at_any_pace_of_looks(dt_s: float) -> None:
    trust = full_trust(CELLS, 3)
    rate = np.tile(RATE, (CELLS, 1))
    failed = np.zeros_like(rate)
    failed[4] = 0.5
    count = HarmCount(rate_rps=rate, failed_ratio=failed, slow_ratio=np.zeros_like(rate))
    for turn in range(2):
        trust, _ = trusted(trust, count, TRIAL, now_s=turn * dt_s, dt_s=dt_s)
    assert (trust.part[4] == 0.0).all()
