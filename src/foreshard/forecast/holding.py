"""This module is what a cell holds beyond what its requests need: a leak in what follows the load.

Connections, threads and sessions follow the load as long as each is given back, so less load
frees them; the ones that were lost stay lost, and no relief of load brings them back. What
requests need is load times the time that each is kept (Little 1961), in a proportion that the
siblings share: the median over the cells of what each has needed for a unit of it. A gauge of
which the greater part lies beyond that stands by itself from then on.

What is offered anew each second (cpu, bandwidth) cannot be held. Slow answers explain as much as
they can: the slowest class counts for all, so a slow dependency is not taken for a leak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Keeping", "is_held"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Means over so many stretches of the window: single seconds are chance.
_BLOCKS = 10
# The greater part of a gauge, and at least so much of the limit, must lie beyond what is needed.
_LARGER_PART = 0.5
_LEAST_HELD = 0.1
# Of a cell's stretches the lower quartile tells what it needs when nothing is lost yet.
_USUAL = 0.25
# Below this much load, need per load is noise.
_LEAST_LOAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What tells whether something is held.

    Attributes:
        value: float64 [C, G, T], fraction of the limit, as read, NaN = missing.
        load: float64 [C, T], work offered, NaN = unknown.
        late: float64 [C, K, T], latencies of the classes, in any unit of their own.
        may_hold: bool [G], gauges that follow the load and are not offered anew each second.
    """

    value: Array
    load: Array
    late: Array
    may_hold: Flags


def is_held(keeping: Keeping) -> Flags:
    """[C, G] gauges whose greater part no relief of load would free."""
    c, g, t = keeping.value.shape
    found = np.zeros((c, g), dtype=np.bool_)
    some = np.flatnonzero(keeping.may_hold)
    if some.size == 0 or t < _BLOCKS:
        return found
    used = _block_means(keeping.value[:, some])
    load = _block_means(keeping.load[:, None])[:, 0]
    need = np.where(load >= _LEAST_LOAD, load, np.nan) * _slowness(_block_means(keeping.late))
    per_need = used / need[:, None]
    known = np.isfinite(per_need)
    enough = known.sum(axis=2) >= _BLOCKS // 2
    own = _quantile(np.where(known, per_need, np.inf), known.sum(axis=2))
    told = np.where(enough, own, np.nan)
    usual = np.array([_median(told[:, i]) for i in range(some.size)])
    beyond = used[:, :, -1] - usual * need[:, None, -1]
    held = beyond > np.maximum(_LARGER_PART * used[:, :, -1], _LEAST_HELD)
    found[:, some] = held & enough
    return found


def _slowness(late: Array) -> Array:
    """[C, B], how many times longer than usual the slowest class is kept, never below 1."""
    if late.shape[1] == 0:
        return np.ones((late.shape[0], late.shape[2]))
    usual = np.array([_median(late[:, k]) for k in range(late.shape[1])])
    ratio = late / np.where(usual > 0.0, usual, np.nan)[None, :, None]
    return np.asarray(np.maximum(np.where(np.isfinite(ratio), ratio, 1.0).max(axis=1), 1.0))


def _block_means(value: Array) -> Array:
    """[..., B] from [..., T], NaN = nothing was read in that stretch."""
    starts = np.linspace(0, value.shape[-1], _BLOCKS + 1).astype(np.intp)[:-1]
    heard = np.isfinite(value)
    count = np.add.reduceat(heard, starts, axis=-1, dtype=np.float64)
    total = np.add.reduceat(np.where(heard, value, 0.0), starts, axis=-1)
    return np.asarray(np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan))


def _quantile(value: Array, count: NDArray[np.intp]) -> Array:
    """[C, G] the lower quartile of the known ones, which sort before the unknown (inf)."""
    at = (_USUAL * np.maximum(count - 1, 0)).astype(np.intp)
    return np.asarray(np.take_along_axis(np.sort(value, axis=2), at[:, :, None], 2)[:, :, 0])


def _median(value: Array) -> float:
    """The lower median of the known ones; NaN = none is known."""
    known = np.sort(value[np.isfinite(value)], axis=None)
    return float(known[(known.size - 1) // 2]) if known.size else float("nan")
