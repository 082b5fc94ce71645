from __future__ import annotations

import numpy as np
import pytest

from foreshard.lab.gradual.growth import Growth, progress
from foreshard.model.errors import InvalidValueError


def grown(growth: Growth, *, length: int = 60, samples: int = 90, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return progress(growth, length=length, samples=samples, rng=rng)


@pytest.mark.parametrize("growth", [Growth.LINEAR, Growth.EXPONENTIAL])
def test_steady_shapes_are_whole_after_their_length(growth: Growth) -> None:
    course = grown(growth)
    assert course[59] == pytest.approx(1.0)
    assert np.all(np.diff(course) > 0.0)


def test_an_exponential_hides_until_late() -> None:
    assert grown(Growth.EXPONENTIAL)[29] < 0.15


def test_a_random_shape_is_whole_after_its_length_on_average_and_never_falls() -> None:
    courses = np.array([grown(Growth.RANDOM, seed=seed) for seed in range(400)])
    assert courses[:, 59].mean() == pytest.approx(1.0, abs=0.06)
    assert 0.2 < courses[:, 59].std() < 0.5
    assert np.all(np.diff(courses, axis=1) >= 0.0)


def test_a_sawtooth_is_taken_back_again_and_again_and_rises_all_the_same() -> None:
    course = grown(Growth.SAWTOOTH, length=300, samples=300)
    assert np.sum(np.diff(course) < -0.03) >= 4
    assert course[:60].mean() < course[120:180].mean() < course[240:].mean()


def test_a_fault_without_any_length_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="length is 0 samples"):
        grown(Growth.LINEAR, length=0)
