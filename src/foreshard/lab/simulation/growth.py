"""This module is how far each fault has grown: the shapes of `scenario.fault.Shape` as arrays."""

from __future__ import annotations

import math

import numpy as np

from foreshard.lab.scenario.fault import Shape
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.strands import TINY_S, Strands

__all__ = ["growth"]

STEEPNESS = 4.0


def growth(strands: Strands, age_s: Floats, served_s: Floats) -> Floats:
    """[S] share of the magnitude that is there, >= 0; 1 when whole.

    Args:
        strands: The faults.
        age_s: [S] seconds since each began; >= 0.
        served_s: [S] the same by the clock that runs as fast as the cell serves.
    """
    age_s = age_s + TINY_S
    over = age_s * strands.rate
    x = np.minimum(over, 1.0)
    for shape, rows in strands.shapes.items():
        match shape:
            case Shape.LINEAR:
                pass
            case Shape.STEP:
                x[rows] = 1.0
            case Shape.EXPONENTIAL:
                x[rows] = np.expm1(STEEPNESS * x[rows]) / math.expm1(STEEPNESS)
            case Shape.LOAD:
                x[rows] = np.minimum((served_s[rows] + TINY_S) * strands.rate[rows], 1.0)
            case Shape.PULSE:
                period_s = strands.period_s[rows]
                x[rows] *= np.mod(age_s[rows], 2.0 * period_s) < period_s
            case Shape.SAWTOOTH:
                floor = np.where(strands.is_boundless[rows], over[rows], x[rows])
                tooth = np.mod(age_s[rows] / strands.period_s[rows], 1.0)
                collected = strands.collected[rows]
                x[rows] = (1.0 - collected) * floor + collected * tooth
    return x
