"""This module is what the faults of one moment do to cells and demand, as arrays.

C cells, K classes, O origins, in the scenario's order. Both cores are told these and nothing
else of the faults, so they cannot break differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["GAUGES", "STALL_S", "Bools", "Effects", "Floats", "calm"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effects:
    """What holds from this moment on, until the next are told.

    Attributes:
        is_up: [C] the process answers. When it falls, what is inside is lost; when it rises,
            the cell begins empty.
        is_reachable: [C] False = connections to it time out, though it lives (partition).
        speed: [C] of the cpus, > 0; 1 = well.
        wait_s: [C, K] seconds that each request waits longer inside, holding its connection.
        error_ratio: [C, K] share of requests that are answered 503 at once.
        stall_ratio: [C] share of requests that wait `STALL_S` for a retransmission.
        connections: [C] usable ones, >= 0.
        used: [C, G] of each gauge that does not follow load, in [0, 1.x]: memory, disk,
            descriptors, threads, in this order; the sources report them.
        demand: [O, K] factor on the arrival rate, >= 0.
        hot_ratio: Share of keyed requests that have key 0 on top of chance; 0 = none.
        is_heard: [C] the cell's own metrics arrive at all.
        is_frozen: [C] they say what they said when this began.
        scale: [C] factor on every gauge that is said; 0 = all say zero, 1 = the truth.
        skew_s: [C] seconds that the cell's clock is ahead.
    """

    is_up: Bools
    is_reachable: Bools
    speed: Floats
    wait_s: Floats
    error_ratio: Floats
    stall_ratio: Floats
    connections: Floats
    used: Floats
    demand: Floats
    hot_ratio: float
    is_heard: Bools
    is_frozen: Bools
    scale: Floats
    skew_s: Floats


# A lost packet waits for TCP's retransmission timer, 200 ms at least (RFC 6298; Linux).
STALL_S = 0.2
GAUGES = ("memory", "disk", "descriptors", "threads")


def calm(cells: int, classes: int, origins: int, *, connections: int) -> Effects:
    """Nothing is wrong."""
    yes = np.ones(cells, dtype=np.bool_)
    return Effects(
        is_up=yes,
        is_reachable=yes,
        speed=np.ones(cells),
        wait_s=np.zeros((cells, classes)),
        error_ratio=np.zeros((cells, classes)),
        stall_ratio=np.zeros(cells),
        connections=np.full(cells, float(connections)),
        used=np.tile([0.5, 0.3, 0.1, 0.1], (cells, 1)),
        demand=np.ones((origins, classes)),
        hot_ratio=0.0,
        is_heard=yes,
        is_frozen=~yes,
        scale=np.ones(cells),
        skew_s=np.zeros(cells),
    )
