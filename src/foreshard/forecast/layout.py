"""This module is how rows of telemetry, in any order, become a history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import ALONE, History
from foreshard.model.errors import ForecastError

__all__ = ["Rows", "laid_out", "with_siblings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """N rows: what was known of a cell at a moment.

    Attributes:
        cells: C names.
        cell: int64 [N], index of the cell.
        time_s: float64 [N], ends of steps.
        step_s: Between moments.
        gauges: float32 [N] by name, fraction of the limit, NaN = missing.
        scales_with_load: Names of gauges that do.
        load: float32 [N], NaN = unknown.
        up_s: float32 [N], NaN = unknown.
        censored: bool [N].
    """

    cells: tuple[str, ...]
    cell: NDArray[np.int64]
    time_s: NDArray[np.float64]
    step_s: float
    gauges: Mapping[str, NDArray[np.float32]]
    scales_with_load: frozenset[str]
    load: NDArray[np.float32]
    up_s: NDArray[np.float32]
    censored: NDArray[np.bool_]


def laid_out(rows: Rows) -> History:
    """Rows as a history; of two rows of one cell and moment the last counts.

    Raises:
        ForecastError: There is no row.
    """
    if not len(rows.time_s):
        raise ForecastError("history: there is no row to make one of")
    number = np.rint(rows.time_s / rows.step_s).astype(np.int64)
    first = int(number.min())
    at = (rows.cell, number - first)
    c, g, t = len(rows.cells), len(rows.gauges), int(number.max()) - first + 1
    value = np.full((c, g, t), np.nan, dtype=np.float32)
    for place, column in enumerate(rows.gauges.values()):
        value[at[0], place, at[1]] = column
    load = np.full((c, t), np.nan, dtype=np.float32)
    up_s = np.full((c, t), np.nan, dtype=np.float32)
    censored = np.zeros((c, t), dtype=bool)
    load[at], up_s[at], censored[at] = rows.load, rows.up_s, rows.censored
    return History(
        cells=rows.cells,
        gauges=tuple(rows.gauges),
        begins_s=first * rows.step_s,
        step_s=rows.step_s,
        value=value,
        counts=np.asarray(~np.isnan(value).all(axis=2)),
        scales_with_load=np.array([name in rows.scales_with_load for name in rows.gauges]),
        load=load,
        sibling=np.full(c, ALONE, dtype=np.int32),
        censored=censored,
        up_s=up_s,
    )


def with_siblings(history: History, groups: Mapping[str, int]) -> History:
    """A history that knows which cells are siblings, by the number of their group."""
    numbers = [groups.get(name, ALONE) for name in history.cells]
    return replace(history, sibling=np.array(numbers, dtype=np.int32))
