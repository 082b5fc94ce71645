"""This module is the features in NumPy, one place at a time: what the compiled ones are held to.

Slow, and written to be read.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.feature.span import DAYS, Spans

__all__ = ["past_of", "season_of"]

Line = NDArray[np.float64]


def past_of(x: Line, limit: float, spans: Spans) -> dict[str, float]:
    """Features of the last hours of a line [T] that ends now; see `recent.describe_past`."""
    z = x / limit
    found = {"now": float(z[-1])}
    names = ("3m", "5m", "15m", "1h", "3h")
    with warnings.catch_warnings():
        # Means and extremes of nothing are NaN, as they should be.
        warnings.simplefilter("ignore", RuntimeWarning)
        for i, (name, window) in enumerate(zip(names, spans.recent, strict=True)):
            part = z[-window:]
            heard = ~np.isnan(part)
            found[f"mean_{name}"] = float(np.nanmean(part))
            if i > 0:
                found[f"max_{name}"] = float(np.nanmax(part))
            if 0 < i < 4:
                found[f"min_{name}"] = float(np.nanmin(part))
                when = np.arange(-len(part) + 1, 1)[heard]
                if heard.sum() > 1:
                    slope, level = np.polyfit(when, part[heard], 1)
                    found[f"slope_{name}"] = float(slope * spans.per_hour)
                    found[f"line_{name}"] = float(level + slope * window)
                if i > 1:
                    found[f"sd_{name}"] = float(np.nanstd(part))
        hour = z[-spans.hour :]
        found["at_limit_1h"] = float(np.sum(hour >= 1.0))
        found["heard"] = float(np.sum(~np.isnan(hour)) / spans.hour)
        ages = np.flatnonzero(~np.isnan(z[::-1][: spans.recent[4]]))
        found["age"] = float(ages[0]) if len(ages) else np.nan
    return found


def season_of(x: Line, limit: float, spans: Spans, horizon: int) -> dict[str, float]:
    """Features of the time ahead on the days before; see `season.describe_season`."""
    z, t = x / limit, len(x) - 1
    h = spans.horizons[horizon]
    held = np.full(len(z), np.nan)
    for k in range(len(z) - spans.sustain + 1):
        held[k] = np.min(z[k : k + spans.sustain])
    exact: dict[int, float] = {}
    lifted: dict[int, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        level = float(np.nanmean(z[-spans.recent[2] :]))
        for day in range(1, DAYS + 1):
            then = t - day * spans.day
            if then + 1 < 0:
                break
            exact[day] = float(np.nanmax(held[max(then + 1, 0) : then + h + 1]))
            before = z[max(then - spans.recent[2] + 1, 0) : max(then + 1, 0)]
            lifted[day] = exact[day] + level - float(np.nanmean(before) if len(before) else np.nan)
    seen = np.array([v for v in exact.values() if not np.isnan(v)])
    moved = np.array([v for v in lifted.values() if not np.isnan(v)])
    found = {f"ahead_{day}d": exact.get(day, np.nan) for day in (1, 2, 3, 7)}
    found["ahead_mean"] = float(seen.mean()) if len(seen) else np.nan
    found["ahead_max"] = float(seen.max()) if len(seen) else np.nan
    found["ahead_second"] = float(np.sort(seen)[-2]) if len(seen) > 1 else np.nan
    found["ahead_share"] = float(np.mean(seen >= 1.0)) if len(seen) else np.nan
    found["ahead_near_share"] = float(np.mean(seen >= 0.9)) if len(seen) else np.nan
    found["lifted_mean"] = float(moved.mean()) if len(moved) else np.nan
    found["lifted_max"] = float(moved.max()) if len(moved) else np.nan
    return found
