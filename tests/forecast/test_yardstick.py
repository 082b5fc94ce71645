from __future__ import annotations

import numpy as np
import pytest

from foreshard.forecast.yardstick import without_common_growth

LEVELS = np.array([0.5, 0.3, 0.1, 0.12, 0.3])
RESOURCES = np.ones(5, dtype=np.bool_)
STEPS = 300


def readings(seed: int, growth: np.ndarray) -> np.ndarray:
    """One cell whose five gauges are their levels times a growth [5, T] or [T]."""
    rng = np.random.default_rng(seed)
    noise = 1.0 + rng.normal(0.0, 0.01, (1, 5, STEPS))
    return np.asarray(LEVELS[None, :, None] * np.broadcast_to(growth, (5, STEPS)) * noise)


def ramp(to: float, *, begins: int = 120) -> np.ndarray:
    return np.interp(np.arange(STEPS), [0, begins, STEPS - 1], [1.0, 1.0, to])


@pytest.mark.parametrize("seed", range(4))
def test_what_all_gauges_do_alike_is_taken_out(seed: int) -> None:
    cleaned = without_common_growth(readings(seed, ramp(1.5)), RESOURCES)
    late, early = cleaned[0, :, -30:].mean(axis=1), cleaned[0, :, :30].mean(axis=1)
    np.testing.assert_allclose(late, early, rtol=0.03)
    np.testing.assert_allclose(early, LEVELS, rtol=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_of_a_meter_that_shows_less_again_the_last_word_is_believed(seed: int) -> None:
    growth = np.where(np.arange(STEPS) < 150, 1.5, 1.0)
    cleaned = without_common_growth(readings(seed, growth), RESOURCES)
    np.testing.assert_allclose(cleaned[0, :, -60:].mean(axis=1), LEVELS, rtol=0.03)
    np.testing.assert_allclose(cleaned[0, :, :60].mean(axis=1), LEVELS, rtol=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_a_leak_beside_steady_gauges_stays_whole(seed: int) -> None:
    growth = np.ones((5, STEPS))
    growth[0] = ramp(1.8)
    value = readings(seed, growth)
    assert without_common_growth(value, RESOURCES) is value


def test_a_leak_beside_a_wrong_meter_is_still_seen() -> None:
    growth = np.tile(ramp(1.3), (5, 1))
    growth[0] *= ramp(1.5)
    cleaned = without_common_growth(readings(5, growth), RESOURCES)[0]
    assert cleaned[0, -30:].mean() / cleaned[0, :30].mean() == pytest.approx(1.46, rel=0.05)


def test_three_gauges_may_have_a_common_cause() -> None:
    value = readings(6, ramp(1.5))
    three = np.array([True, True, True, False, False])
    assert without_common_growth(value, three) is value


def test_silence_and_empty_gauges_decide_nothing() -> None:
    value = readings(7, ramp(1.5))
    value[0, :2, 100:] = np.nan
    assert without_common_growth(value, RESOURCES) is value
    empty = readings(7, ramp(1.5))
    empty[0, :2] *= 0.01
    assert without_common_growth(empty, RESOURCES) is empty
