"""This module is what the network is shown of one gauge of one cell, sample by sample.

A row is a gauge whose limit counts, in one cell: the network is the same for all rows, so that a
fleet with other gauges needs no other network. What it sees is in limits and in samples, and a
week of seasons stands in channels rather than in the length of the sequence: beside each sample
lies what the *coming* horizon brought a day, two days and a week ago.

Nearly all channels are proportional to the gauge. Multiplying them is therefore the same as
asking "had its limit been lower" or "had the cell carried so much more": see `under_load`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import ALONE, History
from foreshard.forecast.trail import (
    carried,
    trailing_least,
    trailing_mean,
    trailing_most,
    trailing_slope,
    trailing_spread,
)

__all__ = [
    "CHANNELS",
    "NEAR",
    "OWN",
    "SEASONS",
    "STILL_AND_MOVED",
    "Rows",
    "Sight",
    "counted_rows",
    "under_load",
]

Values = NDArray[np.float32]

CHANNELS: Final = (
    "level",
    "sustained",
    "mean, 5 samples",
    "mean, 15 samples",
    "mean, 60 samples",
    "most, 60 samples",
    "spread, 15 samples",
    "spread, 60 samples",
    "rise over 30 samples",
    "most, a day",
    "mean, a day",
    "a day ago, the first horizon ahead",
    "a day ago, the last horizon ahead",
    "two days ago, the last horizon ahead",
    "a week ago, the first horizon ahead",
    "a week ago, the last horizon ahead",
    "above its siblings",
    "worst other gauge that stands still under load",
    "worst other gauge that scales with load",
    "load against its usual",
    "sine of the hour",
    "cosine of the hour",
    "missing, 15 samples",
    "young",
)
"""D channels."""
_D = {name: i for i, name in enumerate(CHANNELS)}
OWN: Final = tuple(range(_D["above its siblings"] + 1))
"""Channels proportional to the gauge itself."""
NEAR: Final = tuple(_D[n] for n in ("level", "sustained", "mean, 5 samples"))
"""Channels whose place just below the limit matters most."""
SEASONS: Final = tuple(
    _D[n]
    for n in (
        "most, 60 samples",
        "most, a day",
        "a day ago, the first horizon ahead",
        "a day ago, the last horizon ahead",
        "two days ago, the last horizon ahead",
        "a week ago, the first horizon ahead",
        "a week ago, the last horizon ahead",
    )
)
"""Channels that are largest values: where they stand to the limit matters, more coarsely."""
_STILL = _D["worst other gauge that stands still under load"]
_MOVED = _D["worst other gauge that scales with load"]
STILL_AND_MOVED: Final = (_STILL, _MOVED)
"""Channels proportional to the other gauges of the cell."""
_LOAD = _D["load against its usual"]

_DAY_S = 86_400.0
# What is further from the limit than this, or further above it, is all the same.
_MOST = 3.0
# Not spoken of: a gauge not heard for so many samples, or heard less than so often lately.
_SILENT = 5
_FEWEST = 20
_SEEN_LATELY = 60
_LEAST_LOAD = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """R gauges of cells.

    Attributes:
        cell, gauge: int64 [R], indices.
    """

    cell: NDArray[np.int64]
    gauge: NDArray[np.int64]

    def __len__(self) -> int:
        """R."""
        return len(self.cell)


def counted_rows(history: History) -> Rows:
    """All gauges whose limit counts, cell by cell."""
    cell, gauge = np.nonzero(history.counts)
    return Rows(cell=cell.astype(np.int64), gauge=gauge.astype(np.int64))


def under_load(x: Values, load: float, scales: NDArray[np.bool_]) -> Values:
    """Channels [R, S, D] as they would be at a multiple of the load.

    The siblings are taken to follow; what a gauge does beside the load is not separated.

    Args:
        x: See `Sight.channels`.
        load: Multiple of the present load, >= 0.
        scales: bool [R], the row's gauge scales with load.
    """
    moved = x.copy()
    moved[..., _MOVED] *= np.float32(load)
    moved[..., _LOAD] *= np.float32(load)
    moved[scales, :, : len(OWN)] *= np.float32(load)
    return moved


class Sight:
    """What can be seen of a history.

    Args:
        history: Of any cells.
        ahead: Samples of the first and of the last horizon.
        sustain: Samples that make a breach.
    """

    def __init__(self, history: History, *, ahead: tuple[int, int], sustain: int) -> None:
        self._history, self._ahead, self._sustain = history, ahead, sustain
        self._day = history.steps(_DAY_S)
        number, self._group = np.unique(history.sibling, return_inverse=True)
        self._alone = (number == ALONE)[self._group]
        self._alone |= np.bincount(self._group)[self._group] < 2

    @property
    def reach(self) -> int:
        """Samples before a stretch that a bulk read of it copies."""
        return self._day + 2 * _SEEN_LATELY

    def channels(self, rows: Rows, first: int, end: int) -> tuple[Values, NDArray[np.bool_]]:
        """What is seen at the samples [first, end), which may reach outside the history.

        Args:
            rows: R rows.
            first: Of the samples.
            end: After the last.

        Returns:
            float32 [R, end - first, D], finite; and bool [R, end - first]: enough was heard of the
            row to speak of it.
        """
        last = end - first
        x = self._value(rows, first - self.reach, end)
        short = x[:, -(last + 2 * _SEEN_LATELY) :]
        level, age = carried(short)
        x15, x60 = (trailing_mean(short, n, last=last) for n in (15, _SEEN_LATELY))
        day_mean = trailing_mean(x, self._day, last=last)
        usual = np.nan_to_num(day_mean)
        recent = _or(x15, usual)
        most = _or(trailing_most(short, _SEEN_LATELY, last=last), recent)
        seasons = self._seasons(rows, first, end, most)
        still, moved = self._others(rows, first, end)
        heard = (~np.isnan(short)).astype(np.float32)
        hour = 2.0 * np.pi * self._moment_s(first, end) / _DAY_S
        columns = [
            _or(level[:, -last:], usual),
            _or(trailing_least(short, self._sustain, last=last), recent),
            _or(trailing_mean(short, 5, last=last), recent),
            recent,
            _or(x60, usual),
            most,
            trailing_spread(short, 15, last=last),
            trailing_spread(short, _SEEN_LATELY, last=last),
            30.0 * _or(trailing_slope(short, 30, last=last), np.float32(0.0)),
            _or(trailing_most(x, self._day, last=last), most),
            _or(day_mean, recent),
            *seasons,
            self._above_siblings(rows, first, end, x15),
            still,
            moved,
            self._load(rows, first, end),
            np.sin(hour),
            np.cos(hour),
            1.0 - trailing_mean(heard, 15, last=last),
            np.exp(-np.nan_to_num(self._up_s(rows, first, end), nan=np.inf) / _DAY_S),
        ]
        shape = (len(rows), end - first)
        seen = np.stack([np.broadcast_to(c, shape) for c in columns], axis=-1).astype(np.float32)
        np.clip(np.nan_to_num(seen, copy=False), -_MOST, _MOST, out=seen)
        lately = trailing_mean(heard, _SEEN_LATELY, last=last) * _SEEN_LATELY
        spoken: NDArray[np.bool_] = (age[:, -last:] < _SILENT) & (lately >= _FEWEST)
        return seen, spoken

    def _value(self, rows: Rows, first: int, end: int) -> Values:
        return _stretch(self._history.value, first, end)[rows.cell, rows.gauge]

    def _up_s(self, rows: Rows, first: int, end: int) -> Values:
        return _stretch(self._history.up_s, first, end)[rows.cell]

    def _moment_s(self, first: int, end: int) -> NDArray[np.float64]:
        return self._history.begins_s + self._history.step_s * np.arange(
            first, end, dtype=np.float64
        )

    def _seasons(self, rows: Rows, first: int, end: int, otherwise: Values) -> list[Values]:
        """Largest sustained value in the stretch ahead, days ago; a day ago where not known."""
        found: dict[tuple[int, int], Values] = {}
        for days, ahead in ((1, 0), (1, 1), (2, 1), (7, 0), (7, 1)):
            lag = days * self._day
            # A horizon longer than the lag would look into the future.
            h = min(self._ahead[ahead], lag)
            x = self._value(rows, first - lag - self._sustain, end - lag + h)
            most = trailing_most(trailing_least(x, self._sustain), h)[:, self._sustain + h :]
            found[days, ahead] = _or(most, found.get((1, ahead), otherwise))
        return list(found.values())

    def _others(self, rows: Rows, first: int, end: int) -> tuple[Values, Values]:
        """The worst other gauge of the cell, of those that stand still and that scale."""
        history = self._history
        cells, place = np.unique(rows.cell, return_inverse=True)
        x = _stretch(history.value, first, end)[cells]
        x = np.where(history.counts[cells][:, :, None], np.nan_to_num(x), 0.0)
        found = []
        for scales in (False, True):
            worst = np.zeros((len(rows), end - first), dtype=np.float32)
            for g in np.unique(rows.gauge).tolist():
                others = history.scales_with_load == scales
                others[g] = False
                own = rows.gauge == g
                if others.any():
                    worst[own] = x[:, others].max(axis=1)[place[own]]
            found.append(worst)
        return found[0], found[1]

    def _above_siblings(self, rows: Rows, first: int, end: int, recent: Values) -> Values:
        """How far the row's recent mean stands above the mean of its siblings'; 0 if alone."""
        if self._alone[rows.cell].all():
            return np.zeros((len(rows), end - first), dtype=np.float32)
        above = np.zeros((len(rows), end - first), dtype=np.float32)
        for g in np.unique(rows.gauge[~self._alone[rows.cell]]).tolist():
            x = _stretch(self._history.value[:, g], first - 15, end)
            mean = trailing_mean(x, 15)[:, 15:]
            heard = ~np.isnan(mean)
            groups = int(self._group.max()) + 1
            total = np.zeros((groups, end - first))
            count = np.zeros((groups, end - first))
            np.add.at(total, self._group, np.where(heard, mean, 0.0))
            np.add.at(count, self._group, heard)
            mine = np.flatnonzero((rows.gauge == g) & ~self._alone[rows.cell])
            group = self._group[rows.cell[mine]]
            own = np.nan_to_num(recent[mine])
            others = count[group] - ~np.isnan(recent[mine])
            peers = (total[group] - own) / np.maximum(others, 1.0)
            above[mine] = np.where(others > 0.0, recent[mine] - peers, 0.0)
        return above

    def _load(self, rows: Rows, first: int, end: int) -> Values:
        """The load of the last samples against the mean of a day; 1 where unknown."""
        cells, place = np.unique(rows.cell, return_inverse=True)
        load = _stretch(self._history.load, first - self._day, end)[cells]
        if np.isnan(load).all():
            return np.ones((len(rows), end - first), dtype=np.float32)
        recent = trailing_mean(load, 5, last=end - first)
        usual = trailing_mean(load, self._day, last=end - first)
        ratio = (recent / np.maximum(usual, _LEAST_LOAD)).astype(np.float32)
        return _or(ratio, np.float32(1.0))[place]


def _or(x: Values, otherwise: Values | np.float32) -> Values:
    return np.where(np.isnan(x), otherwise, x)


def _stretch(array: Values, first: int, end: int) -> Values:
    """Samples [first, end) along the last axis, NaN outside."""
    t = array.shape[-1]
    inside = array[..., min(max(first, 0), t) : max(min(end, t), 0)]
    if first >= 0 and end <= t:
        return inside
    found = np.full((*array.shape[:-1], end - first), np.nan, dtype=np.float32)
    begin = min(max(first, 0), t) - first
    found[..., begin : begin + inside.shape[-1]] = inside
    return found
