"""This module is stretches of time in samples, for any step and any horizons."""

from __future__ import annotations

from dataclasses import dataclass

from foreshard.forecast.past import EVERY
from foreshard.model.errors import ForecastError

__all__ = ["DAYS", "Spans"]

_RECENT_S = (180.0, 300.0, 900.0, 3_600.0, 10_800.0)
DAYS = 7
_DAY_S = 86_400.0
_HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """In samples.

    Attributes:
        recent: Five windows, rising: 3, 5, 15, 60 and 180 min where the step allows.
        hour: An hour.
        day: A day.
        per_hour: Samples in an hour, for slopes.
        horizons: H, >= 1.
        tolerance: H, how far a season may be off.
        sustain: Samples at the limit that make a breach.
    """

    recent: tuple[int, int, int, int, int]
    hour: int
    day: int
    per_hour: float
    horizons: tuple[int, ...]
    tolerance: tuple[int, ...]
    sustain: int

    @classmethod
    def of(cls, step_s: float, horizons_s: tuple[float, ...], sustain: int) -> Spans:
        """The spans for a step.

        Raises:
            ForecastError: A day has too few samples to have seasons.
        """
        if step_s > _HOUR_S:
            raise ForecastError(
                f"features: a step of {step_s} s is longer than an hour; take a finer one"
            )
        # Each window is longer than the one before, or they would all be the same.
        a, b, c, d, e = (max(round(s / step_s), 2 + i) for i, s in enumerate(_RECENT_S))
        horizons = tuple(max(round(h / step_s), 1) for h in horizons_s)
        return cls(
            recent=(a, b, c, d, e),
            hour=max(round(_HOUR_S / step_s), 1),
            day=round(_DAY_S / step_s),
            per_hour=_HOUR_S / step_s,
            horizons=horizons,
            tolerance=tuple(max(h // 2, min(h, round(300.0 / step_s))) for h in horizons),
            sustain=sustain,
        )

    @property
    def reach(self) -> int:
        """Samples back to the oldest that counts."""
        longest = max(*self.tolerance, self.recent[2], self.hour)
        return DAYS * self.day + longest + EVERY
