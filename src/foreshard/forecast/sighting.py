"""This module is how one observation becomes numbers: fractions of limits, and what was not heard.

Rules, all on the side of "unknown":

- a reading older than 1.5 intervals is stale and says nothing: a repeated value would look like
  calm;
- the mean latency of fewer than `FEWEST_REQUESTS` requests is chance and says nothing;
- a cell that uses nothing at all, as it says, and is not known to be idle has a broken meter;
- a balancer that was silent leaves load, latency and errors unknown, never zero.

The window of the last minutes and the memory of weeks both see the fleet through here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from foreshard.model.telemetry import CellMetrics, CellReading, Fresh, Observation
from foreshard.model.workload import RequestClass

__all__ = ["FEWEST_REQUESTS", "Reader", "Sighting"]

FEWEST_REQUESTS = 5.0
_STALE_INTERVALS = 1.5
# Share of failed requests at which a class counts as failing; the limit of `errors:<class>`.
_ERROR_LIMIT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one observation says, by the numbers that a `Reader` gave to cells and gauges.

    Attributes:
        cells: [N] numbers of the cells that were looked at.
        loads: [N] work offered to each, in declared cpu work over its capacity; NaN = unknown.
        started_s: [N] when its youngest process started; NaN = it was not heard, or does not say.
        rows, places, values: [M] number of the cell, number of the gauge, fraction of the limit.
    """

    cells: list[int] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class Reader:
    """Reads observations; numbers cells and gauges in the order in which they appear.

    Args:
        classes: Give objectives, and declared cpu needs for the load.
        cells: Names to begin with.
        gauges: Names to begin with: resources (`memory`), `latency:<class>` (mean latency over
            the class's objective), `errors:<class>` (failed share over the error limit).
    """

    def __init__(
        self,
        classes: Sequence[RequestClass],
        *,
        cells: Sequence[str] = (),
        gauges: Sequence[str] = (),
    ) -> None:
        self.take_up(classes)
        self._cells = {name: i for i, name in enumerate(dict.fromkeys(cells))}
        self._gauges = {name: i for i, name in enumerate(dict.fromkeys(gauges))}
        self._scales = [False] * len(self._gauges)
        self._rates = [False] * len(self._gauges)
        self._capacity: dict[str, float] = {}

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """Read requests as those of other classes from now on; cells and gauges keep numbers."""
        self._of_class = {
            c.name: (f"latency:{c.name}", f"errors:{c.name}", c.objective_s) for c in classes
        }
        self._cpu = {c.name: c.declared.per_request.get("cpu", 0.0) for c in classes}

    @property
    def cell_names(self) -> tuple[str, ...]:
        """Names by number."""
        return tuple(self._cells)

    @property
    def gauge_names(self) -> tuple[str, ...]:
        """Names by number."""
        return tuple(self._gauges)

    @property
    def scales_with_load(self) -> tuple[bool, ...]:
        """By number of the gauge."""
        return tuple(self._scales)

    @property
    def is_rate(self) -> tuple[bool, ...]:
        """By number of the gauge: cells offer so much of it a second, none of it can be held."""
        return tuple(self._rates)

    def read(self, observation: Observation) -> Sighting:
        """One observation as numbers."""
        seen = Sighting()
        for cell, reading in observation.cells.items():
            i = self._cells.setdefault(cell, len(self._cells))
            before = len(seen.values)
            started_s = self._resources(cell, reading, observation.interval_s, seen)
            self._traffic(reading, observation.interval_s, seen)
            seen.rows.extend([i] * (len(seen.values) - before))
            seen.cells.append(i)
            seen.started_s.append(started_s)
            seen.loads.append(self._offered(cell, reading))
        return seen

    def _resources(
        self, cell: str, reading: CellReading, interval_s: float, seen: Sighting
    ) -> float:
        if not isinstance(reading.reading, Fresh):
            return math.nan
        metrics = reading.reading.metrics
        self._capacity[cell] = metrics.capacity.get("cpu", math.nan)
        if reading.reading.age_s > _STALE_INTERVALS * interval_s or _is_void(reading, metrics):
            return math.nan
        for name, gauge in metrics.gauges.items():
            place = self._place(name)
            self._scales[place] = gauge.scales_with_load
            self._rates[place] = name in metrics.capacity
            seen.places.append(place)
            seen.values.append(gauge.utilisation)
        return metrics.started_at_s

    def _traffic(self, reading: CellReading, interval_s: float, seen: Sighting) -> None:
        for name, traffic in (reading.traffic or {}).items():
            of = self._of_class.get(name)
            if of is None or traffic.rate_rps * interval_s < FEWEST_REQUESTS:
                continue
            latency, errors, objective_s = of
            seen.places.extend((self._place(latency), self._place(errors)))
            late = traffic.latency_mean_s / objective_s
            seen.values.extend((late, traffic.failed_ratio / _ERROR_LIMIT))

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
            self._rates.append(False)
        return place


def _is_void(reading: CellReading, metrics: CellMetrics) -> bool:
    """Whether a cell says that it uses nothing of anything, and is not known to be idle."""
    if any(gauge.used != 0.0 for gauge in metrics.gauges.values()):
        return False
    return reading.traffic is None or any(t.rate_rps > 0.0 for t in reading.traffic.values())
