"""This module is how much of a gauge's movement is noise, seen without being fooled by a trend.

A gauge is read as level + measurement noise (variance r), and the level itself wanders (variance
q a second). Second differences take out any steady slope. With lag 1 their variance is
6 r + 2 q dt; those of means over blocks of m samples have about 6 r / m + m q dt. Two lags, two
unknowns. Large values are clipped, so that steps, spikes and the bend where a trend begins count
little, and a short window borrows from the same gauge of the other cells. Rows are gone through in
`compiled.scatter`; `plain.clipped_variance` says the same in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.compiled.scatter import block_differences, clipped_squares

__all__ = ["Noise", "estimate_noise", "reading_sd"]

Array = NDArray[np.float64]

# Smallest measurement noise believed in, limits: counters and page sizes are quantised.
FLOOR_SD = 2e-3
# Median of |normal| is 0.6745 sd.
MAD_TO_SD = 1.4826
CLIP_SDS = 3.5
# Wandering shows in long blocks; a window has room for six, and tides bend those too long.
_BLOCKS_IN_WINDOW = 6
_SHORTEST_BLOCK, _LONGEST_BLOCK = 8, 16
# What the other cells' values are worth, in samples of one's own.
_POOL_SAMPLES = 20.0
# Taken for q dt / r where no window is long enough to tell, and worth so many block differences.
_PRIOR_RATIO = 1e-3
_PRIOR_BLOCKS = 10.0
# How much more a gauge may wander than it does in other cells: a beginning ramp looks like it.
_OWN_OVER_POOL = 3.0
# Rows that are gone through at once: what is made of them stays in a core's nearer cache.
_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise of N series.

    Attributes:
        measurement_var: [N], r, in limits squared.
        process_var: [N], q, in limits squared a second.
    """

    measurement_var: Array
    process_var: Array


def reading_sd(value: Array, *, pools: int) -> Array:
    """Standard deviation of one reading, [N], wandering within one step included: a quick look."""
    return np.asarray(np.sqrt(_fine_variance(value, pools)[0] / 6.0))


def estimate_noise(value: Array, *, pools: int, dt_s: float) -> Noise:
    """Estimate measurement and process noise.

    Args:
        value: [N, T], fractions of the limit, NaN = missing, about `dt_s` apart.
        pools: Row r is of pool r % pools, whose rows lend each other evidence (the same gauge in
            other cells); divides N.
        dt_s: Typical step, > 0.

    Returns:
        Noise of each row; rows without any reading get the pool's.
    """
    fine_var, own_fine_var = _fine_variance(value, pools)
    block = min(max(value.shape[1] // _BLOCKS_IN_WINDOW, _SHORTEST_BLOCK), _LONGEST_BLOCK)
    coarse_var, coarse_count = _clipped_variance(value, block)
    # Overlapping block differences repeat each other: one in half a block is new.
    coarse_count = coarse_count / (block / 2)
    wander = (coarse_var - own_fine_var / block) / (block - 2.0 / block)

    expected = _PRIOR_RATIO * fine_var / 6.0
    blocks = np.where(np.isnan(wander), 0.0, coarse_count)
    total = np.resize(blocks.reshape(-1, pools).sum(axis=0), len(value))
    wander_pool = np.maximum(
        _blend(_pooled(wander, pools), total, expected, _PRIOR_BLOCKS), expected
    )
    mine = _blend(wander, blocks, wander_pool, _PRIOR_BLOCKS)
    mine = np.clip(mine, expected, np.maximum(_OWN_OVER_POOL * wander_pool, expected))
    r = np.maximum((fine_var - 2.0 * mine) / 6.0, 0.1 * fine_var / 6.0)
    return Noise(measurement_var=r, process_var=mine / dt_s)


def _fine_variance(value: Array, pools: int) -> tuple[Array, Array]:
    """Variance of second differences at lag 1: helped by the pool and never NaN; and the own."""
    own, count = _clipped_variance(value, 1)
    blended = _blend(own, np.where(np.isnan(own), 0.0, count), _pooled(own, pools), _POOL_SAMPLES)
    return np.maximum(np.nan_to_num(blended, nan=0.0), 6.0 * FLOOR_SD**2), own


def _clipped_variance(value: Array, block: int) -> tuple[Array, Array]:
    """Mean square of each row's block differences, clipped at a few robust deviations."""
    # A row that is mostly constant has no median deviation, but may have a true one.
    clip, floor = CLIP_SDS * MAD_TO_SD, CLIP_SDS * FLOOR_SD
    variance, count = np.empty(len(value)), np.empty(len(value))
    for first in range(0, len(value), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        ordered = np.sort(block_differences(value[some], block), axis=1)
        variance[some], count[some] = clipped_squares(ordered, clip, floor)
    return variance, count


def _pooled(x: Array, pools: int) -> Array:
    """Median over the rows of each pool, spread back over the rows; NaN where none knows."""
    # What is not known stands last.
    ordered = np.sort(x.reshape(-1, pools).T, axis=1)
    count = np.count_nonzero(~np.isnan(ordered), axis=1)
    each = np.arange(pools)
    lower = ordered[each, np.maximum(count - 1, 0) // 2]
    upper = ordered[each, np.minimum(count // 2, ordered.shape[1] - 1)]
    median = np.where(count > 0, 0.5 * (lower + upper), np.nan)
    return np.resize(median, len(x))


def _blend(x: Array, weight: Array, other: Array, other_weight: float) -> Array:
    """Weighted mean, in which a NaN weighs nothing."""
    w = np.where(np.isnan(x), 0.0, weight)
    u = np.where(np.isnan(other), 0.0, other_weight)
    total = w + u
    mixed = (np.nan_to_num(x) * w + np.nan_to_num(other) * u) / np.where(total > 0.0, total, 1.0)
    return np.where(total > 0.0, mixed, np.nan)
