"""This module is alarms: when they would have gone off, which were right, and how early.

An alarm goes off at the first sample at which the probability has reached the threshold; then it
is silent for one horizon. It is right when an onset follows within the horizon. An onset is
announced when an alarm was right about it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Alarms", "Ground", "Tally", "candidates", "raise_alarms", "tally"]

# Later than any sample.
NEVER = np.iinfo(np.int32).max
_CANDIDATES = 400
_RAREST = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is true of C cells at T samples, for one horizon.

    Attributes:
        usable: bool [C, T], the sample is scored, and what follows it is known.
        y: bool [C, T], an onset lies in (t, t + h].
        next_onset: int32 [C, T], the first onset after t; `NEVER` = none.
        horizon: h, in samples.
        onset_cell, onset_at: [N], the onsets that are to be announced.
        unit: int32 [C, T], which unit of the bootstrap a sample belongs to.
        units: U.
        day_steps: Samples in a day.
    """

    usable: NDArray[np.bool_]
    y: NDArray[np.bool_]
    next_onset: NDArray[np.int32]
    horizon: int
    onset_cell: NDArray[np.int32]
    onset_at: NDArray[np.int64]
    unit: NDArray[np.int32]
    units: int
    day_steps: float

    def days(self) -> NDArray[np.float64]:
        """[U], usable cell-days of each unit."""
        samples = np.bincount(self.unit[self.usable], minlength=self.units)
        days: NDArray[np.float64] = samples / self.day_steps
        return days

    def onsets(self) -> NDArray[np.int64]:
        """[U], onsets of each unit."""
        unit = self.unit[self.onset_cell, self.onset_at]
        return np.bincount(unit, minlength=self.units).astype(np.int64)

    def cut(self, first: int, end: int) -> Ground:
        """What was known at sample `end` of the samples [first, end)."""
        usable = self.usable[:, first:end].copy()
        # Nobody knew yet what would follow the last of them.
        usable[:, max(end - first - self.horizon, 0) :] = False
        wanted = (self.onset_at >= first) & (self.onset_at < end)
        following = self.next_onset[:, first:end]
        return replace(
            self,
            usable=usable,
            y=self.y[:, first:end],
            next_onset=np.where(following == NEVER, NEVER, following - first).astype(np.int32),
            onset_cell=self.onset_cell[wanted],
            onset_at=self.onset_at[wanted] - first,
            unit=self.unit[:, first:end],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What K thresholds would have done.

    Attributes:
        threshold: [K], falling, from infinity.
        hits: [K, U], onsets announced, by the unit of the onset.
        false: [K, U], alarms without an onset.
        onsets: [U].
        days: [U].
    """

    threshold: NDArray[np.float64]
    hits: NDArray[np.int64]
    false: NDArray[np.int64]
    onsets: NDArray[np.int64]
    days: NDArray[np.float64]

    def best(
        self,
        budget: float,
        *,
        weight: NDArray[np.float64] | None = None,
        is_eager: bool = False,
    ) -> int:
        """Which threshold announces most onsets at not more false alarms a cell and day.

        Args:
            budget: False alarms for a cell and day.
            weight: [U], how often a unit counts; None = once.
            is_eager: Of equals the lowest threshold, which uses up the budget; else the one with
                the fewest false alarms.
        """
        w = np.ones(len(self.days)) if weight is None else weight
        false = self.false @ w / max(float(self.days @ w), 1e-12)
        hits = np.where(false <= budget, self.hits @ w, -1.0)
        equal = np.flatnonzero(hits == hits.max())
        if is_eager:
            return int(equal[-1])
        return int(equal[np.argmin(false[equal])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Alarms of one threshold, by cell and then by time.

    Attributes:
        cell: int32 [A].
        at: int64 [A], sample.
        lead: int64 [A], samples to the onset that it was right about; 0 = it was false.
    """

    cell: NDArray[np.int32]
    at: NDArray[np.int64]
    lead: NDArray[np.int64]


def candidates(p: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Thresholds worth a try, falling from infinity, finer the rarer they are reached."""
    said = p[usable]
    said = said[said > 0.0]
    if not len(said):
        return np.array([np.inf])
    ranks = np.unique(
        np.minimum(np.geomspace(_RAREST, 1.0, _CANDIDATES) * len(said), len(said) - 1).astype(
            np.int64
        )
    )
    ordered = -np.sort(-said)
    values = np.unique(ordered[ranks].astype(np.float64))[::-1]
    return np.concatenate([[np.inf], values])


def tally(p: NDArray[np.float32], ground: Ground, thresholds: NDArray[np.float64]) -> Tally:
    """Count what each threshold would have done.

    Args:
        p: float32 [C, T], NaN = no alarm.
        ground: What is true.
        thresholds: [K].
    """
    hits = np.zeros((len(thresholds), ground.units), dtype=np.int64)
    false = np.zeros_like(hits)
    # Only samples that reach the lowest threshold can ever raise an alarm.
    cell, at = np.nonzero(ground.usable & (p >= np.min(thresholds)))
    following = ground.next_onset[cell, at].astype(np.int64)
    is_right = following - at <= ground.horizon
    # A right alarm counts where its onset does, a false one where it stands.
    where = ground.unit[cell, np.where(is_right, following, at)]
    _tally(
        (cell, at, p[cell, at].astype(np.float64), where),
        is_right,
        ground.horizon,
        thresholds,
        (hits, false),
    )
    return Tally(
        threshold=thresholds,
        hits=hits,
        false=false,
        onsets=ground.onsets(),
        days=ground.days(),
    )


def raise_alarms(p: NDArray[np.float32], ground: Ground, threshold: NDArray[np.float64]) -> Alarms:
    """Every alarm under a threshold that may change with time.

    Args:
        p: float32 [C, T], NaN = no alarm.
        ground: What is true.
        threshold: [T].
    """
    found: list[tuple[int, int, int]] = []
    for c in range(len(p)):
        silent_until = -1
        for t in np.flatnonzero(ground.usable[c] & (p[c] >= threshold)).tolist():
            if t >= silent_until:
                silent_until = t + ground.horizon
                ahead = int(ground.next_onset[c, t]) - t
                found.append((c, t, ahead if ahead <= ground.horizon else 0))
    table = np.array(found, dtype=np.int64).reshape(len(found), 3)
    return Alarms(cell=table[:, 0].astype(np.int32), at=table[:, 1], lead=table[:, 2])


@njit(cache=True, nogil=True)
def _tally(
    rows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]],
    is_right: NDArray[np.bool_],
    horizon: int,
    thresholds: NDArray[np.float64],
    into: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Go through the rows (cell, sample, p, unit), which rise, once for each threshold."""
    cell, at, p, unit = rows
    hits, false = into
    for k in range(len(thresholds)):
        now, silent_until = -1, -1
        for i in range(len(cell)):
            if cell[i] != now:
                now, silent_until = cell[i], -1
            if p[i] >= thresholds[k] and at[i] >= silent_until:
                silent_until = at[i] + horizon
                if is_right[i]:
                    hits[k, unit[i]] += 1
                else:
                    false[k, unit[i]] += 1
