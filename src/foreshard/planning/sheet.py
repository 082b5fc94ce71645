"""This module is a forecast as columns: what cells are compared by, without an object for each.

A forecaster that has arrays offers them as they are, by being such a sheet besides a mapping; any
other forecast is read cell by cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from foreshard.model.forecast import CellForecast, Forecast, RiskCurve
from foreshard.planning.problem import Flags, Floats

__all__ = ["Sheet", "sheet_of"]

EXHAUSTION = "exhaustion:"


@runtime_checkable
class Sheet(Protocol):
    """What is foreseen of C cells; every column is in the order of `names`."""

    @property
    def names(self) -> tuple[str, ...]:
        """[C] cells of which anything is known."""

    @property
    def gauges(self) -> tuple[str, ...]:
        """Gauges that may be exhausted."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that may suffer alone."""

    @property
    def calibrated(self) -> Flags:
        """[C] whose probabilities are evidence by themselves, see `CellForecast`."""

    def standing(self, gauge: str, horizon_s: float) -> Floats:
        """[C] P that a gauge is exhausted and no relief cures it; 0 where that is not said."""

    def drift_low_per_s(self, gauge: str) -> Floats:
        """[C] lower bound of its drift; 0 where it is not known."""

    def class_risk(self, request_class: str, horizon_s: float) -> Floats:
        """[C] P that a class suffers alone, NaN where that is not said."""

    def risk(self, horizon_s: float) -> tuple[Floats, Floats]:
        """[L] loads, and [C, L] P of any failure at them."""


def sheet_of(forecast: Forecast) -> Sheet:
    """The columns of a forecast."""
    return forecast.cells if isinstance(forecast.cells, Sheet) else _Read(forecast.cells)


class _Read:
    """Columns read from a forecast of each cell."""

    def __init__(self, cells: Mapping[str, CellForecast]) -> None:
        self._cells = tuple(cells.values())
        self.names = tuple(cells)
        modes = _all(cell.modes for cell in self._cells)
        self.gauges = tuple(m.removeprefix(EXHAUSTION) for m in modes if m.startswith(EXHAUSTION))
        self.classes = _all(cell.class_risk for cell in self._cells)
        self.calibrated = np.array([cell.is_calibrated for cell in self._cells], dtype=np.bool_)

    def standing(self, gauge: str, horizon_s: float) -> Floats:
        by_horizon = [cell.modes.get(EXHAUSTION + gauge) for cell in self._cells]
        return np.array([each[horizon_s].standing if each else 0.0 for each in by_horizon])

    def drift_low_per_s(self, gauge: str) -> Floats:
        return np.array([cell.drift_low_per_s.get(gauge, 0.0) for cell in self._cells])

    def class_risk(self, request_class: str, horizon_s: float) -> Floats:
        by_horizon = [cell.class_risk.get(request_class) for cell in self._cells]
        return np.array([each[horizon_s] if each else np.nan for each in by_horizon])

    def risk(self, horizon_s: float) -> tuple[Floats, Floats]:
        curves: list[RiskCurve] = [cell.risk[horizon_s] for cell in self._cells]
        loads = sorted({load for curve in curves for load in curve.loads}) or [0.0]
        p = np.array([[curve.at(load) for load in loads] for curve in curves])
        return np.array(loads), p.reshape(len(curves), len(loads))


def _all(keys: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({key for each in keys for key in each}))
