"""This module is chance: what a request is and costs, and a second stream for the balancers.

Whatever belongs to a request is a function of its *draw*, an integer that names it, so it is the
same in all runs of one seed, however it is routed. Only the balancers' own choices come from a
running stream. SplitMix64 and the Erlang numbers are those of the demo's cells
(`lab.cell.draw`); other coefficients of variation than 1/2, 1 and the like are drawn after
Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from foreshard.lab.simulation.requests.compiled import entry, kernel

__all__ = ["begun", "chances", "exponential", "gamma", "mixed", "named", "uniform", "unit"]

# Streams of a draw: what it is used for. The first two are the demo's.
CPU: Final = 1
DEPENDENCY: Final = 2
KEY: Final = 3
HOT: Final = 4
PROXY: Final = 5
GAP: Final = 6
# These are drawn anew in each try or asking: its number times `TURN` is added.
SHEDDING: Final = 8
ERROR: Final = 9
STALL: Final = 10
AGAIN: Final = 11
TURN: Final = 16

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
STREAM: Final = np.uint64(0xD1B54A32D192ED03)
FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND: Final = np.uint64(0x94D049BB133111EB)
ONE: Final = np.uint64(1)
# The demo's draws are four phases apart, so that one's numbers are never another's.
PHASES: Final = np.uint64(4)
S27: Final = np.uint64(27)
S30: Final = np.uint64(30)
S31: Final = np.uint64(31)
S11: Final = np.uint64(11)
# Up to so many phases the product of uniforms is cheaper than rejection, and far from underflow.
LARGEST_ERLANG: Final = 8


@kernel
def mixed(state: np.uint64) -> np.uint64:
    """The output function of SplitMix64."""
    once = (state ^ (state >> S30)) * FIRST
    twice = (once ^ (once >> S27)) * SECOND
    return twice ^ (twice >> S31)


@kernel
def named(seed: np.uint64, index: np.uint64) -> np.uint64:
    """The draw of the request of that index in its flow."""
    return mixed(seed + index * GOLDEN)


@kernel
def begun(draw: np.uint64, stream: int) -> np.uint64:
    """The state that a stream of a draw begins with."""
    return draw * PHASES * GOLDEN + np.uint64(stream) * STREAM


@kernel
def unit(bits: np.uint64) -> float:
    """A number in (0, 1] from 64 bits, as `lab.cell.draw` takes it."""
    return (np.float64(bits) + 1.0) * 2.0**-64


@entry
def uniform(draw: np.uint64, stream: int) -> float:
    """A number in [0, 1) that belongs to a request."""
    return np.float64(mixed(begun(draw, stream) + GOLDEN) >> S11) * 2.0**-53


@entry
def exponential(draw: np.uint64, stream: int) -> float:
    """Mean 1."""
    return -math.log(unit(mixed(begun(draw, stream) + GOLDEN)))


@entry
def gamma(draw: np.uint64, stream: int, shape: float) -> float:
    """A positive number with mean 1 and coefficient of variation `shape ** -0.5`."""
    state = begun(draw, stream)
    if shape <= LARGEST_ERLANG and shape == math.floor(shape):
        product = 1.0
        for _ in range(int(shape)):
            state += GOLDEN
            product *= unit(mixed(state))
        return -math.log(product) / shape
    boost = 1.0
    full = shape
    if shape < 1.0:
        state += GOLDEN
        boost = unit(mixed(state)) ** (1.0 / shape)
        full = shape + 1.0
    d = full - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        radius = math.sqrt(-2.0 * math.log(unit(mixed(state + GOLDEN))))
        x = radius * math.cos(2.0 * math.pi * unit(mixed(state + GOLDEN + GOLDEN)))
        state += GOLDEN + GOLDEN + GOLDEN
        cube = (1.0 + c * x) ** 3
        if cube > 0.0:
            bound = 0.5 * x * x + d * (1.0 - cube + math.log(cube))
            if math.log(unit(mixed(state))) < bound:
                return boost * d * cube / shape


@kernel
def chances(streams: np.ndarray) -> float:
    """The next number in [0, 1) of the balancers.

    Args:
        streams: uint64 [1], is changed.
    """
    streams[0] += GOLDEN
    return np.float64(mixed(streams[0]) >> S11) * 2.0**-53
