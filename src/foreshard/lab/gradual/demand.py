"""This module is how much work the cells of a fleet are given: hours, weekdays, and chance.

Siblings share their demand: the hour of the peak, its height, the drift of the day, the surges.
What is a cell's own is small and wanders; that is what makes a cell's siblings its best witness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fleet", "draw_demand", "wander"]

Array = NDArray[np.float64]

DAY_S = 86400.0
PEAK_LOAD = (0.5, 0.68)
NIGHT_OF_PEAK = (0.35, 0.6)
WEEKEND = (0.7, 1.0)
# Demand of siblings wanders by this much within about that time; so does each cell's own share.
SHARED_SD, SHARED_S = 0.03, 2700.0
OWN_SD, OWN_S = 0.02, 1800.0
READING_SD = 0.015
# Surges a day of a group of siblings, and bumps a day of one cell: nobody fails of them.
SURGES_A_DAY, SURGE = 0.15, (1.1, 1.25)
BUMPS_A_DAY, BUMP = 0.25, (1.05, 1.15)
RISE_S = (300.0, 1500.0)
STAY_S = (900.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Groups of sibling cells, and the clock they are looked at by.

    Attributes:
        groups: How many groups, >= 1.
        siblings: Cells in each, >= 1.
        samples: T.
        step_s: Between two samples.
    """

    groups: int
    siblings: int
    samples: int
    step_s: float

    @property
    def size(self) -> int:
        """C."""
        return self.groups * self.siblings

    def spread(self, of_group: Array) -> Array:
        """[groups, ...] to [cells, ...]."""
        return np.repeat(of_group, self.siblings, axis=0)


def wander(
    rows: int, samples: int, *, sd: float, correlation: float, rng: np.random.Generator
) -> Array:
    """[rows, samples] of a stationary first-order autoregression around 0."""
    path = rng.normal(0.0, sd * np.sqrt(1.0 - correlation**2), (samples, rows))
    path[0] = rng.normal(0.0, sd, rows)
    for t in range(1, samples):
        path[t] += correlation * path[t - 1]
    return path.T


def draw_demand(fleet: Fleet, rng: np.random.Generator) -> Array:
    """[C, T] work offered to each cell, as a fraction of its capacity, were all well."""
    g, t, step_s = fleet.groups, fleet.samples, fleet.step_s
    hour = 2.0 * np.pi * np.arange(t) * step_s / DAY_S
    phase = rng.uniform(0.0, 2.0 * np.pi, (g, 1))
    second = rng.uniform(0.0, 0.25, (g, 1))
    wave = np.sin(hour - phase) + second * np.sin(2.0 * hour - rng.uniform(0.0, 6.0, (g, 1)))
    wave = (wave - wave.min()) / (wave.max() - wave.min())
    night = rng.uniform(*NIGHT_OF_PEAK, (g, 1))
    weekday = (np.arange(t) * step_s // DAY_S) % 7
    week = np.where(weekday >= 5, rng.uniform(*WEEKEND, (g, 1)), 1.0)
    # A weekend comes in over hours, not at midnight sharp.
    width = max(int(3.0 * 3600.0 / step_s), 1)
    week = np.apply_along_axis(_smooth, 1, week, width)
    shared = rng.uniform(*PEAK_LOAD, (g, 1)) * (night + (1.0 - night) * wave) * week
    shared *= 1.0 + wander(
        g, t, sd=SHARED_SD, correlation=float(np.exp(-step_s / SHARED_S)), rng=rng
    )
    shared *= _bumps(g, fleet, SURGES_A_DAY, SURGE, rng)
    own = 1.0 + wander(
        fleet.size, t, sd=OWN_SD, correlation=float(np.exp(-step_s / OWN_S)), rng=rng
    )
    own *= rng.uniform(0.9, 1.1, (fleet.size, 1))
    own *= _bumps(fleet.size, fleet, BUMPS_A_DAY, BUMP, rng)
    reading = 1.0 + rng.normal(0.0, READING_SD, (fleet.size, t))
    return np.asarray(fleet.spread(shared) * own * reading)


def _smooth(row: Array, width: int) -> Array:
    padded = np.pad(row, (width // 2, width - width // 2 - 1), mode="edge")
    return np.asarray(np.convolve(padded, np.full(width, 1.0 / width), mode="valid"))


def _bumps(
    rows: int, fleet: Fleet, a_day: float, height: tuple[float, float], rng: np.random.Generator
) -> Array:
    """[rows, T] factors of rises that come, stay and go."""
    factor = np.ones((rows, fleet.samples))
    days = fleet.samples * fleet.step_s / DAY_S
    for row in range(rows):
        for _ in range(rng.poisson(a_day * days)):
            rise = max(int(rng.uniform(*RISE_S) / fleet.step_s), 1)
            stay = max(int(rng.uniform(*STAY_S) / fleet.step_s), 1)
            up = np.linspace(0.0, 1.0, rise)
            shape = np.concatenate((up, np.ones(stay), up[::-1]))
            begin = int(rng.integers(fleet.samples))
            shape = shape[: fleet.samples - begin]
            factor[row, begin : begin + len(shape)] += (rng.uniform(*height) - 1.0) * shape
    return factor
