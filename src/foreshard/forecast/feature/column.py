"""This module is the names of the features, in order, and what each is called in words.

None names a gauge: a row is about *one* gauge before *one* limit, and of the other gauges of its
cell it knows the worst one. So a fleet with other metrics has the same columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["AHEAD", "COLUMNS", "SHARED", "WORDS", "columns_of"]

# Levels, slopes and distances are fractions of the limit; slopes are for one hour.
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "now": "level now",
        "mean_3m": "level over 3 min",
        "mean_5m": "level over 5 min",
        "mean_15m": "level over 15 min",
        "mean_1h": "level over an hour",
        "mean_3h": "level over 3 h",
        "max_5m": "highest of 5 min",
        "max_15m": "highest of 15 min",
        "max_1h": "highest of an hour",
        "max_3h": "highest of 3 h",
        "min_5m": "lowest of 5 min",
        "min_15m": "lowest of 15 min",
        "min_1h": "lowest of an hour",
        "sd_15m": "spread over 15 min",
        "sd_1h": "spread over an hour",
        "slope_5m": "slope over 5 min, per hour",
        "slope_15m": "slope over 15 min, per hour",
        "slope_1h": "slope over an hour, per hour",
        "line_5m": "straight line of 5 min, 5 min on",
        "line_15m": "straight line of 15 min, 15 min on",
        "line_1h": "straight line of an hour, an hour on",
        "bend": "slope over 15 min beside that over an hour, per hour",
        "at_limit_1h": "samples at the limit in an hour",
        "since_limit": "time since it was at the limit (log of samples)",
        "since_near": "time since it was at 0.8 of the limit (log of samples)",
        "age": "age of the last reading (samples)",
        "heard": "part of the last hour that was heard",
        "mean_1d": "usual height of a day",
        "max_1d": "highest of a day",
        "mean_7d": "usual height of a week",
        "max_7d": "highest of a week",
        "at_limit_1d": "blocks of ten samples at the limit in a day",
        "at_limit_7d": "blocks of ten samples at the limit in a week",
        "near_7d": "blocks of ten samples at 0.8 of the limit in a week",
        "room": "level now, between what is usual (0) and the limit (1)",
        "above_day": "level over 15 min, above the usual height of the day",
        "above_yesterday_15m": "level over 15 min, above yesterday's",
        "above_yesterday_1h": "level over an hour, above yesterday's",
        "hourly_share": "part of the last 24 hours that were at the limit at this minute",
        "hourly_max": "highest at this minute of the last 24 hours",
        "hourly_last": "highest at this minute of the last hour",
        "cost_drift": "cost for its load, against the day (log)",
        "above_peers": "level over 15 min, above the sibling cells",
        "slope_above_peers": "slope over an hour, above the sibling cells, per hour",
        "up": "time since the restart (log of seconds)",
        "other_now": "worst other gauge: level now",
        "other_max_15m": "worst other gauge: highest of 15 min",
        "other_mean_1h": "worst other gauge: level over an hour",
        "other_slope_15m": "worst other gauge: slope over 15 min, per hour",
        "other_since_limit": "other gauges: time since one was at its limit (log of samples)",
        "second_now": "second worst other gauge: level now",
        "ahead_1d": "highest of the time ahead, a day ago",
        "ahead_2d": "highest of the time ahead, two days ago",
        "ahead_3d": "highest of the time ahead, three days ago",
        "ahead_7d": "highest of the time ahead, a week ago",
        "ahead_mean": "highest of the time ahead, mean of a week's days",
        "ahead_max": "highest of the time ahead, of a week's days",
        "ahead_second": "highest of the time ahead, second of a week's days",
        "ahead_share": "days of the week that were at the limit in the time ahead",
        "ahead_near_share": "days of the week that were at 0.9 of the limit in the time ahead",
        "ahead_wide_share": "days of the week that were at the limit around the time ahead",
        "ahead_wide_1d": "highest around the time ahead, a day ago",
        "lifted_mean": "highest of the time ahead, brought to today's level, mean of the days",
        "lifted_max": "highest of the time ahead, brought to today's level, of the days",
        "lifted_second": "highest of the time ahead, brought to today's level, second of the days",
        "carried_15m": "slope of 15 min, carried to the horizon",
        "carried_1h": "slope of an hour, carried to the horizon",
        "load_ahead": "load of the time ahead yesterday, against the load now (log)",
        "other_ahead_mean": "worst other gauge: highest of the time ahead, mean of the days",
        "other_ahead_max": "worst other gauge: highest of the time ahead, of the days",
    }
)
_FIRST_AHEAD = tuple(WORDS).index("ahead_1d")
# Of a row; and of a row and a horizon.
SHARED: tuple[str, ...] = tuple(WORDS)[:_FIRST_AHEAD]
AHEAD: tuple[str, ...] = tuple(WORDS)[_FIRST_AHEAD:]
# Of a row, as the trees of one horizon see it.
COLUMNS: tuple[str, ...] = (*SHARED, *AHEAD)


def columns_of(horizon: int) -> tuple[slice, slice]:
    """Where the features of the i-th horizon stand in a table: the shared ones, then its own."""
    first = len(SHARED) + horizon * len(AHEAD)
    return slice(0, len(SHARED)), slice(first, first + len(AHEAD))
