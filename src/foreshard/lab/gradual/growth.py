"""This module is how a fault grows: from nothing to whole in its length, and on beyond it.

What grows is told in parts of the whole. It goes on above 1 until the cell fails, because how much
room there is hangs on the hour: a leak that began at noon meets more free memory at night.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import InvalidValueError

__all__ = ["Growth", "progress"]

Array = NDArray[np.float64]

# An exponential fault covers a third of its way in the last tenth of its time.
STEEPNESS = 4.0
# Gamma increments of so small a shape come in bursts: over an hour of minutes the way covered
# scatters by a third.
BURSTINESS = 0.15
# A collector frees this part of the whole each time, as often as this in the fault's length.
TOOTH = (0.1, 0.3)
TEETH = (5.0, 14.0)


class Growth(StrEnum):
    """The shape of a fault over time."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    RANDOM = "random"
    SAWTOOTH = "sawtooth"


def progress(growth: Growth, *, length: int, samples: int, rng: np.random.Generator) -> Array:
    """How far a fault is, sample by sample.

    Args:
        growth: Its shape.
        length: Samples after which it is whole (on average, where it is random), >= 1.
        samples: How many to tell, >= 0; may be more than the length.
        rng: Of what chance there is.

    Returns:
        [samples], >= 0.

    Raises:
        InvalidValueError: The length is less than one sample.
    """
    if length < 1:
        raise InvalidValueError(f"growth: length is {length} samples, must be at least 1")
    over = np.arange(1, samples + 1) / length
    match growth:
        case Growth.LINEAR:
            return np.asarray(over)
        case Growth.EXPONENTIAL:
            return np.asarray(np.expm1(STEEPNESS * over) / np.expm1(STEEPNESS))
        case Growth.RANDOM:
            steps = rng.gamma(BURSTINESS, 1.0 / (BURSTINESS * length), samples)
            return np.asarray(np.cumsum(steps))
        case Growth.SAWTOOTH:
            tooth, teeth = rng.uniform(*TOOTH), rng.uniform(*TEETH)
            # The peaks run on the line, the collector takes them back below it.
            fallen = 1.0 - np.mod(over * teeth, 1.0)
            return np.asarray(
                np.maximum(over - tooth * fallen * np.minimum(over * teeth, 1.0), 0.0)
            )
