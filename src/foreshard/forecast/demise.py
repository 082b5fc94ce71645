"""This module is how a process ends at a limit: it is killed there, and never held at it.

A kernel that kills at a memory limit leaves no sample at 1: the highest that is heard is a little
below, and the next one is that of a fresh process. So a restart that nobody of ours brought about
counts as a breach of a gauge that stood next to its limit, or that would have been there within
the step in which the process ended, at the pace of its last steps.

Any other restart (a release, a crash out of nothing) is none: no gauge led to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History

__all__ = ["Demise", "demises_of"]

# What is heard once a second or less often misses the last of a rise.
_NEXT_TO_LIMIT = 0.95
# A pace is that of the last so many steps.
_PACE_STEPS = 3
# A process that was silent for longer may have ended in any way.
_MOST_SILENT_STEPS = 3
# A rise goes on for the rest of its step and may quicken.
_STEPS_AHEAD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demise:
    """The end of a process at the limit of a gauge.

    Attributes:
        at: The sample in whose step it ended.
        gauge: Index of the gauge that stood nearest to its limit.
    """

    at: int
    gauge: int


def demises_of(history: History, cell: int) -> tuple[Demise, ...]:
    """The ends of a cell's processes at a limit, rising in time.

    Args:
        history: See `History`; nothing is found where `up_s` is unknown.
        cell: Its index.
    """
    counted = np.flatnonzero(history.counts[cell])
    up_s = history.up_s[cell]
    told = np.flatnonzero(~np.isnan(up_s))
    if counted.size == 0 or told.size < 2:
        return ()
    # A process that grew older since it was last heard of is the same; half a step is rounding.
    younger = up_s[told[1:]] < up_s[told[:-1]] - history.step_s / 2.0
    found = []
    for before, now in zip(told[:-1][younger], told[1:][younger], strict=True):
        at = _ended(history, cell, int(before), int(now))
        if at is None:
            continue
        reach = _reach(history.value[cell, counted], at, int(now))
        best = int(np.argmax(reach))
        if reach[best] >= 1.0:
            found.append(Demise(at=at, gauge=int(counted[best])))
    return tuple(found)


def _ended(history: History, cell: int, before: int, now: int) -> int | None:
    """The sample in which a process ended, of which it is known that it was not our doing."""
    if now - before > _MOST_SILENT_STEPS or history.censored[cell, before : now + 1].any():
        return None
    # The new one may have begun steps ago, and been silent meanwhile.
    return min(before + 1, now)


def _reach(value: NDArray[np.float32], at: int, now: int) -> NDArray[np.float64]:
    """[G], how far each gauge would have come by the end of its process; 1 = its limit.

    A step keeps its highest value, so that of the step of the end is still the old process's
    where it is higher.
    """
    first = max(at - _PACE_STEPS, 0)
    past = value[:, first:at].astype(np.float64)
    if past.shape[1] == 0:
        return np.full(len(value), -np.inf)
    last = past[:, -1]
    highest = np.fmax(last, np.nanmax(value[:, at : now + 1], axis=1, initial=-np.inf))
    pace = np.diff(past, axis=1).mean(axis=1) if past.shape[1] > 1 else np.zeros(len(value))
    ahead = last + np.maximum(pace, 0.0) * _STEPS_AHEAD
    reach = np.where(highest >= _NEXT_TO_LIMIT, np.maximum(highest, 1.0), ahead)
    return np.where(np.isnan(reach), -np.inf, reach)
