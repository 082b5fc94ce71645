"""This module is where the limit of a gauge lies: declared, or learned from a stretch of history.

A limit that nobody declared is taken as a high quantile of what the cell did while all was well.
It says something only where the gauge usually stands well below it: at a flat gauge the quantile
is noise on top of the median, so `min_headroom` between the two is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError, InvalidValueError

__all__ = ["LimitRule", "Limits", "learn_limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """Where the limit of a gauge lies: exactly one of the first two is given.

    Attributes:
        absolute: In the gauge's own unit, > 0.
        quantile: In (0, 1), of the cell's own trusted samples.
        min_headroom: The limit counts only this far or further above the median, in the gauge's
            own unit; >= 0.
    """

    absolute: float | None = None
    quantile: float | None = None
    min_headroom: float = 0.0

    def __post_init__(self) -> None:
        if (self.absolute is None) == (self.quantile is None):
            raise InvalidValueError(
                f"limit: absolute is {self.absolute} and quantile {self.quantile}, "
                "give exactly one of them"
            )
        if self.absolute is not None and not (np.isfinite(self.absolute) and self.absolute > 0.0):
            raise InvalidValueError(f"limit: absolute is {self.absolute}, must be above 0")
        if self.quantile is not None and not 0.0 < self.quantile < 1.0:
            raise InvalidValueError(f"limit: quantile is {self.quantile}, must be in (0, 1)")
        if not self.min_headroom >= 0.0:
            raise InvalidValueError(f"limit: min_headroom is {self.min_headroom}, must be >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of C cells and G gauges.

    Attributes:
        limit: float64 [C, G], in the gauge's own unit; NaN = none is known.
        counts: bool [C, G], reaching it is a breach.
    """

    limit: NDArray[np.float64]
    counts: NDArray[np.bool_]

    def apply(self, raw: NDArray[np.floating]) -> NDArray[np.float32]:
        """Raw values [C, G, T] as fractions of their limits, where there is one above 0.

        A value below its limit never rounds up to it.
        """
        limit = np.where(self.limit > 0.0, self.limit, np.nan)[:, :, None]
        fraction = np.where(np.isnan(limit), raw, raw / limit).astype(np.float32)
        fraction[(raw < limit) & (fraction >= 1.0)] = np.nextafter(np.float32(1), np.float32(0))
        return fraction


def learn_limits(
    raw: NDArray[np.floating],
    rules: Sequence[LimitRule | None],
    *,
    trusted: NDArray[np.bool_],
) -> Limits:
    """Find the limits.

    Args:
        raw: [C, G, T], in the gauges' own units, NaN = missing.
        rules: One a gauge; None = the gauge is context and has no limit.
        trusted: bool [C, T], samples to learn from (a training stretch in which all was well).

    Raises:
        ForecastError: Shapes do not match.
    """
    c, g, t = raw.shape
    if len(rules) != g or trusted.shape != (c, t):
        raise ForecastError(
            f"limits: {len(rules)} rules and trusted {trusted.shape} for values"
            f" of shape {(c, g, t)}"
        )
    limit = np.full((c, g), np.nan)
    counts = np.zeros((c, g), dtype=bool)
    for j, rule in enumerate(rules):
        if rule is None:
            continue
        for i in range(c):
            seen = raw[i, j, trusted[i]].astype(np.float64)
            seen = seen[~np.isnan(seen)]
            limit[i, j], counts[i, j] = _limit_of(seen, rule)
            if rule.absolute is not None:
                # .9 as the values have it: a value that says .9 has reached it.
                limit[i, j] = raw.dtype.type(rule.absolute)
    return Limits(limit=limit, counts=counts)


def _limit_of(seen: NDArray[np.float64], rule: LimitRule) -> tuple[float, bool]:
    """One limit, and whether it counts; `seen` [N] has no NaN."""
    if rule.absolute is not None:
        if rule.min_headroom == 0.0 or not len(seen):
            return rule.absolute, True
        return rule.absolute, bool(rule.absolute - np.median(seen) >= rule.min_headroom)
    if not len(seen):
        return np.nan, False
    limit = float(np.quantile(seen, rule.quantile or 0.0))
    return limit, limit > 0.0 and bool(limit - np.median(seen) >= rule.min_headroom)
