"""This module is a memory of load that hurt: what was foreseen at a load is not forgotten at less.

A forecast speaks of the load a cell has and somewhat more. Once the cell was relieved it has
nothing to say about the old load, and a planner without memory would give it back, be warned,
take it away again, and so on for ever. So what was foreseen is kept on a fixed scale of work,
rises with half of each new warning (one odd forecast moves little) and fades slowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import PlanningError
from foreshard.model.forecast import Forecast
from foreshard.planning.problem import Flags, Floats, LoadRisk
from foreshard.planning.sheet import sheet_of
from foreshard.planning.siblings import median_of_others

__all__ = ["Caution", "Excess", "excess_of"]

# Work in units of a mean cell at its limit; beyond the last point nothing is ever planned.
SCALE = np.linspace(0.0, 1.5, 16)
# Excess risk under this is the noise of a forecast, not a difference between cells.
EXCESS_FLOOR = 0.2
RISE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Caution:
    """What is held against each cell, by work.

    Attributes:
        p: [C, S] excess probability of failure at each point of the scale of work.
    """

    p: Floats

    def __post_init__(self) -> None:
        if self.p.ndim != 2 or self.p.shape[1] != SCALE.size:
            raise PlanningError(f"caution: p has shape {self.p.shape}, must be [C, {SCALE.size}]")

    @classmethod
    def none(cls, cells: int) -> Caution:
        """Nothing is held against anyone."""
        return cls(p=np.zeros((cells, SCALE.size)))

    def faded(self, elapsed_s: float, *, fade_s: float) -> Caution:
        """The same after some time without news; `fade_s` is the time constant."""
        if not self.p.any():
            return self
        return Caution(p=self.p * np.exp(-elapsed_s / max(fade_s, 1e-9)))

    def warned(self, excess: Excess, present_work: Floats) -> Caution:
        """The same after a forecast.

        Args:
            excess: Of cells by index; others are no worse than their siblings.
            present_work: [C] what load 1 of each curve means.
        """
        if not (excess.cells.size or self.p.any()):
            return self
        works = present_work[excess.cells] > 0.0
        cells = excess.cells[works]
        told = _at(excess.loads, excess.p[works], SCALE / present_work[cells][:, None])
        p = self.p.copy()
        p[cells] = np.maximum(p[cells], p[cells] + RISE * (told - p[cells]))
        return Caution(p=np.maximum.accumulate(p, axis=1))

    def load_risk(self, apart: Sequence[bool]) -> LoadRisk | None:
        """For the planner; None when nobody stands out.

        Args:
            apart: Of each cell, whether it is measured to need more than its siblings for the
                same work: a warning that nothing measured supports moves no work.
        """
        p = np.clip(self.p - EXCESS_FLOOR, 0.0, 1.0) * np.array(apart)[:, None]
        if not p.any():
            return None
        return LoadRisk(loads=SCALE, p=p, present_work=np.ones(len(p)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Excess:
    """How much likelier than its siblings cells are to fail, by load.

    Attributes:
        cells: [N] indices.
        loads: [L] multiples of the present load, rising.
        p: [N, L], never falling along L.
    """

    cells: NDArray[np.intp]
    loads: Floats
    p: Floats


def excess_of(
    forecast: Forecast, serving: Flags, index: Mapping[str, int], *, contrast: float = 1.0
) -> Excess:
    """How much likelier than its siblings each serving cell is to fail at a load.

    What all cells share (the evening peak) is no reason to move work between them; what no
    relief cures is not counted here. The shortest horizon counts: giving less work acts at once.

    Args:
        forecast: The newest.
        serving: [C] the siblings.
        index: Of the cells, by name; one that it does not have is no sibling.
        contrast: As in `thresholds.Thresholds`.
    """
    sheet = sheet_of(forecast)
    at = np.array([index.get(name, -1) for name in sheet.names], dtype=np.intp)
    is_sibling = (at >= 0) & serving[at] if at.size else np.zeros(0, dtype=np.bool_)
    loads, p = sheet.risk(forecast.horizons_s[0])
    usual = np.array([median_of_others(column, is_sibling) for column in p.T]).T
    excess = np.clip(np.nan_to_num(p - p[:, :1] - contrast * usual), 0.0, 1.0)
    stands_out = is_sibling & excess.any(axis=1)
    rising = np.maximum.accumulate(excess[stands_out], axis=1)
    return Excess(cells=at[stands_out], loads=loads, p=rising)


def _at(loads: Floats, p: Floats, wanted: Floats) -> Floats:
    """[N, S] curves [N, L] at loads [N, S], linear between points, flat beyond: `RiskCurve.at`."""
    last = loads.size - 1
    after = np.searchsorted(loads, wanted, side="right")
    low, high = np.maximum(after - 1, 0), np.minimum(after, last)
    p0, p1 = np.take_along_axis(p, low, axis=1), np.take_along_axis(p, high, axis=1)
    span = np.where(high > low, loads[high] - loads[low], 1.0)
    between = p0 + (p1 - p0) * (wanted - loads[low]) / span
    return np.where(after > last, p[:, -1:], np.where(after == 0, p[:, :1], between))
