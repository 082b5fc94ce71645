"""This module is what the mean request uses: all that is known before classes are told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["typical_cost"]

Array = NDArray[np.float64]

# Of a cell that is asked less often, the mean request is not known: its base would be laid to one.
LEAST_RPS = 1.0


def typical_cost(mean_rates: Array, mean_used: Array) -> Array:
    """[R] what the mean request uses, the base included."""
    used = np.nansum(np.abs(mean_used), axis=0)
    busy = np.maximum(mean_rates.sum(axis=1, keepdims=True), LEAST_RPS)
    asked = np.where(np.isnan(mean_used), 0.0, busy).sum(axis=0)
    return np.asarray(np.maximum(used / np.maximum(asked, LEAST_RPS), 1e-12))
