"""This module is the tries that are open, in amounts by origin, class and cell.

What becomes of a try is known by how long the line is that it joins, so it is split when it
comes: those that will be in time, those that will be slow, and those whose caller gives up leave
after their own mean time, the last exactly at the time-out. A death takes what is still open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.lab.simulation.effects import Bools, Floats

__all__ = ["Amounts", "Tries"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Amounts:
    """Tries [O, K, C] by what becomes of them, as they come or as they end.

    Attributes:
        good: In time for the request.
        slow: Slower than that.
        try_slow: Of both, those that took longer than the objective in this try alone.
        late: Given up at the time-out.
        expired: Refused after waiting for a connection.
        unlinked: No connection to the cell came about.
    """

    good: Floats
    slow: Floats
    try_slow: Floats
    late: Floats
    expired: Floats
    unlinked: Floats


class Tries:
    """All open tries.

    Args:
        shape: O, K, C.
        timeout_s: [K].
        bin_s: Grid of the time-outs.
    """

    def __init__(self, shape: tuple[int, int, int], *, timeout_s: Floats, bin_s: float) -> None:
        self._good, self._slow, self._try_slow, self._expired, self._unlinked = np.zeros(
            (5, *shape)
        )
        self._bins = np.rint(timeout_s / bin_s).astype(np.intp)
        self._ring = np.zeros((int(self._bins.max()) + 1, *shape))
        self._late = np.zeros(shape)
        self._has_late = False

    @property
    def open(self) -> Floats:
        """[O, K, C] open now."""
        return np.asarray(self._good + self._slow + self._expired + self._unlinked + self._late)

    def end(self, cells: Bools) -> Floats:
        """These [C] are killed; returns what was open there, [O, K, C]."""
        broken = np.where(cells, self.open, 0.0)
        for each in (self._good, self._slow, self._try_slow, self._expired, self._unlinked):
            each[:, :, cells] = 0.0
        self._late[:, :, cells] = 0.0
        self._ring[:, :, :, cells] = 0.0
        return broken

    def due(self, number: int) -> Floats:
        """Those whose time-out lies at the beginning of this bin, each bin once."""
        slot: Floats = self._ring[number % len(self._ring)]
        if not self._has_late:
            return slot
        ended: Floats = slot.copy()
        slot[:] = 0.0
        self._late -= ended
        self._has_late = bool(self._ring.any())
        if not self._has_late:
            self._late[:] = 0.0
        return ended

    def step(
        self,
        came: Amounts,
        *,
        good_s: Floats,
        slow_s: Floats,
        waits_s: Floats,
        number: int,
        step_s: float,
    ) -> Amounts:
        """Take in what came, let time pass, and return what ended.

        Args:
            came: By what will become of it.
            good_s: [O, K, C] mean time of the good.
            slow_s: [O, K, C] mean time of the slow.
            waits_s: [2] times of the expired and the unlinked.
            number: Of the bin.
            step_s: Length of the step.
        """
        if came.late.any():
            self._has_late = True
            self._late += came.late
            for k, bins in enumerate(self._bins.tolist()):
                self._ring[(number + bins) % len(self._ring), :, k] += came.late[:, k]
        left, gain = _leaving(good_s, step_s)
        good, self._good = _pass(self._good, came.good, left, gain)
        left, gain = _leaving(slow_s, step_s)
        slow, self._slow = _pass(self._slow, came.slow, left, gain)
        try_slow, self._try_slow = _pass(self._try_slow, came.try_slow, left, gain)
        (left_e, left_u), (gain_e, gain_u) = _leaving(waits_s, step_s)
        expired, self._expired = _pass(self._expired, came.expired, left_e, gain_e)
        unlinked, self._unlinked = _pass(self._unlinked, came.unlinked, left_u, gain_u)
        return Amounts(
            good=good,
            slow=slow,
            try_slow=try_slow,
            late=came.late,
            expired=expired,
            unlinked=unlinked,
        )


def _leaving(took_s: Floats, step_s: float) -> tuple[Floats, Floats]:
    """The share of what is open that stays, and of what comes evenly within the step."""
    took_s = np.maximum(took_s, 1e-6)
    left = np.exp(-step_s / took_s)
    return left, np.asarray(took_s / step_s * (1.0 - left))


def _pass(pool: Floats, came: Floats, left: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """What leaves a pool, and what is in it afterwards."""
    after = pool * left + came * gain
    return np.maximum(0.0, pool + came - after), after
