from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.forecast.learner import Risk, Snapshot
from foreshard.model.errors import ForecastError


def cube(*by_horizon: list[float]) -> NDArray[np.float32]:
    """[H, L] as [H, L, 1, 1]."""
    return np.array(by_horizon, dtype=np.float32)[:, :, None, None]


def risk(p: NDArray[np.float32]) -> Risk:
    return Risk(any=p, by_gauge=p[:, :, :, None])


def test_a_risk_that_rises_or_says_nothing_is_taken() -> None:
    assert risk(cube([0.1, 0.2], [0.3, 0.3])).any[1, 0, 0, 0] == np.float32(0.3)
    risk(cube([np.nan, 0.2], [np.nan, 0.3]))


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (cube([0.3, 0.2], [0.4, 0.4]), "falls with the horizon or with the load"),
        (cube([0.3, 0.3], [0.2, 0.4]), "falls with the horizon or with the load"),
        (cube([1.5]), "leaves"),
        (cube([-0.5]), "leaves"),
    ],
)
def test_a_risk_that_cannot_be_is_refused(p: NDArray[np.float32], words: str) -> None:
    with pytest.raises(ForecastError, match=words):
        risk(p)


def test_shapes_must_match() -> None:
    p = cube([0.1])
    with pytest.raises(ForecastError, match="do not match"):
        Risk(any=p, by_gauge=np.zeros((1, 1, 2, 1, 1), dtype=np.float32))
    with pytest.raises(ForecastError, match="float64"):
        Risk(any=p.astype(np.float64), by_gauge=p[:, :, :, None])


def test_a_snapshot_of_another_version_says_what_to_do() -> None:
    old = Snapshot(kind="hazard", settings={"limits": "many"})
    with pytest.raises(ForecastError, match="has no gauges; it was made by another version"):
        old.words("gauges")
    with pytest.raises(ForecastError, match="limits is 'many', must be a list"):
        old.numbers("limits")
