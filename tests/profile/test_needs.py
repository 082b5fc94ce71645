from __future__ import annotations

import numpy as np
import pytest

from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.profile.needs import NeedsPrior, NeedsState, estimate, start, update

DECLARED = np.array([[0.012], [0.024], [0.080]])
SHARES = (0.4, 0.5, 0.1)
CELLS = 6


def prior(*, base_sd: float = 0.06) -> NeedsPrior:
    return NeedsPrior(declared=DECLARED, base_sd=np.array([base_sd]), noise_sd=np.array([0.15]))


class Shop:
    """Six cells that serve Poisson arrivals whose cost is gamma distributed, cv 0.5."""

    def __init__(self, seed: int, *, truth: np.ndarray = DECLARED, base: float = 0.05) -> None:
        self.rng = np.random.default_rng(seed)
        self.truth, self.base = truth, base
        self.state: NeedsState = start(prior(), cells=CELLS)

    def second(self, t: int, *, slow: float = 1.0) -> None:
        rate = 75.0 * (1.0 + 0.15 * np.sin(2 * np.pi * t / 240))
        rates = np.stack([self.rng.poisson(rate * s, CELLS) for s in SHARES], axis=1).astype(float)
        work = self.rng.gamma(np.maximum(4.0 * rates, 1e-9), self.truth[:, 0] / 4.0).sum(axis=1)
        work[2] *= slow
        room = np.minimum(1.0, 3.0 / work)
        used = (self.base + work * room)[:, None]
        self.state = update(self.state, rates * room[:, None], used, dt_s=1.0)

    @property
    def factor(self) -> np.ndarray:
        return estimate(self.state).capacity_factor[:, 0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wrongly_declared_needs_are_put_right(seed: int) -> None:
    truth = DECLARED * np.array([[1.2], [0.8], [1.3]])
    shop = Shop(seed, truth=truth)
    for t in range(300):
        shop.second(t)
    told = estimate(shop.state)
    np.testing.assert_allclose(told.needs, truth, rtol=0.25)
    mix = np.array(SHARES)
    assert mix @ told.needs[:, 0] == pytest.approx(mix @ truth[:, 0], rel=0.04)
    assert np.all((told.low <= told.needs) & (told.needs <= told.high))
    assert told.is_told_apart.all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_quiet_cell_stays_near_one(seed: int) -> None:
    shop = Shop(seed)
    off = []
    for t in range(300):
        shop.second(t)
        if t > 20:
            off.append(np.abs(shop.factor - 1.0).max())
    assert np.quantile(off, 0.5) < 0.03
    assert np.quantile(off, 0.95) < 0.06


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sudden_loss_of_capacity_is_seen_within_five_seconds(seed: int) -> None:
    shop = Shop(seed)
    for t in range(120):
        shop.second(t)
    for t in range(120, 125):
        shop.second(t, slow=1.5)
    assert shop.factor[2] > 1.25
    assert np.all(np.delete(shop.factor, 2) < 1.12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_creep_is_followed_some_seconds_behind(seed: int) -> None:
    shop = Shop(seed)
    for t in range(120):
        shop.second(t)
    for t in range(41):
        shop.second(120 + t, slow=1.0 / (1.0 - 0.4 * t / 40))
    # What the cell was like 8 s before.
    assert shop.factor[2] > 0.95 / (1.0 - 0.4 * 32 / 40)
    mix = np.array(SHARES)
    needs = estimate(shop.state).needs[:, 0]
    assert mix @ needs == pytest.approx(mix @ DECLARED[:, 0], rel=0.06)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_class_that_becomes_dearer_everywhere_is_not_taken_for_slow_cells(seed: int) -> None:
    shop = Shop(seed)
    for t in range(120):
        shop.second(t)
    shop.truth = DECLARED * np.array([[1.0], [1.0], [2.5]])
    blamed = []
    for t in range(120, 240):
        shop.second(t)
        blamed.append(shop.factor.max())
    assert max(blamed) < 1.25
    told, dearer = estimate(shop.state).needs[:, 0], shop.truth[:, 0]
    mix = np.array(SHARES)
    assert mix @ told == pytest.approx(mix @ dearer, rel=0.1)
    assert told[2] / DECLARED[2, 0] > told[1] / DECLARED[1, 0]


def test_what_no_request_explains_is_laid_to_the_cells_after_all() -> None:
    shop = Shop(1)
    for t in range(60):
        shop.second(t)
    idle = np.zeros((CELLS, 3))
    for _ in range(5):
        shop.state = update(shop.state, idle, np.full((CELLS, 1), 2.0), dt_s=1.0)
    assert shop.factor == pytest.approx(np.ones(CELLS), abs=0.1)


def test_classes_whose_rates_move_together_keep_the_declared_ratio_and_say_so() -> None:
    rng = np.random.default_rng(4)
    state = start(prior(), cells=CELLS)
    truth = DECLARED * 1.3
    for _ in range(200):
        rates = rng.uniform(40.0, 90.0, (CELLS, 1)) * np.array([SHARES])
        used = rates @ truth + rng.normal(0.0, 0.1, (CELLS, 1))
        state = update(state, rates, used, dt_s=1.0)
    told = estimate(state)
    assert not told.is_told_apart.any()
    np.testing.assert_allclose(told.needs / DECLARED, 1.3, rtol=0.25)
    assert np.array(SHARES) @ told.needs[:, 0] == pytest.approx(
        np.array(SHARES) @ truth[:, 0], rel=0.04
    )


def test_a_large_base_is_not_taken_for_work() -> None:
    rng = np.random.default_rng(5)
    state = start(prior(base_sd=5.0), cells=CELLS)
    bases = np.linspace(1.0, 6.0, CELLS)[:, None]
    for _ in range(300):
        rates = rng.uniform(10.0, 60.0, (CELLS, 3))
        used = bases + rates @ DECLARED + rng.normal(0.0, 0.1, (CELLS, 1))
        state = update(state, rates, used, dt_s=1.0)
    told = estimate(state)
    np.testing.assert_allclose(told.needs, DECLARED, rtol=0.1)
    np.testing.assert_allclose(told.base, bases, rtol=0.1)


def test_costs_are_never_negative() -> None:
    rng = np.random.default_rng(6)
    state = start(prior(), cells=CELLS)
    for _ in range(200):
        rates = rng.uniform(10.0, 60.0, (CELLS, 3))
        used = rates[:, 1:] @ DECLARED[1:] + rng.normal(0.0, 0.05, (CELLS, 1))
        state = update(state, rates, used, dt_s=1.0)
    needs = estimate(state).needs
    assert np.all(needs >= 0.0)
    assert needs[0, 0] < 0.3 * DECLARED[0, 0]


def test_silence_changes_nothing() -> None:
    shop = Shop(7)
    for t in range(50):
        shop.second(t)
    before = estimate(shop.state)
    after = estimate(
        update(shop.state, np.full((CELLS, 3), np.nan), np.full((CELLS, 1), np.nan), dt_s=1.0)
    )
    np.testing.assert_array_equal(before.needs, after.needs)
    np.testing.assert_array_equal(before.capacity_factor, after.capacity_factor)


def test_without_readings_the_declared_needs_stand() -> None:
    told = estimate(start(prior(), cells=CELLS))
    np.testing.assert_allclose(told.needs, DECLARED)
    assert np.all(told.capacity_factor == 1.0)
    assert not told.is_told_apart.any()


def test_bad_shapes_and_values_are_refused() -> None:
    with pytest.raises(ForecastError, match="needs"):
        update(start(prior(), cells=2), np.zeros((1, 3)), np.zeros((2, 1)), dt_s=1.0)
    with pytest.raises(InvalidValueError, match="declared"):
        NeedsPrior(declared=0.0 * DECLARED, base_sd=np.ones(1), noise_sd=np.ones(1))
    with pytest.raises(InvalidValueError, match="must be"):
        NeedsPrior(declared=DECLARED, base_sd=np.ones(2), noise_sd=np.ones(1))
    with pytest.raises(InvalidValueError, match="base_sd"):
        NeedsPrior(declared=DECLARED, base_sd=-np.ones(1), noise_sd=np.ones(1))
