"""This module is the connections of each cell and the line before them, in amounts.

Whoever finds no connection stands in line, as many as get one within the longest wait; the rest
stands there too, in vain, and is refused when that wait is over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.lab.scenario.scenario import CellMake
from foreshard.lab.simulation.effects import Bools, Floats

__all__ = ["Admission", "Pools", "chance_line_s"]

TINY = 1e-12
# Load up to which the formula of a steady line is used; beyond it the line itself counts.
FULL = 0.98


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Admission:
    """What a step's arrivals meet at the door.

    Attributes:
        refused: [C] share that is refused at once.
        expired: [C] share of the others that gets no connection in time.
        admitted: [K, C] amount that gets a connection in this step.
        line_s: [C] wait for one.
    """

    refused: Floats
    expired: Floats
    admitted: Floats
    line_s: Floats


class Pools:
    """The lines of all cells.

    Args:
        make: Limits.
        shape: K, C.
    """

    def __init__(self, make: CellMake, shape: tuple[int, int]) -> None:
        self._make = make
        self._line = np.zeros(shape)
        self._doomed = np.zeros(shape[1])

    @property
    def waiting(self) -> Floats:
        """[C] requests in line."""
        return np.asarray(self._line.sum(axis=0) + self._doomed)

    def end(self, cells: Bools) -> None:
        """These [C] are killed."""
        self._line[:, cells] = 0.0
        self._doomed[cells] = 0.0

    def admit(
        self, coming: Floats, *, limit: Floats, inside: Floats, ended: Floats, step_s: float
    ) -> Admission:
        """Let in whom there is room for.

        Args:
            coming: [K, C] arrivals.
            limit: [C] usable connections.
            inside: [C] those in use; `ended`: [C] how many came free in the last step.
            ended: [C] see above.
            step_s: Length of the step.
        """
        amount = coming.sum(axis=0)
        over = inside + self.waiting + amount - ended - self._make.backlog
        refused = np.clip(over / np.maximum(amount, TINY), 0.0, 1.0)
        coming, amount = coming * (1.0 - refused), amount * (1.0 - refused)
        line = self._line.sum(axis=0)
        admitted = np.minimum(line + amount, np.maximum(0.0, limit - inside + ended))
        left = line + amount - admitted
        pace = admitted / step_s
        lost = np.clip(left - pace * self._make.pool_wait_s, 0.0, amount)
        expired = lost / np.maximum(amount, TINY)
        self._doomed = self._doomed * np.exp(-step_s / self._make.pool_wait_s) + lost
        queue = self._line + coming * (1.0 - expired)
        part = np.clip(admitted / np.maximum(line + amount - lost, TINY), 0.0, 1.0)
        self._line = queue * (1.0 - part)
        wait_s = np.minimum((left - lost) / np.maximum(pace, TINY), self._make.pool_wait_s)
        return Admission(refused=refused, expired=expired, admitted=queue * part, line_s=wait_s)


def chance_line_s(rate_rps: Floats, holds_s: Floats, limit: Floats) -> Floats:
    """[C] mean wait for a connection while there are enough of them in the mean.

    Sakasegawa's approximation for M/M/c: "An approximation formula Lq = a rho^b / (1 - rho)",
    1977.

    Args:
        rate_rps: [C] requests a second.
        holds_s: [C] how long each holds one.
        limit: [C] connections.
    """
    many = np.maximum(limit, 1.0)
    load = np.minimum(rate_rps * holds_s / many, FULL)
    power = np.sqrt(2.0 * (many + 1.0)) - 1.0
    return np.asarray(holds_s / many * load**power / (1.0 - load))
