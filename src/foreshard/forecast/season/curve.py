"""This module is what Prophet learned, as arrays: a trend that bends, and seasons as Fourier sums.

    y(t) = scale * (k + sum of the bends before t) * t + offset, kept in one piece at each bend,
         + sum over a day and a week of  a_n cos(2 pi n t / P) + b_n sin(2 pi n t / P)

(Taylor & Letham 2018, additive). Evaluating it takes no Prophet, only the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError

__all__ = ["SEASONS", "SeasonCurves", "flat_curve"]

Array = NDArray[np.float64]

SEASONS: tuple[tuple[float, int], ...] = ((86_400.0, 8), (604_800.0, 3))
"""Period in seconds and order of each season, in the order of `SeasonCurves.season`."""
_TERMS = 2 * sum(order for _, order in SEASONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonCurves:
    """R curves.

    Attributes:
        begins_s: [R], moment at which a curve's own time is 0.
        lasts_s: [R], length of its unit of time, > 0.
        level: [R], of the trend at its time 0.
        slope: [R], of the trend a unit, before the first bend.
        bends_at: [R, K], times of the bends in its units; inf = none.
        bends: [R, K], changes of the slope.
        season: [R, F], sine and cosine of each order of each season, zeros where it has none.
    """

    begins_s: Array
    lasts_s: Array
    level: Array
    slope: Array
    bends_at: Array
    bends: Array
    season: Array

    def __post_init__(self) -> None:
        r, k = len(self.level), self.bends.shape[-1]
        for field in fields(self):
            array: Array = getattr(self, field.name)
            wanted = {"bends_at": (r, k), "bends": (r, k), "season": (r, _TERMS)}
            shape = wanted.get(field.name, (r,))
            if array.shape != shape:
                raise ForecastError(
                    f"season: {field.name} has shape {array.shape}, must be {shape}"
                )
            finite = array if field.name != "bends_at" else array[array < np.inf]
            if not np.isfinite(finite).all():
                raise ForecastError(f"season: {field.name} is not finite")
        if not (self.lasts_s > 0.0).all():
            raise ForecastError(f"season: lasts_s is {self.lasts_s.min()}, must be above 0")

    def __len__(self) -> int:
        """R."""
        return len(self.level)

    def at(self, time_s: Array) -> Array:
        """The curves at some moments.

        Args:
            time_s: [T].

        Returns:
            [R, T].
        """
        t = (time_s - self.begins_s[:, None]) / self.lasts_s[:, None]
        trend = self.level[:, None] + self.slope[:, None] * t
        for j in range(self.bends.shape[1]):
            after = np.maximum(t - self.bends_at[:, j, None], 0.0)
            trend += self.bends[:, j, None] * after
        return np.asarray(trend + self.season @ _terms(time_s).T)

    def of(self, rows: NDArray[np.int64]) -> Self:
        """Some of the curves."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def joined(cls, curves: Sequence[Self]) -> Self:
        """All curves in one, with room for the most bends among them."""
        most = max(c.bends.shape[1] for c in curves)

        def padded(array: Array, fill: float) -> Array:
            return np.pad(array, ((0, 0), (0, most - array.shape[1])), constant_values=fill)

        return cls(
            begins_s=np.concatenate([c.begins_s for c in curves]),
            lasts_s=np.concatenate([c.lasts_s for c in curves]),
            level=np.concatenate([c.level for c in curves]),
            slope=np.concatenate([c.slope for c in curves]),
            bends_at=np.concatenate([padded(c.bends_at, np.inf) for c in curves]),
            bends=np.concatenate([padded(c.bends, 0.0) for c in curves]),
            season=np.concatenate([c.season for c in curves]),
        )


def flat_curve(level: float) -> SeasonCurves:
    """One curve that neither rises nor has a season."""
    return SeasonCurves(
        begins_s=np.zeros(1),
        lasts_s=np.ones(1),
        level=np.array([level]),
        slope=np.zeros(1),
        bends_at=np.zeros((1, 0)),
        bends=np.zeros((1, 0)),
        season=np.zeros((1, _TERMS)),
    )


def _terms(time_s: Array) -> Array:
    """[T, F], sine and cosine of each order of each season, seconds since the epoch."""
    columns = [
        wave(2.0 * np.pi * order * (time_s / period_s))
        for period_s, orders in SEASONS
        for order in range(1, orders + 1)
        for wave in (np.sin, np.cos)
    ]
    return np.stack(columns, axis=-1)
