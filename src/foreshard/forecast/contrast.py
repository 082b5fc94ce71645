"""This module is a cell against its siblings: what befalls all of them is no cell's own fault.

A rising tide, a bad deploy everywhere or a wrong model raises every cell's risk alike, and moving
work between such cells helps nobody. What a cell has over the median of its siblings is its own.
With fewer than three others a median is one cell's opinion, and the contrast says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from foreshard.model.forecast import CellForecast, Forecast

__all__ = ["FEWEST_SIBLINGS", "Contrast", "against_siblings"]

FEWEST_SIBLINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What a cell has over the median of its siblings; below 0 = it is better off.

    Attributes:
        siblings: How many others with a forecast it was compared with.
        modes: Excess P at the present load, by mode then horizon; modes that are possible in
            the cell itself.
        standing: The same at no load: what no relief cures.
        class_risk: Excess P by class then horizon, against the same class in the siblings that
            know of it.
        drift_low_per_s: Excess of the drift's lower bound, by gauge.
    """

    siblings: int
    modes: Mapping[str, Mapping[float, float]]
    standing: Mapping[str, Mapping[float, float]]
    class_risk: Mapping[str, Mapping[float, float]]
    drift_low_per_s: Mapping[str, float]

    @property
    def is_telling(self) -> bool:
        """Whether there were siblings enough for a median to mean something."""
        return self.siblings >= FEWEST_SIBLINGS


def against_siblings(
    forecast: Forecast, groups: Iterable[Iterable[str]]
) -> Mapping[str, Contrast]:
    """Compare each cell with the others of its group.

    Args:
        forecast: A mode that a cell's forecast leaves out counts as 0 there; a cell that it
            leaves out is unknown and compared with nobody.
        groups: Cells with the same role; a cell is compared within the first that names it.

    Returns:
        By cell, for every cell that is in the forecast and in a group.
    """
    result: dict[str, Contrast] = {}
    for group in groups:
        members = sorted({c for c in group if c in forecast.cells and c not in result})
        for name in members:
            others = [forecast.cells[o] for o in members if o != name]
            result[name] = _contrast(forecast.cells[name], others, forecast.horizons_s)
    return result


def _contrast(
    cell: CellForecast, others: list[CellForecast], horizons_s: tuple[float, ...]
) -> Contrast:
    return Contrast(
        siblings=len(others),
        modes={
            m: {
                h: _p(cell, m, h, 1.0) - _median(_p(o, m, h, 1.0) for o in others)
                for h in horizons_s
            }
            for m in cell.modes
        },
        standing={
            m: {
                h: _p(cell, m, h, 0.0) - _median(_p(o, m, h, 0.0) for o in others)
                for h in horizons_s
            }
            for m in cell.modes
        },
        class_risk={
            name: {
                h: by_horizon[h]
                - _median(o.class_risk[name][h] for o in others if name in o.class_risk)
                for h in horizons_s
            }
            for name, by_horizon in cell.class_risk.items()
        },
        drift_low_per_s={
            gauge: low
            - _median(o.drift_low_per_s[gauge] for o in others if gauge in o.drift_low_per_s)
            for gauge, low in cell.drift_low_per_s.items()
        },
    )


def _p(cell: CellForecast, mode: str, horizon_s: float, load: float) -> float:
    by_horizon = cell.modes.get(mode)
    return by_horizon[horizon_s].at(load) if by_horizon else 0.0


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return median(known) if known else 0.0
