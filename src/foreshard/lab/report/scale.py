"""This module is how values become places on an axis, and which of them are written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foreshard.model.errors import LabError

__all__ = ["Scale", "clock", "nice_ticks", "time_ticks"]

# Steps that people count in.
_TIME_STEPS_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400)
# Under this a moment is said in seconds, as in the tables.
SHORT_S = 600.0
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight axis.

    >>> Scale(low=0.0, high=4.0).at(1.0)
    0.25
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise LabError(f"scale: from {self.low} to {self.high}, must rise and be finite")

    def at(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one, never beyond them."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def nice_ticks(high: float, *, most: int) -> tuple[float, ...]:
    """Round values from 0 to `high` or just under it, evenly spaced, at most `most`, at least 2.

    >>> nice_ticks(0.4, most=3)
    (0.0, 0.2, 0.4)
    """
    if not (math.isfinite(high) and high > 0.0 and most >= 2):
        raise LabError(f"ticks: high is {high} and most {most}, must be > 0 and >= 2")
    least = high / (most - 1)
    decade = 10.0 ** math.floor(math.log10(least))
    steps = [decade * n for n in (*_NICE, 20.0)]
    step = next(s for s in steps if math.floor(high / s + 1e-9) + 1 <= most)
    count = math.floor(high / step + 1e-9)
    if count == 0:
        return (0.0, high)
    return tuple(round(i * step, 12) for i in range(count + 1))


def time_ticks(duration_s: float, *, most: int) -> tuple[float, ...]:
    """Round moments from 0 to the end, at most `most` and at least the first.

    >>> time_ticks(240.0, most=9)
    (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0)
    """
    if not (math.isfinite(duration_s) and duration_s > 0.0 and most >= 2):
        raise LabError(f"ticks: duration_s is {duration_s} and most {most}, must be > 0 and >= 2")
    fit = [s for s in _TIME_STEPS_S if duration_s / s + 1 <= most + 1e-9]
    step = fit[0] if fit else 3_600.0 * math.ceil(duration_s / 3_600.0 / (most - 1))
    return tuple(float(i * step) for i in range(int(duration_s / step + 1e-9) + 1))


def clock(seconds: float, *, of_s: float) -> str:
    """A moment on an axis: in seconds while the whole is short, else as on a clock.

    >>> clock(95.0, of_s=240.0), clock(95.0, of_s=900.0), clock(3_600.0, of_s=7_200.0)
    ('95 s', '1:35', '1:00:00')
    """
    whole = round(seconds)
    if of_s <= SHORT_S:
        return f"{whole} s"
    if of_s <= 3_600.0:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3_600}:{whole % 3_600 // 60:02}:{whole % 60:02}"
