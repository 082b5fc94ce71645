"""This module is what was given to whom over a run: only what changed, when it changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from foreshard.lab.simulation.effects import Floats

__all__ = ["Shares", "SharesLog"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shares:
    """Shares over time, as changes.

    Attributes:
        at_s: [M] moment of each change, seconds of the scenario, never falling.
        place: [M] which entry of the flattened [O, K, C + 1] changed; the last column is shed.
        share: [M] what it is from then on.
        shape: [3] of the whole: O, K, C + 1.
    """

    at_s: Floats
    place: Ints
    share: Floats
    shape: Ints

    def at(self, moment_s: float) -> Floats:
        """The shares that held at a moment: [O, K, C + 1]; zero before the first."""
        whole = np.zeros(int(np.prod(self.shape)))
        until = int(np.searchsorted(self.at_s, moment_s, side="right"))
        # The last of several changes of one entry counts: NumPy keeps the last assignment.
        whole[self.place[:until]] = self.share[:until]
        return whole.reshape(tuple(self.shape.tolist()))

    def rows(self) -> tuple[Floats, Floats]:
        """Every state there was: moments [N], and the shares from each on [N, O, K, C + 1]."""
        moments, starts = np.unique(self.at_s, return_index=True)
        whole = np.zeros((len(moments), int(np.prod(self.shape))))
        bounds = [*starts.tolist(), len(self.at_s)]
        for n, (start, end) in enumerate(pairwise(bounds)):
            whole[n] = whole[n - 1] if n else 0.0
            whole[n, self.place[start:end]] = self.share[start:end]
        return moments, whole.reshape((len(moments), *self.shape.tolist()))


class SharesLog:
    """Collects shares as they change.

    Args:
        origins, cells, classes: How many there are.
    """

    def __init__(self, origins: int, cells: int, classes: int) -> None:
        self._now = np.zeros((origins, classes, cells + 1))
        self._at_s: list[Floats] = []
        self._place: list[Ints] = []
        self._share: list[Floats] = []

    def note(self, at_s: float, shares: Floats) -> None:
        """These hold from now on.

        Args:
            at_s: Of the scenario; never less than in the call before.
            shares: [O, K, C + 1].
        """
        place = np.flatnonzero(self._now != shares)
        self._now = shares
        self._at_s.append(np.full(len(place), at_s))
        self._place.append(place)
        self._share.append(shares.ravel()[place])

    def shares(self) -> Shares:
        """What was collected."""
        return Shares(
            at_s=np.concatenate((np.zeros(0), *self._at_s)),
            place=np.concatenate((np.zeros(0, dtype=np.int64), *self._place)),
            share=np.concatenate((np.zeros(0), *self._share)),
            shape=np.array(self._now.shape, dtype=np.int64),
        )
