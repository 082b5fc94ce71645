"""This module is a history as it would read if the cells had been given another load.

Telemetry is rewritten, not features: whatever a model reads of it moves as the load moves it. A
gauge that follows the load does so beyond what is idle. Of a day, while work needs more than it
usually did, there are two worlds: the work has grown dearer, and follows; or something else takes
it, and only the usual cost of the work follows. A gauge that hangs on another moves as that does.
All else stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.response import NO_DRIVER, LoadResponse, usual_cost

__all__ = ["LEAST_LOAD", "moved_gauges", "stays_of", "supposed"]

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

# The least part of the present load that is supposed.
LEAST_LOAD = 0.01
_DAY_S = 86_400.0


def moved_gauges(history: History, response: LoadResponse) -> Flags:
    """[G], gauges that another load moves; `response` is of the gauges of the history."""
    follows = history.scales_with_load & history.counts.any(axis=0)
    hangs = response.driver != NO_DRIVER
    return np.asarray(follows | (hangs & follows[response.driver] & ~history.scales_with_load))


def stays_of(history: History, response: LoadResponse) -> NDArray[np.float64]:
    """[G], probability of the world in which an excess stays; 0 where no load is known."""
    if np.isnan(history.load).all():
        return np.zeros(len(history.gauges))
    own = np.where(response.driver == NO_DRIVER, np.arange(len(history.gauges)), response.driver)
    return np.asarray(response.stays[own])


def supposed(history: History, response: LoadResponse, load: float, *, stays: bool) -> History:
    """A history under a multiple of its load.

    Args:
        history: Ends at the moment that is asked about.
        response: Of its gauges.
        load: >= 0.
        stays: The world in which what is needed beyond the usual does not follow the load.
    """
    k = max(load, LEAST_LOAD)
    moved = moved_gauges(history, response)
    value = history.value.copy()
    day = slice(max(history.samples - history.steps(_DAY_S), 0), None)
    # What hangs on others comes after them.
    for g in sorted(np.flatnonzero(moved).tolist(), key=lambda g: response.driver[g] != NO_DRIVER):
        j, was, idle = int(response.driver[g]), history.value[:, g], float(response.idle[g])
        before = after = np.zeros(was.shape)
        if j != NO_DRIVER:
            before = _filled(response.logarithm(g, history.value[:, j]))
            after = _filled(response.logarithm(g, value[:, j]))
        times = np.exp(after - before).astype(np.float32)
        if not history.scales_with_load[g]:
            value[:, g] = was * times
            continue
        times *= np.float32(k)
        busy = np.maximum(was - np.float32(idle), 0.0)
        value[:, g] = was - (np.float32(1.0) - times) * busy
        if stays:
            need = (history.load * np.exp(before))[:, day]
            usual = usual_cost(was[:, day], need, idle)[:, None] * need
            # Where the load was not heard, or never enough of it, all is taken for work.
            part = np.fmin(usual, busy[:, day]).astype(np.float32)
            value[:, g, day] = was[:, day] - (np.float32(1.0) - times[:, day]) * part
    older = history.older
    return replace(
        history,
        value=value,
        older=None if older is None else supposed(older, response, load, stays=False),
    )


def _filled(rise: NDArray[np.float64]) -> NDArray[np.float64]:
    """[C, T], what is not known like what is; 0 = nothing is known."""
    known = ~np.isnan(rise)
    usual = np.where(known, rise, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, rise, usual[:, None])
