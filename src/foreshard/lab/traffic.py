"""This module is when requests arrive and what they ask: drawn once from a seed, for both fleets.

Arrivals are a Poisson process whose rate swings like a (short) day:
`rate(t) = mean * (1 + swing * sin(2 pi t / period))`. They are drawn by inversion: a Poisson
process of rate one on the expected count is stretched back to time, so that one seed at one
rate gives one sequence, whatever the swing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foreshard.model.errors import InvalidValueError

__all__ = ["Demand", "Schedule", "arrivals"]

# Fine enough that linear interpolation of the expected count is exact to a microsecond.
GRID_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How much is asked, of what, for how long.

    Attributes:
        rate_rps: Mean arrivals a second, > 0.
        duration_s: Length, > 0.
        mix: Share of each class in class order; >= 0, summing to 1.
        keys: How many partition keys there are, chosen uniformly; > 0.
        swing: Amplitude of the sinus, in [0, 1).
        period_s: Length of one "day", > 0.
    """

    rate_rps: float
    duration_s: float
    mix: tuple[float, ...]
    keys: int = 4_000
    swing: float = 0.15
    period_s: float = 120.0

    def __post_init__(self) -> None:
        for name in ("rate_rps", "duration_s", "keys", "period_s"):
            if not getattr(self, name) > 0:
                raise InvalidValueError(f"demand: {name} is {getattr(self, name)}, must be > 0")
        if not 0.0 <= self.swing < 1.0:
            raise InvalidValueError(f"demand: swing is {self.swing}, must lie in [0, 1)")
        if not self.mix or min(self.mix) < 0.0 or abs(sum(self.mix) - 1.0) > 1e-6:
            raise InvalidValueError(f"demand: mix {self.mix} must be shares that sum to 1")

    def expected(self, t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Expected number of arrivals up to each moment."""
        turn = 2.0 * np.pi / self.period_s
        swung = t_s + self.swing / turn * (1.0 - np.cos(turn * t_s))
        return np.asarray(self.rate_rps * swung, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every request of a run, in order of arrival; all arrays have one entry a request.

    Attributes:
        t_s: float64, seconds from the start, rising.
        request_class: uint8, index in class order.
        key: int32, partition key.
        draw: int64 >= 0, seeds what the request costs in whichever cell serves it.
    """

    t_s: npt.NDArray[np.float64]
    request_class: npt.NDArray[np.uint8]
    key: npt.NDArray[np.int32]
    draw: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of requests."""
        return len(self.t_s)


def arrivals(demand: Demand, *, seed: int) -> Schedule:
    """Draw the requests of a run; the same demand and seed give the same schedule."""
    times, marks = np.random.default_rng(seed).spawn(2)
    grid_s = np.arange(0.0, demand.duration_s + 2.0 * GRID_S, GRID_S)
    counts = demand.expected(grid_s)
    total = float(demand.expected(np.array([demand.duration_s]))[0])
    # Six standard deviations more than expected: enough gaps are drawn at once.
    enough = int(total + 6.0 * np.sqrt(total) + 16.0)
    ticks = np.cumsum(times.exponential(size=enough))
    t_s = np.interp(ticks[ticks < total], counts, grid_s)
    n = len(t_s)
    return Schedule(
        t_s=t_s,
        request_class=marks.choice(len(demand.mix), size=n, p=demand.mix).astype(np.uint8),
        key=marks.integers(demand.keys, size=n, dtype=np.int32),
        draw=marks.integers(2**53, size=n, dtype=np.int64),
    )
