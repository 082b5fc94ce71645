"""This module is a stretch of observations as arrays, in which what was not heard is NaN.

What counts as heard is settled by `sighting`. A process that restarted has no recent past: its
cell's readings before the restart are forgotten here. The long memory (`past`) keeps them, for
what the cell did last week still tells of it, and marks when it restarted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.past import Past
from foreshard.forecast.sighting import Reader, Sighting
from foreshard.forecast.step import Gathering
from foreshard.model.errors import ForecastError
from foreshard.model.telemetry import Observation
from foreshard.model.workload import RequestClass

__all__ = ["Window", "WindowBuffer"]

Number = TypeVar("Number", bound=np.generic)

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
        is_rate: bool [G], offered anew each second (cpu), so that none of it can leak; None = all
            that follow the load are.
        past: The long memory, in steps; None = none is kept. It is good until the next observation
            is taken in (see `Past.history`).
    """

    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    time_s: NDArray[np.float64]
    value: NDArray[np.float32]
    load: NDArray[np.float32]
    scales_with_load: NDArray[np.bool_]
    is_rate: NDArray[np.bool_] | None = None
    past: History | None = None

    def __post_init__(self) -> None:
        c, g, t = len(self.cells), len(self.gauges), len(self.time_s)
        shapes = (self.value.shape, self.load.shape, self.scales_with_load.shape)
        if shapes != ((c, g, t), (c, t), (g,)):
            raise ForecastError(
                f"window: value, load and scales_with_load have shapes {shapes}, must be "
                f"{((c, g, t), (c, t), (g,))}"
            )


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
        past: Past | None = None,
    ) -> None:
        """Make an empty buffer.

        Args:
            classes: Give objectives, and declared cpu needs for the load.
            length: Observations kept, >= 2.
            gauges: Names to begin with.
            past: A long memory to keep besides, step by step.

        Raises:
            ForecastError: `length` is too small.
        """
        if length < 2:
            raise ForecastError(f"window buffer: length is {length}, must be at least 2")
        self._reader = Reader(classes, gauges=gauges)
        self._length = length
        self._time_s = np.full(length, np.nan)
        self._value = np.full((0, len(gauges), length), np.nan, dtype=np.float32)
        self._load = np.full((0, length), np.nan, dtype=np.float32)
        self._started_s = np.full(0, np.nan)
        self._next = 0
        self._count = 0
        self._past = past
        self._gathering = Gathering(classes, step_s=past.step_s) if past is not None else None

    def __len__(self) -> int:
        """How many observations are held."""
        return self._count

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """Read requests as those of other classes from now on; what is held stays."""
        self._reader.take_up(classes)
        if self._gathering is not None:
            self._gathering.take_up(classes)

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
        seen = self._reader.read(observation)
        self._grow()
        self._forget_before_restarts(seen)
        at = self._next
        self._value[:, :, at] = np.nan
        self._load[:, at] = np.nan
        if seen.rows:
            self._value[seen.rows, seen.places, at] = seen.values
        self._load[seen.cells, at] = seen.loads
        self._time_s[at] = observation.now_s
        self._next = (at + 1) % self._length
        self._count = min(self._count + 1, self._length)
        if self._past is not None and self._gathering is not None:
            step = self._gathering.take(observation)
            if step is not None:
                self._past.append(step)

    def window(self) -> Window:
        """Everything held, oldest first, as a copy."""
        begin = self._next - self._count
        ends = slice(begin, self._next) if begin >= 0 else slice(0, self._next)
        first = slice(begin, None) if begin < 0 else slice(0, 0)

        def held(ring: NDArray[Number]) -> NDArray[Number]:
            return np.concatenate((ring[..., first], ring[..., ends]), axis=-1)

        return Window(
            cells=self._reader.cell_names,
            gauges=self._reader.gauge_names,
            time_s=held(self._time_s),
            value=held(self._value),
            load=held(self._load),
            scales_with_load=np.array(self._reader.scales_with_load, dtype=bool),
            is_rate=np.array(self._reader.is_rate, dtype=bool),
            past=self._past.history() if self._past is not None else None,
        )

    def _forget_before_restarts(self, seen: Sighting) -> None:
        cells, started_s = np.array(seen.cells, dtype=np.intp), np.array(seen.started_s)
        restarted = cells[started_s > self._started_s[cells] + _SAME_START_S]
        self._value[restarted] = np.nan
        self._load[restarted] = np.nan
        heard = ~np.isnan(started_s)
        self._started_s[cells[heard]] = started_s[heard]

    def _grow(self) -> None:
        shape = (len(self._reader.cell_names), len(self._reader.gauge_names), self._length)
        if self._value.shape == shape:
            return
        value = np.full(shape, np.nan, dtype=np.float32)
        value[: self._value.shape[0], : self._value.shape[1]] = self._value
        load = np.full((shape[0], shape[2]), np.nan, dtype=np.float32)
        load[: len(self._load)] = self._load
        started_s = np.full(shape[0], np.nan)
        started_s[: len(self._started_s)] = self._started_s
        self._value, self._load, self._started_s = value, load, started_s
