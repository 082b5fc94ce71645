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

from foreshard.model.errors import PlanningError
from foreshard.model.forecast import Forecast, RiskCurve
from foreshard.planning.problem import Floats, LoadRisk

__all__ = ["Caution", "excess_curves"]

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
        return Caution(p=self.p * np.exp(-elapsed_s / max(fade_s, 1e-9)))

    def warned(self, curves: Mapping[int, RiskCurve], present_work: Floats) -> Caution:
        """The same after a forecast.

        Args:
            curves: Excess risk by cell index; others are no worse than their siblings.
            present_work: [C] what load 1 of each curve means.
        """
        p = self.p.copy()
        for c, curve in curves.items():
            work = present_work[c]
            if not work > 0.0:
                continue
            told = np.array([curve.at(float(point / work)) for point in SCALE])
            p[c] = np.maximum(p[c], p[c] + RISE * (told - p[c]))
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


def excess_curves(
    forecast: Forecast, serving: Sequence[str], *, contrast: float = 1.0
) -> Mapping[str, RiskCurve]:
    """How much likelier than its siblings each serving cell is to fail at a load, by name.

    What all cells share (the evening peak) is no reason to move work between them; what no
    relief cures is not counted here. The shortest horizon counts: giving less work acts at once.

    Args:
        forecast: The newest.
        serving: Cells in service, the siblings to compare with.
        contrast: As in `judgement.Thresholds`.
    """
    horizon = forecast.horizons_s[0]
    known = {n: forecast.cells[n].risk[horizon] for n in serving if n in forecast.cells}
    found = {}
    for name, curve in known.items():
        others = [other for n, other in known.items() if n != name]
        if not others:
            continue
        usual = np.median([[o.at(x) for x in curve.loads] for o in others], axis=0)
        excess = np.clip(np.array(curve.p) - curve.standing - contrast * usual, 0.0, 1.0)
        if excess.any():
            rising = np.maximum.accumulate(excess)
            found[name] = RiskCurve(loads=curve.loads, p=tuple(float(x) for x in rising))
    return found
