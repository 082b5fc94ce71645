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
    doubt: Array,
) -> Array:
    """Readings [N, T] without spikes and without what was before a fall, or an old leap.

    Args:
        value: [N, T], T >= 3, NaN = missing.
        sd: [N], measurement noise.
        bounds: Of a spike in sd, of a fall or leap in sd, and of the same in limits.
        longest_step: Samples after which a leap is old.
        doubt: [N], filled: distance of the newest reading from the one before, in sd.
    """
    spike_sds, fall_sds, fall_limits = bounds
    n, steps = value.shape
    kept = value.copy()
    held = np.empty(steps)
    for r in range(n):
        row = kept[r]
        last = _last_break(row, held, max(fall_sds * sd[r], fall_limits), longest_step)
        row[: last + 1] = np.nan
        bound = spike_sds * sd[r]
        before = row[0]
        for i in range(1, steps - 1):
            here, after = row[i], row[i + 1]
            if not (np.isnan(before) or np.isnan(here) or np.isnan(after)):
                middle = max(min(before, after), min(max(before, after), here))
                row[i] = min(max(here, middle - bound), middle + bound)
            before = here
        doubt[r] = abs(row[steps - 1] - row[steps - 2]) / sd[r]
    return kept


@njit(cache=True, nogil=True, error_model="numpy")
def _last_break(row: Array, held: Array, least: float, longest_step: int) -> int:
    """Last reading before a fall, or an old leap, that lasted on both sides; -1 = none."""
    steps = row.size
    for i in range(steps):
        # A gap (the process was away) does not hide a fall.
        held[i] = held[i - 1] if i > 0 and np.isnan(row[i]) else row[i]
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
