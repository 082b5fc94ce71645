"""This module is which readings belong to the present: spikes blunted, the past forgotten.

A gauge that falls by a lot and stays there (a process restarted, a cache was dropped, a fault was
cleared) tells nothing of its future by what it did before. Nor does one that leapt up and stays (a
nightly batch began, work was moved here): while the leap is young it is one of the explanations of
`drift`, later nothing there explains it but a ramp, which would arrive within the hour.

The rows are gone through in `compiled.cleaning`; `plain.clean` says the same in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.compiled.cleaning import blunt_rows

__all__ = ["LONGEST_STEP", "Cleaned", "clean", "doubt_of"]

Array = NDArray[np.float64]

SPIKE_SDS = 3.0
# The newest reading has no successor to tell a spike from a ramp, so it is doubted, not clipped.
DOUBT_SDS = 4.0
FALL_SDS = 8.0
FALL_LIMITS = 0.12
# So many samples a leap is left to `drift`, which knows no older step.
LONGEST_STEP = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """Readings fit for a linear filter.

    Attributes:
        value: [N, T], spikes blunted, NaN before the last fall or old leap.
        last_doubt: [N], factor >= 1 on the variance of the newest reading.
    """

    value: Array
    last_doubt: Array


def clean(value: Array, *, sd: Array) -> Cleaned:
    """Blunt spikes and forget what was before a fall, or before a leap that is old.

    Args:
        value: [N, T], fractions of the limit, NaN = missing.
        sd: [N], measurement noise.
    """
    if value.shape[1] < 3:
        return Cleaned(value=np.array(value, dtype=np.float64), last_doubt=np.ones(len(value)))
    surprise_sds = np.empty(len(value))
    bounds = (SPIKE_SDS, FALL_SDS, FALL_LIMITS)
    rows = np.asarray(value, dtype=np.float64)
    # NumPy asks for large pages, so that a large fleet's rows are soon there.
    kept = np.empty_like(rows)
    blunt_rows(rows, sd, bounds, LONGEST_STEP, kept, surprise_sds)
    return Cleaned(value=kept, last_doubt=doubt_of(surprise_sds))


def doubt_of(surprise_sds: Array) -> Array:
    """[N] factor on the variance of a newest reading that is so far from the one before."""
    doubt: Array = np.maximum(np.nan_to_num(surprise_sds / DOUBT_SDS, nan=1.0), 1.0) ** 2
    return doubt
