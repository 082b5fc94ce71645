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

__all__ = ["LEAST_LOAD", "exceeding", "moved_gauges", "stays_of", "supposed"]

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

# The least part of the present load that is supposed.
LEAST_LOAD = 0.01
_DAY_S = 86_400.0
# More than chance makes of a quarter of an hour, in limits.
_LATELY_S, _EXCESS = 900.0, 0.03


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


def exceeding(history: History, response: LoadResponse) -> Flags:
    """[C], cells that lately need more than is usual for their load: where the worlds differ."""
    found = np.zeros(len(history.cells), dtype=bool)
    lately = slice(max(history.samples - history.steps(_LATELY_S), 0), None)
    for g in np.flatnonzero(history.scales_with_load).tolist():
        need = _need(response, g, history.value)
        usual = _usual(history, response, g, need)
        busy = history.value[:, g, lately] - response.idle[g]
        beyond = np.where(np.isnan(usual[:, lately]), 0.0, busy - usual[:, lately])
        heard = ~np.isnan(beyond)
        total = np.where(heard, beyond, 0.0).sum(axis=1)
        found |= total > _EXCESS * np.maximum(heard.sum(axis=1), 1)
    return found


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
    day = slice(_day_of(history), None)
    # What hangs on others comes after them.
    for g in sorted(np.flatnonzero(moved).tolist(), key=lambda g: response.driver[g] != NO_DRIVER):
        was = history.value[:, g]
        before = _need(response, g, history.value)
        after = _need(response, g, value)
        if not history.scales_with_load[g]:
            value[:, g] = was * (after / before)
            continue
        times = np.float32(k) * (after / before)
        busy = np.maximum(was - np.float32(response.idle[g]), 0.0)
        value[:, g] = was - (1.0 - times) * busy
        if stays:
            # Where the load was not heard, or never enough of it, all is taken for work.
            part = np.fmin(_usual(history, response, g, before)[:, day], busy[:, day])
            value[:, g, day] = was[:, day] - ((1.0 - times) * np.ones_like(was))[:, day] * part
    older = history.older
    return replace(
        history,
        value=value,
        older=None if older is None else supposed(older, response, load, stays=False),
    )


def _need(response: LoadResponse, g: int, value: Array) -> Array:
    """[C, T] what the driver of a gauge, as it reads in `value`, makes of it; or [1, 1] ones."""
    if response.driver[g] == NO_DRIVER:
        return np.ones((1, 1), dtype=np.float32)
    rise = response.logarithm(g, value[:, response.driver[g]])
    known = ~np.isnan(rise)
    # What is not known is like what is.
    usual = np.where(known, rise, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.exp(np.where(known, rise, usual[:, None])).astype(np.float32)


def _usual(history: History, response: LoadResponse, g: int, need: Array) -> Array:
    """[C, T] what the work usually takes of a gauge, beyond what is idle; NaN = not known."""
    work, day = history.load * need, slice(_day_of(history), None)
    cost = usual_cost(history.value[:, g, day], work[:, day], float(response.idle[g]))
    return (cost[:, None] * work).astype(np.float32)


def _day_of(history: History) -> int:
    return max(history.samples - history.steps(_DAY_S), 0)
