"""This module is rows of telemetry laid on an even grid, with limits, as a history to walk over.

Where rows stand as far apart as the steps, each goes to the nearest step; where they are finer,
a step takes those before it (the largest of a gauge, the mean of the load) and none after it.
Steps without a row stay empty: nothing is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import ALONE, History
from foreshard.forecast.limit import Limits, learn_limits
from foreshard.lab.backtest.outline import LOAD, GaugeColumn, Outline, Reading
from foreshard.model.errors import LabError
from foreshard.ports import Samples, Wanted

__all__ = ["Record", "asked", "lay"]

# Of one step: rows may stand so much closer and still be one a step that is a little late.
FINER = 0.75
# Rows this much further apart than a step are another step.
COARSER = 1.5
# Values of all gauges: 4 GB, most of them on the way.
MOST_VALUES = 500_000_000
TRUSTED, DECLARED = "\0trusted", "\0declared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A history, and from where on each cell is scored.

    Attributes:
        history: All of it.
        limits: Of its gauges, in their own units.
        starts: int64 [C], first sample that is scored.
        first, last: int64 [C], first and last sample with a row.
    """

    history: History
    limits: Limits
    starts: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def asked(reading: Reading) -> Wanted:
    """What an archive is asked for."""
    columns = {gauge.name: gauge.source for gauge in reading.gauges}
    if reading.load is not None:
        columns[LOAD] = reading.load.source
    if reading.trusted is not None:
        columns[TRUSTED] = reading.trusted[0]
    if reading.declared:
        columns[DECLARED] = reading.declared
    return Wanted(
        columns=columns,
        entity=reading.entity,
        time=reading.time,
        unit_s=reading.unit_s,
        group=reading.group,
    )


def lay(samples: Samples, outline: Outline) -> Record:
    """Lay rows on the grid.

    Raises:
        LabError: There is too little in them, or they do not fit the step.
    """
    reading = outline.reading
    step_s, cells = reading.step_s, samples.entities
    spacing_s = _spacing(samples)
    if spacing_s > COARSER * step_s:
        raise LabError(
            f"rows stand {spacing_s:g} s apart, step_s is {step_s:g}; say step_s: {spacing_s:g}"
            " (or look at time.unit: is it the right one?)"
        )
    begins_s = float(samples.time_s.min())
    place = (samples.time_s - begins_s) / step_s
    is_finer = spacing_s < FINER * step_s
    index = np.ceil(place - 1e-6) if is_finer else np.floor(place + 0.5)
    index = index.astype(np.int64)
    c, g, t = len(cells), len(reading.gauges), int(index.max()) + 1
    if c * g * t > MOST_VALUES:
        raise LabError(
            f"{c} entities x {g} gauges x {t} steps are {c * g * t} values, at most {MOST_VALUES} "
            "fit; take a larger step, fewer gauges or a shorter stretch"
        )
    grid = _Grid(entity=samples.entity, index=index, shape=(c, t), step_s=step_s)
    columns = [_column(samples, gauge) for gauge in reading.gauges]
    raw = np.empty((c, g, t), dtype=np.result_type(*columns))
    for j, column in enumerate(columns):
        raw[:, j] = grid.largest(column)
    first, last = grid.span()
    starts = _starts(outline, first, last, begins_s)
    trusted = np.arange(t)[None] < starts[:, None]
    if reading.trusted is not None:
        told = grid.largest(np.asarray(samples.columns[TRUSTED]))
        trusted &= told == reading.trusted[1]
    limits = learn_limits(raw, [gauge.limit for gauge in reading.gauges], trusted=trusted)
    load = np.full((c, t), np.nan)
    if reading.load is not None:
        load = grid.mean(_column(samples, reading.load))
    history = History(
        cells=cells,
        gauges=tuple(gauge.name for gauge in reading.gauges),
        begins_s=begins_s,
        step_s=step_s,
        value=limits.apply(raw),
        counts=limits.counts,
        scales_with_load=np.array([gauge.scales_with_load for gauge in reading.gauges]),
        load=load.astype(np.float32),
        sibling=_siblings(samples.groups),
        censored=np.zeros((c, t), dtype=bool),
        up_s=np.full((c, t), np.nan, dtype=np.float32),
        declared=grid.largest(np.asarray(samples.columns[DECLARED])) > 0.0
        if reading.declared
        else None,
    )
    return Record(history=history, limits=limits, starts=starts, first=first, last=last)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where N rows go: entity [N], step [N]; both together rise."""

    entity: NDArray[np.int32]
    index: NDArray[np.int64]
    shape: tuple[int, int]
    step_s: float

    def largest(self, column: NDArray[np.floating]) -> NDArray[np.floating]:
        """[C, T], the largest of the rows of a step."""
        found = np.full(self.shape, np.nan, dtype=column.dtype)
        if np.all((np.diff(self.index) > 0) | (np.diff(self.entity) > 0)):
            found[self.entity, self.index] = column
        else:
            np.fmax.at(found, (self.entity, self.index), column)
        return found

    def mean(self, column: NDArray[np.floating]) -> NDArray[np.float64]:
        """[C, T], the mean of the rows of a step."""
        heard = ~np.isnan(column)
        total, count = np.zeros(self.shape), np.zeros(self.shape)
        where = (self.entity[heard], self.index[heard])
        np.add.at(total, where, column[heard].astype(np.float64))
        np.add.at(count, where, 1.0)
        return np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan)

    def span(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last step with a row, [C] each."""
        first = np.full(self.shape[0], self.shape[1], dtype=np.int64)
        last = np.zeros(self.shape[0], dtype=np.int64)
        np.minimum.at(first, self.entity, self.index)
        np.maximum.at(last, self.entity, self.index)
        return first, last


def _column(samples: Samples, gauge: GaugeColumn) -> NDArray[np.floating]:
    column = np.asarray(samples.columns[gauge.name])
    return _rate(column, samples) if gauge.is_counter else column


def _rate(column: NDArray[np.floating], samples: Samples) -> NDArray[np.float64]:
    """Increase a second since the row before; NaN at the first row and at a reset."""
    value = column.astype(np.float64)
    passed_s = np.diff(samples.time_s, prepend=np.nan)
    rate = np.diff(value, prepend=np.nan) / passed_s
    other = np.diff(samples.entity, prepend=-1) != 0
    return np.where(other | (rate < 0.0), np.nan, rate)


def _spacing(samples: Samples) -> float:
    """Median seconds between rows of one entity."""
    same = np.diff(samples.entity) == 0
    steps_s = np.diff(samples.time_s)[same]
    if not len(steps_s):
        raise LabError("no entity has more than one row: there is nothing to walk over")
    return float(np.median(steps_s))


def _starts(
    outline: Outline, first: NDArray[np.int64], last: NDArray[np.int64], begins_s: float
) -> NDArray[np.int64]:
    """First scored sample of each cell."""
    longest = outline.reading.step_s * float((last - first + 1).max())
    if longest < 3.0 * outline.horizons_s[-1]:
        raise LabError(
            f"the longest record is {longest:g} s long: too short for a horizon of "
            f"{outline.horizons_s[-1]:g} s; at least three of it are needed, weeks are better"
        )
    if outline.train_fraction is not None:
        part = np.floor(outline.train_fraction * (last - first + 1)).astype(np.int64)
        return np.asarray(first + part)
    at = (float(outline.train_until_s or 0.0) - begins_s) / outline.reading.step_s
    start = int(np.ceil(at - 1e-6))
    if not first.min() < start <= last.max():
        ends_s = begins_s + outline.reading.step_s * float(last.max())
        raise LabError(
            f"train.until is {outline.train_until_s:.0f} s, outside the record ({begins_s:.0f} to "
            f"{ends_s:.0f} s); choose a moment within it"
        )
    return np.asarray(np.maximum(first, start))


def _siblings(groups: tuple[str, ...]) -> NDArray[np.int32]:
    number = {name: i for i, name in enumerate(sorted(set(groups) - {""}))}
    return np.array([number.get(name, ALONE) for name in groups], dtype=np.int32)
