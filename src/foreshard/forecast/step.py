"""This module is a step: what a fleet did in one minute, the grain of the long memory.

Of a gauge the highest value in the step counts, because a limit is reached or it is not; of the
load the mean. Steps end at whole multiples of their length, on the clock of the observations, so
that memories from before and after a restart of ours fit together.

Values keep eleven bits: finer than any gauge is measured, a quarter of the room on the disk, and
the same numbers wherever they come back from. One below its limit never rounds up to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.sighting import Reader, Sighting
from foreshard.model.errors import ForecastError
from foreshard.model.telemetry import Observation
from foreshard.model.workload import RequestClass

__all__ = ["Gathering", "Step", "rounded"]

# Steps are numbered; a moment this close after the end of one still belongs to it.
_SAME_MOMENT = 1e-6
_HIGHEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of C cells and G gauges.

    Attributes:
        ends_s: A multiple of `step_s`; it covers the `step_s` before.
        step_s: > 0.
        cells: C names.
        gauges: G names.
        scales_with_load: bool [G].
        value: float32 [C, G], the highest in the step, fraction of the limit, NaN = not heard.
        load: float32 [C], the mean in the step, NaN = unknown.
        up_s: float32 [C], at its end, since the cell's last restart, NaN = unknown.
        censored: bool [C], we intervened in the step.
    """

    ends_s: float
    step_s: float
    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    scales_with_load: NDArray[np.bool_]
    value: NDArray[np.float32]
    load: NDArray[np.float32]
    up_s: NDArray[np.float32]
    censored: NDArray[np.bool_]

    def __post_init__(self) -> None:
        c, g = len(self.cells), len(self.gauges)
        shapes = (
            self.scales_with_load.shape,
            self.value.shape,
            self.load.shape,
            self.up_s.shape,
            self.censored.shape,
        )
        if shapes != ((g,), (c, g), (c,), (c,), (c,)):
            raise ForecastError(
                f"step: scales_with_load, value, load, up_s and censored have shapes {shapes}, "
                f"must fit {c} cells and {g} gauges"
            )


def rounded(value: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values at the precision of a step; those below 1 stay below 1."""
    coarse = np.clip(value, -_HIGHEST, _HIGHEST).astype(np.float16)
    coarse[(value < 1.0) & (coarse >= 1.0)] = np.nextafter(np.float16(1), np.float16(0))
    return np.asarray(coarse.astype(np.float32))


class Gathering:
    """Makes steps of observations, one at a time.

    Args:
        classes: See `Reader`.
        step_s: Length of a step.
        cells: Names to begin with.

    Raises:
        ForecastError: The length is not positive.
    """

    def __init__(
        self,
        classes: Sequence[RequestClass],
        *,
        step_s: float,
        cells: Sequence[str] = (),
    ) -> None:
        if not step_s > 0.0:
            raise ForecastError(f"steps: step_s is {step_s}, must be above 0")
        self._reader = Reader(classes, cells=cells)
        self._step_s = step_s
        self._number: int | None = None
        self._reset()

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """See `Reader.take_up`."""
        self._reader.take_up(classes)

    def take(
        self, observation: Observation, *, censored: frozenset[str] = frozenset()
    ) -> Step | None:
        """Add an observation; the step that it ends, if it is the first after it.

        A step in which nothing was observed at all is left out.

        Args:
            observation: Newer than the one before.
            censored: Cells that would not be as they are if we had not intervened.

        Raises:
            ForecastError: It belongs to a step before the present one.
        """
        number = math.ceil(observation.now_s / self._step_s - _SAME_MOMENT)
        ended = None
        if self._number is not None and number != self._number:
            if number < self._number:
                raise ForecastError(
                    f"steps: observation at {observation.now_s} belongs to a step that is over"
                )
            ended = self._step(self._number)
            self._reset()
        self._number = number
        self._add(self._reader.read(observation))
        index = {name: i for i, name in enumerate(self._reader.cell_names)}
        self._censored |= {index[name] for name in censored if name in index}
        return ended

    def _reset(self) -> None:
        shape = (len(self._reader.cell_names), len(self._reader.gauge_names))
        self._value = np.full(shape, np.nan)
        self._load_sum = np.zeros(shape[0])
        self._load_count = np.zeros(shape[0], dtype=np.int64)
        self._started_s = np.full(shape[0], np.nan)
        self._censored: set[int] = set()

    def _add(self, seen: Sighting) -> None:
        self._grow()
        if seen.rows:
            at = (seen.rows, seen.places)
            self._value[at] = np.fmax(self._value[at], seen.values)
        loads, started_s = np.array(seen.loads), np.array(seen.started_s)
        cells = np.array(seen.cells, dtype=np.intp)
        known = cells[~np.isnan(loads)]
        self._load_sum[known] += loads[~np.isnan(loads)]
        self._load_count[known] += 1
        # 0 stands for "does not say" (see `CellMetrics`).
        said = started_s > 0.0
        self._started_s[cells[said]] = started_s[said]

    def _grow(self) -> None:
        shape = (len(self._reader.cell_names), len(self._reader.gauge_names))
        c, g = self._value.shape
        if shape == (c, g):
            return
        more = shape[0] - c
        self._value = np.pad(self._value, ((0, more), (0, shape[1] - g)), constant_values=np.nan)
        self._load_sum = np.pad(self._load_sum, (0, more))
        self._load_count = np.pad(self._load_count, (0, more))
        self._started_s = np.pad(self._started_s, (0, more), constant_values=np.nan)

    def _step(self, number: int) -> Step:
        ends_s = number * self._step_s
        cells = self._reader.cell_names
        count = self._load_count
        censored = np.zeros(len(cells), dtype=bool)
        censored[sorted(self._censored)] = True
        load = np.where(count > 0, self._load_sum / np.maximum(count, 1), np.nan)
        return Step(
            ends_s=ends_s,
            step_s=self._step_s,
            cells=cells,
            gauges=self._reader.gauge_names,
            scales_with_load=np.array(self._reader.scales_with_load, dtype=bool),
            value=rounded(self._value),
            load=rounded(load),
            # Clocks differ a little; nothing has been up for less than no time.
            up_s=np.maximum(ends_s - self._started_s, 0.0).astype(np.float32),
            censored=censored,
        )
