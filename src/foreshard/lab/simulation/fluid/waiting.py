"""This module is how long a line before some cpus is, at and on the way to any load.

In balance the work that waits before c servers of utilisation u is (Erlang 1917; Allen and
Cunneen's correction for other than exponential service)

    V(u) = g(u) * E[S^2] / (2 E[S]),    g(u) = ErlangC(c, u) / (1 - u),

in cpu seconds, and `V / (c * speed)` is the wait. Out of balance the pointwise stationary fluid
flow approximation holds (Wang, Tipper and Banerjee, "Queueing system modeling using the
pointwise stationary fluid flow approximation", INFOCOM 1996): a line of V drains as fast as the
load whose balance it would be,

    dV/dt = arriving work - c * speed * u(V).

So one equation gives the textbook's means at any steady load, grows by what exceeds the
capacity in an overload, and drains afterwards. Its step is implicit: at a low load V is nearly
nothing and any explicit step would overshoot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foreshard.lab.simulation.effects import Floats

__all__ = ["Drained", "Lines", "erlang_c"]

# Utilisations are looked up this finely, ever more so towards 1: 1 - u falls by 2 % a step.
POINTS = 512
FINEST = 1e-4


def erlang_c(servers: int, load: Floats) -> Floats:
    """Share of arrivals that find all servers busy.

    Args:
        servers: >= 1.
        load: Utilisation, in [0, 1).
    """
    offered = servers * load
    blocked = np.ones_like(load)
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return np.asarray(blocked / (1.0 - load + load * blocked))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drained:
    """What a step left.

    Attributes:
        work_s: [C] cpu seconds that wait.
        load: [C] share of the servers that was busy.
        queued: [C] share of arrivals that wait at all, at that load.
    """

    work_s: Floats
    load: Floats
    queued: Floats


class Lines:
    """Erlang's curves for the servers of each cell.

    Args:
        servers: [C] whole numbers >= 1.
    """

    def __init__(self, servers: npt.NDArray[np.int64]) -> None:
        sizes, row = np.unique(servers, return_inverse=True)
        self._load = 1.0 - np.logspace(0.0, np.log10(FINEST), POINTS)
        queued = np.array([erlang_c(int(c), self._load) for c in sizes])
        self._queued = queued.ravel()
        self._line = (queued / (1.0 - self._load)).ravel()
        self._start = row.astype(np.intp) * POINTS

    def drain(self, work_s: Floats, *, could_s: Floats, scale_s: Floats) -> Drained:
        """One step: what is left of the work that was there and came.

        Args:
            work_s: [C] what waits and what arrived, cpu seconds.
            could_s: [C] what the servers could do in the step.
            scale_s: [C] `E[S^2] / (2 E[S])`, > 0.
        """
        low = np.zeros(len(work_s), dtype=np.intp)
        high = np.full(len(work_s), POINTS - 1, dtype=np.intp)
        for _ in range(POINTS.bit_length() - 1):
            middle = (low + high) // 2
            reached = scale_s * self._line[self._start + middle] + could_s * self._load[middle]
            is_under = reached <= work_s
            low, high = np.where(is_under, middle, low), np.where(is_under, high, middle)
        low = np.minimum(low, POINTS - 2)
        at, after = self._start + low, self._start + low + 1
        base = scale_s * self._line[at] + could_s * self._load[low]
        rise = scale_s * (self._line[after] - self._line[at])
        rise += could_s * (self._load[low + 1] - self._load[low])
        part = np.clip((work_s - base) / rise, 0.0, 1.0)
        load = self._load[low] + part * (self._load[low + 1] - self._load[low])
        queued = self._queued[at] + part * (self._queued[after] - self._queued[at])
        return Drained(work_s=np.maximum(0.0, work_s - could_s * load), load=load, queued=queued)
