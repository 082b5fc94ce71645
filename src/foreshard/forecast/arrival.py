"""This module is the risk that each gauge reaches its limit, from a stretch of its readings.

A gauge that follows the load is first brought to the present load; its drift is estimated
(`drift`) and goes through the first-passage law (`first_passage`). No drift is carried further
ahead than `_LASTS` times the stretch in which it could be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.band import EVERY, mixture_of
from foreshard.forecast.compiled.passage import passage_mixed
from foreshard.forecast.drift import DriftPosterior, DriftPrior, estimate_drift
from foreshard.forecast.holding import Keeping, is_held

__all__ = ["Arrivals", "Gauges", "arrivals"]

Array = NDArray[np.float64]

# A gauge counts as known with so many readings, one of them among the last few.
_FEWEST_READINGS = 3
_RECENT = 5
# The present load is the mean over so many readings: one second is mostly chance.
_LOAD_READINGS = 8
# Below this much work, or this part of the present load, cost per work is all noise.
_LEAST_LOAD = 0.02
_LEAST_LOAD_RATIO = 0.25
# A latency that was seen at less than this part of the present load is one of another queue.
_LIKE_LOAD_RATIO = 0.85
# What was seen for a while is believed to go on for so many times as long, not for ever: the
# shipped window of ten minutes carries the shipped hour, ninety seconds of a heap do not.
_LASTS = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Readings of G gauges in C cells at T moments.

    Attributes:
        time_s: float64 [T], rising.
        value: float64 [C, G, T], fraction of the limit, NaN = missing; changed in place.
        load: float32 [C, T], work offered to the cell, NaN = unknown.
        scales_with_load: bool [G].
        may_hold: bool [G], of those that scale, what can be lost (see `holding`).
        is_own: bool [G], the cell tells it of itself; the others are latencies, and count only as
            they were under about the present load.
        pools: Row r of the C * G is of pool r % pools, whose rows are the same gauge in different
            cells and share noise; a multiple of G.
    """

    time_s: Array
    value: Array
    load: NDArray[np.float32]
    scales_with_load: NDArray[np.bool_]
    may_hold: NDArray[np.bool_]
    is_own: NDArray[np.bool_]
    pools: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What is foreseen of them.

    Attributes:
        p: [H, L, C, G], probability that the limit is reached, rising along H and L.
        known: [C, G], enough was seen to say so.
        posterior: Of the C * G rows.
    """

    p: Array
    known: NDArray[np.bool_]
    posterior: DriftPosterior


def arrivals(
    gauges: Gauges,
    horizons_s: tuple[float, ...],
    loads: tuple[float, ...],
    *,
    prior: DriftPrior | None,
) -> Arrivals:
    """When gauges arrive.

    Args:
        gauges: What was seen of them.
        horizons_s: H, rising, > 0.
        loads: L multiples of the present load, rising, >= 0.
        prior: None = the one that fits the horizons.
    """
    held = is_held(
        Keeping(
            value=gauges.value,
            load=gauges.load.astype(np.float64),
            late=gauges.value[:, ~gauges.is_own],
            may_hold=gauges.may_hold & gauges.scales_with_load,
        )
    )
    _forget_less_load(gauges)
    scales = gauges.scales_with_load & ~held
    value = _at_present_load(gauges.value, gauges.load, scales)
    c, g, t = value.shape
    known = t - np.count_nonzero(np.isnan(value), axis=2) >= _FEWEST_READINGS
    known &= ~np.isnan(value[:, :, -_RECENT:]).all(axis=2)
    posterior = estimate_drift(
        gauges.time_s,
        value.reshape(c * g, t),
        pools=gauges.pools,
        prior=prior or DriftPrior.for_horizons(horizons_s),
    )
    steps_s = np.diff(gauges.time_s)
    seen_s = posterior.samples * (float(np.median(steps_s)) if steps_s.size else 0.0)
    p = np.zeros((len(horizons_s), len(loads), c * g))
    of = mixture_of(posterior, EVERY)
    steady, follows = np.flatnonzero(~scales), np.flatnonzero(scales)
    for i, h in enumerate(horizons_s):
        ahead_s = np.minimum(h, _LASTS * seen_s)
        for carried_s in np.unique(ahead_s[ahead_s > 0.0]).tolist():
            near = ahead_s == carried_s
            some = steady[near[steady]]
            p[i][:, some] = passage_mixed(of, some, carried_s, 1.0)
            some = follows[near[follows]]
            for j, load in enumerate(loads):
                p[i, j, some] = passage_mixed(of, some, carried_s, load)
    p = np.nan_to_num(p, copy=False)
    for i in range(1, len(horizons_s)):
        np.maximum(p[i], p[i - 1], out=p[i])
    for j in range(1, len(loads)):
        np.maximum(p[:, j], p[:, j - 1], out=p[:, j])
    return Arrivals(
        p=p.reshape(len(horizons_s), len(loads), c, g), known=known, posterior=posterior
    )


def _forget_less_load(gauges: Gauges) -> None:
    """Blank latencies that were read under much less load than the present.

    A queue is longer under more load (work of a cell that was lost, of a peak): that level is no
    drift of the cell, and how it came there says nothing of where it goes.
    """
    late = np.flatnonzero(~gauges.is_own)
    if late.size == 0:
        return
    load = _trailing_mean(gauges.load.astype(np.float64))
    # NaN compares as false: where load is not known, nothing is known against the reading.
    cells, times = np.nonzero(load < _LIKE_LOAD_RATIO * load[:, -1:])
    gauges.value[cells[:, None], late[None, :], times[:, None]] = np.nan


def _trailing_mean(load: Array) -> Array:
    """[C, T] mean of the last readings up to each moment; one second is mostly chance."""
    heard = ~np.isnan(load)
    total = np.cumsum(np.where(heard, load, 0.0), axis=1)
    count = np.cumsum(heard, axis=1)
    total[:, _LOAD_READINGS:] -= total[:, :-_LOAD_READINGS].copy()
    count[:, _LOAD_READINGS:] -= count[:, :-_LOAD_READINGS].copy()
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _at_present_load(value: Array, load: NDArray[np.float32], scales: NDArray[np.bool_]) -> Array:
    """Gauges [C, G, T], those that scale [C, G] as they would have been under the present load."""
    work = load.astype(np.float64)
    recent = work[:, -_LOAD_READINGS:]
    heard = ~np.isnan(recent)
    count = heard.sum(axis=1)
    present = np.where(heard, recent, 0.0).sum(axis=1) / np.maximum(count, 1)
    telling = work > np.maximum(_LEAST_LOAD, _LEAST_LOAD_RATIO * present)[:, None]
    factor = np.where(telling, present[:, None] / np.where(telling, work, 1.0), np.nan)
    # Where the load was never heard of it is taken as steady.
    factor[(count == 0) & np.isnan(work).all(axis=1)] = 1.0
    for place in np.flatnonzero(scales.any(axis=0)).tolist():
        value[:, place] *= np.where(scales[:, place, None], factor, 1.0)
    return value
