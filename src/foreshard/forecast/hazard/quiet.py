"""This module is the episodes of one gauge before one level, whichever level that is.

The same rule as that of the fleet (`onset`): held for a few samples, close fragments are one, and
in an episode and a while after it there is nothing to forecast.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["NEVER", "next_onsets"]

# Later than any sample.
NEVER = np.iinfo(np.int32).max


@njit(cache=True, nogil=True)
def next_onsets(
    held: NDArray[np.float32],
    limit: float,
    rule: tuple[int, int, int],
    found: tuple[NDArray[np.int32], NDArray[np.bool_]],
) -> int:
    """Find the onsets of one row.

    Args:
        held: [T], see `feature.blocks.hold`.
        limit: A level.
        rule: Sustain, merge gap and quiet time, in samples.
        found: [T] the first onset after each sample (`NEVER` = none), and whether the sample is
            free of an episode and heard; filled in.

    Returns:
        The number of onsets.
    """
    sustain, merge_gap, quiet = rule
    following, is_free = found
    steps = held.size
    apart = max(merge_gap, 2)
    last, count = -apart - quiet, 0
    for t in range(steps):
        following[t] = NEVER
        if held[t] >= limit:
            # Fragments closer than the gap are one, and one has no gap at all.
            if t - last >= apart:
                following[t] = t
                count += 1
            else:
                # What lies between fragments of one episode is part of it.
                is_free[last + 1 : t] = False
            last = t + sustain - 1
        is_free[t] = t > last + quiet
    upcoming = NEVER
    for t in range(steps - 1, -1, -1):
        here = following[t]
        following[t] = upcoming
        if here != NEVER:
            upcoming = here
    return count
