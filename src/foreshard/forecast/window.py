"""This module is a stretch of observations as arrays, in which what was not heard is NaN.

Rules, all on the side of "unknown":
- a reading older than 1.5 intervals is stale, hence NaN: a repeated value would look like calm;
- the mean latency of fewer than `FEWEST_REQUESTS` requests is chance, hence NaN;
- a balancer that was silent leaves load, latency and errors NaN, never zero;
- a cell that uses nothing at all, as it says, and is not known to be idle has a broken meter;
- a process that restarted has no past: its cell's readings before the restart are forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError
from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Observation
from foreshard.model.workload import RequestClass

__all__ = ["FEWEST_REQUESTS", "Window", "WindowBuffer"]

Number = TypeVar("Number", bound=np.generic)

FEWEST_REQUESTS = 5.0
_STALE_INTERVALS = 1.5
# Share of failed requests at which a class counts as failing; the limit of `errors:<class>`.
_ERROR_LIMIT = 0.05
# Clocks of processes and observers differ by less than this.
_SAME_START_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of observations.

    Attributes:
        cells: C names.
        gauges: G names: resources (`memory`), `latency:<class>` (mean latency over the class's
            objective), `errors:<class>` (failed share over the error limit).
        time_s: float64 [T], rising.
        value: float32 [C, G, T], fraction of the limit, NaN = missing.
        load: float32 [C, T], work offered to the cell, in declared cpu work over its capacity;
            NaN = unknown.
        scales_with_load: bool [G].
    """

    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    time_s: NDArray[np.float64]
    value: NDArray[np.float32]
    load: NDArray[np.float32]
    scales_with_load: NDArray[np.bool_]

    def __post_init__(self) -> None:
        c, g, t = len(self.cells), len(self.gauges), len(self.time_s)
        shapes = (self.value.shape, self.load.shape, self.scales_with_load.shape)
        if shapes != ((c, g, t), (c, t), (g,)):
            raise ForecastError(
                f"window: value, load and scales_with_load have shapes {shapes}, must be "
                f"{((c, g, t), (c, t), (g,))}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one observation says: cells by index, and readings by place of their gauge."""

    cells: list[int]
    places: list[int]
    values: list[float]


class WindowBuffer:
    """The last observations of a fleet, appended one at a time.

    Cells and gauges are discovered as they appear; those named before come first.
    """

    def __init__(
        self,
        classes: Sequence[RequestClass],
        *,
        length: int,
        gauges: Sequence[str] = (),
    ) -> None:
        """Make an empty buffer.

        Args:
            classes: Give objectives, and declared cpu needs for the load.
            length: Observations kept, >= 2.
            gauges: Names to begin with.

        Raises:
            ForecastError: `length` is too small.
        """
        if length < 2:
            raise ForecastError(f"window buffer: length is {length}, must be at least 2")
        self._of_class = {
            c.name: (f"latency:{c.name}", f"errors:{c.name}", c.objective_s) for c in classes
        }
        self._cpu = {c.name: c.declared.per_request.get("cpu", 0.0) for c in classes}
        self._length = length
        self._cells: dict[str, int] = {}
        self._gauges: dict[str, int] = {name: i for i, name in enumerate(dict.fromkeys(gauges))}
        self._scales = [False] * len(self._gauges)
        self._time_s = np.full(length, np.nan)
        self._value = np.full((0, len(self._gauges), length), np.nan, dtype=np.float32)
        self._load = np.full((0, length), np.nan, dtype=np.float32)
        self._capacity: dict[str, float] = {}
        self._started_s: dict[str, float] = {}
        self._next = 0
        self._count = 0

    def __len__(self) -> int:
        """How many observations are held."""
        return self._count

    def append(self, observation: Observation) -> None:
        """Take in one observation.

        Raises:
            ForecastError: It is not newer than the last one.
        """
        last = self._time_s[self._next - 1]
        if self._count and not observation.now_s > last:
            raise ForecastError(
                f"window buffer: observation at {observation.now_s} is not newer than {last}"
            )
        found = _Found(places=[], cells=[], values=[])
        rows: list[int] = []
        loads: list[float] = []
        for cell, reading in observation.cells.items():
            i = self._cells.setdefault(cell, len(self._cells))
            found.cells.append(i)
            before = len(found.values)
            self._resources(cell, i, reading, observation.interval_s, found)
            self._traffic(reading, observation.interval_s, found)
            rows += [i] * (len(found.values) - before)
            loads.append(self._offered(cell, reading))
        self._grow()
        at = self._next
        self._value[:, :, at] = np.nan
        self._load[:, at] = np.nan
        if rows:
            self._value[rows, found.places, at] = found.values
        self._load[found.cells, at] = loads
        self._time_s[at] = observation.now_s
        self._next = (at + 1) % self._length
        self._count = min(self._count + 1, self._length)

    def window(self) -> Window:
        """Everything held, oldest first, as a copy."""
        begin = self._next - self._count
        ends = slice(begin, self._next) if begin >= 0 else slice(0, self._next)
        first = slice(begin, None) if begin < 0 else slice(0, 0)

        def held(ring: NDArray[Number]) -> NDArray[Number]:
            return np.concatenate((ring[..., first], ring[..., ends]), axis=-1)

        return Window(
            cells=tuple(self._cells),
            gauges=tuple(self._gauges),
            time_s=held(self._time_s),
            value=held(self._value),
            load=held(self._load),
            scales_with_load=np.array(self._scales, dtype=bool),
        )

    def _resources(
        self, cell: str, index: int, reading: CellReading, interval_s: float, found: _Found
    ) -> None:
        if not isinstance(reading.reading, Fresh):
            return
        metrics = reading.reading.metrics
        self._capacity[cell] = metrics.capacity.get("cpu", math.nan)
        if reading.reading.age_s > _STALE_INTERVALS * interval_s or _is_void(reading, metrics):
            return
        before = self._started_s.get(cell, metrics.started_at_s)
        if metrics.started_at_s > before + _SAME_START_S and index < len(self._value):
            self._value[index] = np.nan
            self._load[index] = np.nan
        self._started_s[cell] = metrics.started_at_s
        for name, gauge in metrics.gauges.items():
            place = self._place(name)
            self._scales[place] = gauge.scales_with_load
            found.places.append(place)
            found.values.append(gauge.utilisation)

    def _traffic(self, reading: CellReading, interval_s: float, found: _Found) -> None:
        for name, traffic in (reading.traffic or {}).items():
            of = self._of_class.get(name)
            if of is None or traffic.rate_rps * interval_s < FEWEST_REQUESTS:
                continue
            latency, errors, objective_s = of
            found.places.extend((self._place(latency), self._place(errors)))
            late = traffic.latency_mean_s / objective_s
            found.values.extend((late, traffic.failed_ratio / _ERROR_LIMIT))

    def _offered(self, cell: str, reading: CellReading) -> float:
        capacity = self._capacity.get(cell, math.nan)
        if reading.traffic is None or not capacity > 0.0:
            return math.nan
        work = sum(t.rate_rps * self._cpu.get(name, 0.0) for name, t in reading.traffic.items())
        # Classes that declare no cpu need leave the load unknown, not zero.
        return work / capacity if any(self._cpu.values()) else math.nan

    def _place(self, gauge: str) -> int:
        place = self._gauges.get(gauge)
        if place is None:
            place = len(self._gauges)
            self._gauges[gauge] = place
            self._scales.append(False)
        return place

    def _grow(self) -> None:
        shape = (len(self._cells), len(self._gauges), self._length)
        if self._value.shape == shape:
            return
        value = np.full(shape, np.nan, dtype=np.float32)
        value[: self._value.shape[0], : self._value.shape[1]] = self._value
        load = np.full((shape[0], shape[2]), np.nan, dtype=np.float32)
        load[: len(self._load)] = self._load
        self._value, self._load = value, load


def _is_void(reading: CellReading, metrics: CellMetrics) -> bool:
    """Whether a cell says that it uses nothing of anything, and is not known to be idle."""
    if any(gauge.used != 0.0 for gauge in metrics.gauges.values()):
        return False
    return reading.traffic is None or any(t.rate_rps > 0.0 for t in reading.traffic.values())
