"""This module is chance that both fleets share: the cost of a request as a function of its draw.

Times are Erlang with four phases, which is the gamma distribution with a coefficient of
variation of 1/2: the mean of four exponentials. The uniforms come from SplitMix64 (Steele, Lea
and Flood, "Fast splittable pseudorandom number generators", 2014): seeding it costs nothing,
where seeding Python's Mersenne twister for each request would cost more than the rest.
"""

from __future__ import annotations

from math import log
from typing import Final

__all__ = ["CPU", "DEPENDENCY", "ERRORS", "erlang", "uniform"]

# Streams: what one draw is used for must not depend on what else it is used for.
CPU: Final = 1
DEPENDENCY: Final = 2
ERRORS: Final = 3

PHASES: Final = 4
MASK: Final = (1 << 64) - 1
GOLDEN: Final = 0x9E3779B97F4A7C15
STREAM: Final = 0xD1B54A32D192ED03


def erlang(draw: int, stream: int) -> float:
    """A positive number with mean 1 and coefficient of variation 1/2.

    Args:
        draw: Names the request; the same draw gives the same number everywhere.
        stream: Names the purpose.
    """
    state = (draw * PHASES * GOLDEN + stream * STREAM) & MASK
    product = 1.0
    for _ in range(PHASES):
        state = (state + GOLDEN) & MASK
        product *= _mixed(state)
    return -log(product) / PHASES


def uniform(draw: int, stream: int) -> float:
    """A number in (0, 1], the same everywhere for the same draw and stream."""
    return _mixed((draw * GOLDEN + stream * STREAM + GOLDEN) & MASK)


def _mixed(state: int) -> float:
    mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
    return ((mixed ^ (mixed >> 31)) + 1) * 2.0**-64
