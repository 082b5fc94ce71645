"""This module is the cleaning of readings, compiled; `regimes` says why, `plain.clean` how."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["blunt_rows"]

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def blunt_rows(
    value: Array,
    sd: Array,
    bounds: tuple[float, float, float],
    longest_step: int,
    kept: Array,
    doubt: Array,
) -> None:
    """Leave out spikes, and what was before a fall or an old leap.

    Args:
        value: [N, T], T >= 3, NaN = missing.
        sd: [N], measurement noise.
        bounds: Of a spike in sd, of a fall or leap in sd, and of the same in limits.
        longest_step: Samples after which a leap is old.
        kept: [N, T], filled: the readings that remain, NaN = none.
        doubt: [N], filled: distance of the newest reading from the one before, in sd.
    """
    spike_sds, fall_sds, fall_limits = bounds
    n, steps = value.shape
    held = np.empty(steps)
    for r in range(n):
        row = value[r]
        least = max(fall_sds * sd[r], fall_limits)
        first = _last_break(row, held, least, longest_step) + 1
        _blunt(row, first, spike_sds * sd[r], kept[r])
        doubt[r] = abs(kept[r, steps - 1] - kept[r, steps - 2]) / sd[r]


@njit(cache=True, nogil=True, error_model="numpy")
def _blunt(row: Array, first: int, bound: float, kept: Array) -> None:
    """[T] readings no further than the bound from the middle of three; NaN before the first."""
    kept[:first] = np.nan
    kept[first:] = row[first:]
    # Without branches, several readings are worked on at a time.
    for i in range(first + 1, row.size - 1):
        before, here, after = row[i - 1], row[i], row[i + 1]
        lower, upper = min(before, after), max(before, after)
        middle = max(lower, min(upper, here))
        blunted = min(max(here, middle - bound), middle + bound)
        kept[i] = here if np.isnan(before + here + after) else blunted


@njit(cache=True, nogil=True, error_model="numpy")
def _last_break(row: Array, held: Array, least: float, longest_step: int) -> int:
    """Last reading before a fall, or an old leap, that lasted on both sides; -1 = none."""
    steps = row.size
    gaps = 0
    for i in range(steps):
        gaps += np.isnan(row[i])
        held[i] = row[i]
    # A gap (the process was away) does not hide a fall.
    for i in range(1, steps if gaps else 0):
        held[i] = held[i - 1] if np.isnan(held[i]) else held[i]
    far = 0
    for i in range(steps - 2):
        far += abs(held[i] - held[i + 1]) > least
    if far == 0:
        return -1
    # A fall at the newest reading alone may be a spike.
    for i in range(steps - 3, -1, -1):
        if _breaks(held, i, least, 1.0):
            return i
        if i < steps - 1 - longest_step and _breaks(held, i, least, -1.0):
            return i
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def _breaks(held: Array, i: int, least: float, down: float) -> bool:
    if not down * (held[i] - held[i + 1]) > least:
        return False
    stays = down * (held[i] - held[i + 2]) > 0.5 * least
    return bool(stays and (i == 0 or down * (held[i - 1] - held[i + 1]) > 0.5 * least))
