"""This module is a cell's yardstick: what all its gauges do in proportion, the meter has done.

Memory, disk, threads and descriptors have no common cause that fills each by the same factor; a
meter that is off does just that (a wrong unit, a limit read from elsewhere, an exporter gone
astray). So the growth that *all* resources of a cell share is taken out before trends are sought:
of a meter that shows ever more the first word is believed, of one that shows less the last. Load
is no such cause: gauges that follow it have been brought to the present load before, and
latencies are told by the balancers, not by the cell.

The common growth is the one nearest to none, so a leak beside steady gauges stays whole. In a
cell of few gauges nothing is taken out: there a common cause is likely.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["without_common_growth"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Means over stretches of so many readings tell growth from noise; more stretches than so many
# are not needed, and of fewer no course is known.
_BLOCK_READINGS = 15
_MOST_BLOCKS, _FEWEST_BLOCKS = 24, 4
# So many gauges have nothing in common.
_FEWEST_GAUGES = 4
_FEWEST_READINGS = 4
# A gauge that is almost empty has no proportion, and one whose mean over a stretch is known no
# better than this, of itself, tells none:
# its noise would be carried into all others.
_LEAST_LEVEL = 0.02
_WORST_ERROR = 0.015
# Less growth in common than this is noise, and bends nothing.
_LEAST_GROWTH = 0.03


def without_common_growth(value: Array, is_resource: Flags) -> Array:
    """Readings on one scale.

    Args:
        value: [C, G, T] fractions of the limit, at the present load, NaN = missing; kept as it is.
        is_resource: [G] what the cell tells of itself.

    Returns:
        [C, G, T]; rows without a common growth are the very ones that were given.
    """
    own = np.flatnonzero(is_resource)
    if own.size < _FEWEST_GAUGES or value.shape[2] < _FEWEST_BLOCKS * _BLOCK_READINGS:
        return value
    means, error = _block_means(value[:, own])
    told = (means >= _LEAST_LEVEL) & (error <= _WORST_ERROR * means)
    # Of each gauge a block counts if it is known and its last block is; the ruler is today's.
    ratio = np.log(np.where(told, means, 1.0)) - np.log(
        np.where(told[:, :, -1:], means[:, :, -1:], 1.0)
    )
    both = told & told[:, :, -1:]
    common = _nearest_to_none(np.where(both, ratio, np.nan))
    rows = np.flatnonzero(np.abs(common).max(axis=1) > np.log1p(_LEAST_GROWTH))
    if rows.size == 0:
        return value
    cleaned = value.copy()
    for c in rows.tolist():
        course = _course(common[c], value.shape[2])
        cleaned[c, own] *= np.exp(min(course[0], 0.0) - course)
    return cleaned


def _edges(steps: int) -> NDArray[np.intp]:
    blocks = min(steps // _BLOCK_READINGS, _MOST_BLOCKS)
    return np.asarray(np.linspace(0, steps, blocks + 1).astype(np.intp))


def _course(common: Array, steps: int) -> Array:
    """[T] through the means of [B] blocks, carried on to both ends; 0 at the newest reading."""
    edges = _edges(steps)
    middle = (edges[:-1] + edges[1:] - 1) / 2.0
    first = common[0] - middle[0] * (common[1] - common[0]) / (middle[1] - middle[0])
    left = steps - 1 - middle[-1]
    last = common[-1] + left * (common[-1] - common[-2]) / (middle[-1] - middle[-2])
    places = np.concatenate(([0.0], middle, [steps - 1.0]))
    known = np.concatenate(([first], common, [last]))
    return np.asarray(np.interp(np.arange(steps), places, known) - last)


def _block_means(value: Array) -> tuple[Array, Array]:
    """[C, G, B] means and their standard errors, NaN = too few readings."""
    starts = _edges(value.shape[2])[:-1]
    heard = np.isfinite(value)
    count = np.add.reduceat(heard, starts, axis=2, dtype=np.float64)
    some = np.maximum(count, 1.0)
    known = np.where(heard, value, 0.0)
    mean = np.add.reduceat(known, starts, axis=2) / some
    spread = np.add.reduceat(known * known, starts, axis=2) / some - mean * mean
    error = np.sqrt(np.maximum(spread, 0.0) / some)
    enough = count >= _FEWEST_READINGS
    return np.where(enough, mean, np.nan), np.where(enough, error, np.nan)


def _nearest_to_none(ratio: Array) -> Array:
    """[C, B] from [C, G, B]: the growth that all gauges share; 0 where they share none."""
    known = np.isfinite(ratio)
    enough = known.sum(axis=1) >= _FEWEST_GAUGES
    least = np.where(known, ratio, np.inf).min(axis=1)
    most = np.where(known, ratio, -np.inf).max(axis=1)
    shared = np.where(least > 0.0, least, np.where(most < 0.0, most, 0.0))
    return np.asarray(np.where(enough, shared, 0.0))
