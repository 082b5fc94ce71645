"""This module is when failures begin in a history, and what is true of a sample before them.

A breach is a counted gauge at its limit for a few samples on end, whichever gauge it is from one
sample to the next, or the end of a process there (`demise`). Fragments close together are one
episode; its first sample is the onset. While an episode lasts, and for a quiet time after it,
there is nothing to forecast.

What cannot be known is said so: an onset may hide beyond the end of the record, in a stretch in
which the cell was not heard, or behind an intervention.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.demise import demises_of
from foreshard.forecast.history import History
from foreshard.model.errors import ForecastError, InvalidValueError

__all__ = ["NO_GAUGE", "BreachRule", "Onsets", "find_onsets", "labels"]

# The gauge of an episode that was declared by others.
NO_GAUGE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachRule:
    """What makes a breach an episode.

    Attributes:
        sustain: Samples at the limit on end, >= 1.
        merge_gap_s: Fragments whose last and first sample are less than this apart are one.
        quiet_s: So long after an episode nothing is forecast.
    """

    sustain: int = 3
    merge_gap_s: float = 3600.0
    quiet_s: float = 3600.0

    def __post_init__(self) -> None:
        if self.sustain < 1:
            raise InvalidValueError(f"breach: sustain is {self.sustain}, must be at least 1")
        if not (self.merge_gap_s >= 0.0 and self.quiet_s >= 0.0):
            raise InvalidValueError(
                f"breach: merge_gap_s is {self.merge_gap_s}, quiet_s {self.quiet_s}: must be >= 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Onsets:
    """The N episodes of C cells over T samples, by cell and then by time.

    Attributes:
        cell: int32 [N], index of the cell.
        begin: int64 [N], first sample of the episode: the onset.
        end: int64 [N], last sample at the limit.
        gauge: int32 [N], which gauge stood highest at the onset; `NO_GAUGE` = it was declared.
        scored: bool [C, T], a forecast made at this sample means something.
        blind: bool [C, T], the cell was not heard for so long that an onset may hide there.
        censored: bool [C, T], see `History`.
    """

    cell: NDArray[np.int32]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    gauge: NDArray[np.int32]
    scored: NDArray[np.bool_]
    blind: NDArray[np.bool_]
    censored: NDArray[np.bool_]

    def __len__(self) -> int:
        """N."""
        return len(self.begin)

    def of_cell(self, cell: int) -> NDArray[np.int64]:
        """The onsets of one cell, rising."""
        of_cell: NDArray[np.int64] = self.begin[self.cell == cell]
        return of_cell


def find_onsets(history: History, rule: BreachRule) -> Onsets:
    """Find the episodes of a history.

    They are looked for in the whole of it: cut afterwards, not before, or an episode that lasts at
    the cut is taken for one that begins there.
    """
    c, t = len(history.cells), history.samples
    unheard: NDArray[np.bool_] = np.ones((c, t), dtype=bool)
    at_limit: NDArray[np.bool_]
    if history.declared is None:
        at_limit = np.zeros((c, t), dtype=bool)
        for g in range(len(history.gauges)):
            counted = history.counts[:, g, None]
            at_limit |= counted & (history.value[:, g] >= 1.0)
            unheard &= ~counted | np.isnan(history.value[:, g])
        # A cell in which nothing counts has no breach to hide.
        counted = np.any(history.counts, axis=1, keepdims=True)
        unheard &= counted
    else:
        at_limit = np.asarray(history.declared)
        for g in range(len(history.gauges)):
            unheard &= np.isnan(history.value[:, g])
    scored = np.ones((c, t), dtype=bool)
    blind = np.zeros((c, t), dtype=bool)
    quiet = round(rule.quiet_s / history.step_s)
    rows: list[tuple[int, int, int, int]] = []
    for i in range(c):
        for first, last in _runs(unheard[i], rule.sustain):
            blind[i, first : last + 1] = True
        ended = {} if history.declared is not None else _ended(history, i)
        breaches = sorted(_runs(at_limit[i], rule.sustain) + [(t, t) for t in ended])
        for first, last in _merged(breaches, history.step_s, rule):
            gauge = ended.get(first, NO_GAUGE)
            gauge = _highest(history, i, first) if gauge == NO_GAUGE else gauge
            rows.append((i, first, last, gauge))
            scored[i, first : last + quiet + 1] = False
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 4)
    return Onsets(
        cell=table[:, 0].astype(np.int32),
        begin=table[:, 1],
        end=table[:, 2],
        gauge=table[:, 3].astype(np.int32),
        scored=scored & ~blind,
        blind=blind,
        censored=history.censored,
    )


def labels(onsets: Onsets, horizon: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether an onset follows a sample.

    Args:
        onsets: See `find_onsets`.
        horizon: h, in samples, >= 1.

    Returns:
        y, bool [C, T]: an onset lies in (t, t + h]. And known, bool [C, T]: y is true, or it can
        be told that it is not.

    Raises:
        ForecastError: The horizon is less than one sample.
    """
    if horizon < 1:
        raise ForecastError(f"labels: horizon is {horizon} samples, must be at least 1")
    c, t = onsets.scored.shape
    begins = np.zeros((c, t), dtype=bool)
    begins[onsets.cell, onsets.begin] = True
    y = _any_ahead(begins, horizon)
    known = ~_any_ahead(onsets.blind, horizon) & ~onsets.censored
    known[:, max(t - horizon, 0) :] = False
    return y, known | y


def _any_ahead(flag: NDArray[np.bool_], horizon: int) -> NDArray[np.bool_]:
    """[C, T], whether a flag is up in (t, t + horizon]."""
    count = np.zeros((flag.shape[0], flag.shape[1] + 1), dtype=np.int32)
    np.cumsum(flag, axis=1, out=count[:, 1:])
    now = np.arange(flag.shape[1]) + 1
    ahead: NDArray[np.bool_] = count[:, np.minimum(now + horizon, flag.shape[1])] > count[:, now]
    return ahead


def _runs(flag: NDArray[np.bool_], least: int) -> list[tuple[int, int]]:
    """First and last index of every run of at least so many."""
    edges = np.diff(flag.astype(np.int8), prepend=0, append=0)
    first, after = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    long = after - first >= least
    return list(zip(first[long].tolist(), (after[long] - 1).tolist(), strict=True))


def _ended(history: History, cell: int) -> dict[int, int]:
    """Samples in which a process ended at a limit, and the gauge of it."""
    return {demise.at: demise.gauge for demise in demises_of(history, cell)}


def _merged(runs: list[tuple[int, int]], step_s: float, rule: BreachRule) -> list[tuple[int, int]]:
    """Runs with close ones made one."""
    episodes: list[tuple[int, int]] = []
    for first, last in runs:
        if episodes and (first - episodes[-1][1]) * step_s < rule.merge_gap_s:
            episodes[-1] = (episodes[-1][0], max(last, episodes[-1][1]))
        else:
            episodes.append((first, last))
    return episodes


def _highest(history: History, cell: int, t: int) -> int:
    """The counted gauge that stands highest at a sample, the first of equals."""
    if history.declared is not None:
        return NO_GAUGE
    value = np.where(history.counts[cell], history.value[cell, :, t], np.nan)
    return int(np.nanargmax(value))
