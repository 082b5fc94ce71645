"""This module is which readings belong to the present: spikes blunted, the past forgotten.

A gauge that falls by a lot and stays there (a process restarted, a cache was dropped, a fault was
cleared) tells nothing of its future by what it did before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cleaned", "clean"]

Array = NDArray[np.float64]

_SPIKE_SDS = 3.0
# The newest reading has no successor to tell a spike from a ramp, so it is doubted, not clipped.
_DOUBT_SDS = 4.0
_FALL_SDS = 8.0
_FALL_LIMITS = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """Readings fit for a linear filter.

    Attributes:
        value: [N, T], spikes blunted, NaN before the last fall.
        doubt: [N, T], factor >= 1 on the variance of each reading.
    """

    value: Array
    doubt: Array


def clean(value: Array, *, sd: Array) -> Cleaned:
    """Blunt spikes and forget what was before a fall.

    Args:
        value: [N, T], fractions of the limit, NaN = missing.
        sd: [N], measurement noise.
    """
    kept = np.array(value, dtype=np.float64)
    doubt = np.ones_like(kept)
    if kept.shape[1] < 3:
        return Cleaned(value=kept, doubt=doubt)
    kept[_before_last_fall(kept, sd)] = np.nan
    before, here, after = kept[:, :-2], kept[:, 1:-1], kept[:, 2:]
    with np.errstate(invalid="ignore"):
        middle = np.maximum(np.minimum(before, after), np.minimum(np.maximum(before, after), here))
        bound = _SPIKE_SDS * sd[:, None]
        blunt = np.clip(here, middle - bound, middle + bound)
    kept[:, 1:-1] = np.where(np.isnan(blunt), here, blunt)
    surprise = np.abs(kept[:, -1] - kept[:, -2]) / (_DOUBT_SDS * sd)
    doubt[:, -1] = np.maximum(np.nan_to_num(surprise, nan=1.0), 1.0) ** 2
    return Cleaned(value=kept, doubt=doubt)


def _before_last_fall(value: Array, sd: Array) -> NDArray[np.bool_]:
    """[N, T]: readings before the last fall that lasted at least two readings."""
    gap = np.isnan(value)
    index = np.where(gap, 0, np.arange(value.shape[1]))
    index = np.maximum.accumulate(index, axis=1)
    # A gap (the process was away) does not hide a fall: compare with the last reading before it.
    held = np.take_along_axis(value, index, axis=1)
    least = np.maximum(_FALL_SDS * sd, _FALL_LIMITS)[:, None]
    with np.errstate(invalid="ignore"):
        fell = held[:, :-1] - held[:, 1:] > least
        stays = held[:, :-2] - held[:, 2:] > 0.5 * least
    # The end of a lone spike is no fall: the height must have lasted too.
    fell[:, :-1] &= stays
    fell[:, 1:] &= stays
    # A fall at the newest reading alone may be a spike.
    fell[:, -1] = False
    later = np.zeros(value.shape, dtype=bool)
    later[:, :-1] = np.maximum.accumulate(fell[:, ::-1], axis=1)[:, ::-1]
    return later
