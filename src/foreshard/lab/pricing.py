"""This module is fleets whose costs are known: what a profiler is put on trial with.

Demand of every class swings on its own (a slow wave and a wandering part), cells have their own
mixes, requests come as they like (Poisson) and cost what they like (gamma). Cells use some for
nothing, readings are noisy, and some are broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import LabError

__all__ = ["Pricing", "Second", "seconds"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pricing:
    """A fleet of C cells, K classes, R resources.

    Attributes:
        costs: [K, R] of one request, > 0.
        cells: C.
        rate_rps: [K] at a mean cell.
        base_ratio: Idle use of a cell, as a part of what its mean work uses; each cell differs.
        noise_ratio: Scatter of a reading, as a part of what is used.
        cost_cv: How much requests of a class differ, standard deviation over mean.
        swing: Amplitude of demand's waves, in [0, 1).
        together: Classes whose rates are the same but for a factor.
        drift_per_s: [K] part by which a cost grows a second.
        changes: By class, (when, times as much from then on).
        broken_ratio: Part of readings that are off by several times.
        late_ratio: Part of what a second uses that is counted in the next, as where balancers and
            cells are read at different moments.
        hardware: [C] times as much that a cell uses for the same work; empty = 1.
    """

    costs: Array
    cells: int
    rate_rps: Array
    base_ratio: float = 0.2
    noise_ratio: float = 0.05
    cost_cv: float = 0.5
    swing: float = 0.3
    together: tuple[tuple[int, ...], ...] = ()
    drift_per_s: Array = field(default_factory=lambda: np.zeros(0))
    changes: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    broken_ratio: float = 0.0
    late_ratio: float = 0.0
    hardware: Array = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if self.costs.ndim != 2 or self.rate_rps.shape != self.costs.shape[:1]:
            raise LabError(
                f"pricing: costs {self.costs.shape}, rate_rps {self.rate_rps.shape}: must be "
                "[K, R] and [K]"
            )

    def at(self, t_s: float) -> Array:
        """[K, R] true costs at a moment."""
        times = np.ones(len(self.costs))
        if self.drift_per_s.size:
            times += self.drift_per_s * t_s
        for k, (since_s, factor) in self.changes.items():
            times[k] *= factor if t_s >= since_s else 1.0
        return np.asarray(self.costs * times[:, None])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Second:
    """What is seen of a second.

    Attributes:
        t_s: Since the start.
        rates: [C, K] requests.
        used: [C, R].
    """

    t_s: float
    rates: Array
    used: Array


def seconds(pricing: Pricing, *, seed: int, span_s: int) -> Iterator[Second]:
    """One reading of the fleet a second."""
    rng = np.random.default_rng(seed)
    classes, resources = pricing.costs.shape
    cells = pricing.cells
    mix = rng.gamma(8.0, 1.0 / 8.0, (cells, classes))
    period_s: Array = rng.uniform(120.0, 900.0, (classes,))
    phase: Array = rng.uniform(0.0, 2.0 * np.pi, (classes,))
    for group in pricing.together:
        mix[:, group] = mix[:, group[:1]]
        period_s[list(group)] = period_s[group[0]]
        phase[list(group)] = phase[group[0]]
    size = pricing.hardware if pricing.hardware.size else np.ones(cells)
    mean_work = pricing.rate_rps @ pricing.costs
    base = rng.uniform(0.5, 1.5, (cells, resources)) * pricing.base_ratio * mean_work
    wander = np.zeros((cells, classes))
    before: Array | None = None
    for t in range(span_s):
        wander = 0.98 * wander + rng.normal(0.0, 0.02, (cells, classes))
        for group in pricing.together:
            wander[:, group] = wander[:, group[:1]]
        wave = 1.0 + pricing.swing * np.sin(2.0 * np.pi * t / period_s + phase)
        mean = pricing.rate_rps * mix * wave * np.exp(wander)
        rates: Array = rng.poisson(mean).astype(np.float64)
        for group in pricing.together:
            first = rates[:, group[0]] / pricing.rate_rps[group[0]]
            rates[:, group] = first[:, None] * pricing.rate_rps[list(group)]
        work = np.maximum(rates, 1e-9)[:, :, None] * pricing.at(float(t))
        shape = np.maximum(rates, 1e-9)[:, :, None] / max(pricing.cost_cv, 1e-6) ** 2
        served = rng.gamma(np.broadcast_to(shape, work.shape)) * work / shape
        work_now = size[:, None] * served.sum(axis=1)
        before = work_now if before is None else before
        used = base + work_now + pricing.late_ratio * (before - work_now)
        before = work_now
        used *= 1.0 + rng.normal(0.0, pricing.noise_ratio, used.shape)
        broken = rng.random(used.shape) < pricing.broken_ratio
        used = np.where(broken, used * rng.uniform(0.2, 4.0, used.shape), used)
        yield Second(t_s=float(t), rates=rates, used=used)
