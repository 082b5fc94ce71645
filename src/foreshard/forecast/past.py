"""This module is the long memory of a fleet that runs: a week of steps in bounded room.

As much as there is room for is kept step by step, the newest; where that is less than the whole
reach, all of it is kept besides in blocks of `EVERY` steps (the highest of each gauge, the mean of
the load), which is enough to know what a cell did at this time yesterday and a week ago.

A cell of twelve gauges takes 57 bytes a step: a week of ten thousand such cells, step by step,
would be 5.8 GB. Within one gigabyte (the default) they get nine hours of steps and a week of
blocks, 100 kB a cell; up to 1,500 such cells fit in with every step of the week.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import ALONE, History
from foreshard.forecast.reel import Reel, Strip, bytes_of_sample, room_of
from foreshard.forecast.step import Step
from foreshard.model.errors import ForecastError

__all__ = ["EVERY", "Past", "Reach", "coarsened", "reach_within"]

# Steps in a block.
EVERY = 10
# A week ago, and an hour after that.
REACH_S = 7 * 86_400.0 + 7_200.0
MOST_BYTES = 1_000_000_000
# Less than this, and nothing of the last hours could be told from chance: two hours of minutes.
LEAST_STEPS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far back a memory goes.

    Attributes:
        steps: Kept one by one.
        blocks: Kept in blocks of `EVERY` steps; 0 = none are needed.
        nbytes: Room for both.
    """

    steps: int
    blocks: int
    nbytes: int


def reach_within(cells: int, gauges: int, *, steps: int, most_bytes: int) -> Reach:
    """The furthest reach of a fleet's memory within some room.

    Args:
        cells: How many.
        gauges: How many a cell.
        steps: How far back it should reach.
        most_bytes: The room.

    Raises:
        ForecastError: Not even the last `LEAST_STEPS` steps fit.
    """
    each = max(1, bytes_of_sample(cells, gauges))
    if room_of(steps) * each <= most_bytes:
        return Reach(steps=steps, blocks=0, nbytes=room_of(steps) * each)
    least = room_of(min(LEAST_STEPS, steps)) * each
    blocks = _longest(-(-steps // EVERY), (most_bytes - least) // each)
    whole = _longest(steps, most_bytes // each - (room_of(blocks) if blocks else 0))
    if whole < min(LEAST_STEPS, steps):
        raise ForecastError(
            f"memory: {cells} cells of {gauges} gauges need {least} bytes for their last "
            f"{LEAST_STEPS} steps, there are {most_bytes}; allow more (forecast.memory_mb)"
        )
    room = room_of(whole) + (room_of(blocks) if blocks else 0)
    return Reach(steps=whole, blocks=blocks, nbytes=room * each)


def coarsened(history: History, every: int = EVERY) -> History:
    """A history in blocks of some samples: of gauges the highest, of loads the mean.

    Blocks end at whole multiples of their length, whenever the history begins; the last one is
    left out while it is not over. How long a cell was up is told of the end of a block.
    """
    number = round(history.begins_s / history.step_s)
    before = (number - 1) % every
    first = number - before
    count = (before + history.samples) // every
    kept = max(0, count * every - before)
    c, g = history.counts.shape
    padded = Strip.blank(c, g, count * every)
    padded.put(before if kept else 0, _strip_of(history).between(0, kept))
    whole = _blocks(padded, every)
    off_s = history.begins_s - number * history.step_s
    return replace(
        history,
        begins_s=(first + every - 1) * history.step_s + off_s,
        step_s=every * history.step_s,
        value=whole.value,
        load=whole.load,
        up_s=whole.up_s,
        censored=whole.censored,
        declared=None,
        older=None,
        weight=None,
    )


class Past:
    """The memory of a fleet; cells and gauges are discovered as they appear.

    Args:
        step_s: Length of a step.
        most_bytes: Room for all of it.
        reach_s: How far back it should reach.
        siblings: Number of the group of each cell (see `History.sibling`); others have none.
    """

    def __init__(
        self,
        *,
        step_s: float = 60.0,
        most_bytes: int = MOST_BYTES,
        reach_s: float = REACH_S,
        siblings: Mapping[str, int] | None = None,
    ) -> None:
        self.step_s = step_s
        self._most_bytes = most_bytes
        self._steps = max(2, round(reach_s / step_s))
        self._siblings = dict(siblings or {})
        self._cells: dict[str, int] = {}
        self._gauges: dict[str, int] = {}
        self._scales = np.zeros(0, dtype=bool)
        self._heard = np.zeros((0, 0), dtype=bool)
        self._fine = Reel(0, 0, self._steps)
        self._old: Reel | None = None

    @property
    def nbytes(self) -> int:
        """Of memory, whether used or not."""
        return self._fine.nbytes + (self._old.nbytes if self._old is not None else 0)

    @property
    def ends_s(self) -> float | None:
        """Moment of the newest step; None = there is none."""
        ends = self._fine.ends
        return None if ends is None else (ends - 1) * self.step_s

    def append(self, step: Step) -> None:
        """Add a step.

        Raises:
            ForecastError: It is not newer than the newest, of another length, or the fleet has
                outgrown the room.
        """
        if step.step_s != self.step_s:
            raise ForecastError(f"memory: a step of {step.step_s} s, they have {self.step_s} s")
        strip = Strip(
            value=step.value[:, :, None],
            load=step.load[:, None],
            up_s=step.up_s[:, None],
            censored=step.censored[:, None],
        )
        self._add(step.cells, step.gauges, step.scales_with_load, step.ends_s, strip)

    def extend(self, history: History) -> None:
        """Add what was kept elsewhere, such as before a restart of ours.

        Raises:
            ForecastError: See `append`.
        """
        if history.step_s != self.step_s:
            raise ForecastError(f"memory: steps of {history.step_s} s, they have {self.step_s} s")
        if history.samples:
            self._add(
                history.cells,
                history.gauges,
                history.scales_with_load,
                history.begins_s,
                _strip_of(history),
            )

    def history(self) -> History | None:
        """What is remembered; None = nothing yet.

        It is a view, good until the next step is added.
        """
        if self._fine.ends is None:
            return None
        fine = self._told(self._fine.held(), self._fine.begins * self.step_s, self.step_s)
        if self._old is None or self._old.ends is None:
            return fine
        block_s = EVERY * self.step_s
        older = self._told(self._old.held(), self._old.begins * block_s, block_s)
        return replace(fine, older=older)

    def _told(self, strip: Strip, begins_s: float, step_s: float) -> History:
        return History(
            cells=tuple(self._cells),
            gauges=tuple(self._gauges),
            begins_s=begins_s,
            step_s=step_s,
            value=strip.value,
            counts=self._heard.copy(),
            scales_with_load=self._scales.copy(),
            load=strip.load,
            sibling=np.array(
                [self._siblings.get(name, ALONE) for name in self._cells], dtype=np.int32
            ),
            censored=strip.censored,
            up_s=strip.up_s,
        )

    def _add(
        self,
        cells: tuple[str, ...],
        gauges: tuple[str, ...],
        scales: NDArray[np.bool_],
        begins_s: float,
        strip: Strip,
    ) -> None:
        number = round(begins_s / self.step_s)
        if self._fine.ends is not None and number < self._fine.ends:
            raise ForecastError(
                f"memory: a step at {begins_s} is not newer than the newest ({self.ends_s})"
            )
        rows, places = self._places(cells, gauges)
        self._scales[places] = scales
        self._heard[np.ix_(rows, places)] |= ~np.isnan(strip.value).all(axis=2)
        own = self._own(rows, places, strip)
        # Never more at a time than the newest steps hold: a block is made of what is there.
        for first in range(0, own.samples, EVERY):
            piece = own.between(first, min(first + EVERY, own.samples))
            self._close_blocks(before=number + first)
            self._fine.write(number + first, piece)
            self._close_blocks(before=number + first + piece.samples)

    def _own(self, rows: NDArray[np.intp], places: NDArray[np.intp], strip: Strip) -> Strip:
        """A strip in our order of cells and gauges."""
        shape = (len(self._cells), len(self._gauges))
        if (len(rows), len(places)) == shape and _is_sorted(rows) and _is_sorted(places):
            return strip
        own = Strip.blank(*shape, strip.samples)
        own.value[np.ix_(rows, places)] = strip.value
        own.load[rows], own.up_s[rows] = strip.load, strip.up_s
        own.censored[rows] = strip.censored
        return own

    def _close_blocks(self, *, before: int) -> None:
        """Make blocks of what is over at the step numbered `before`."""
        if self._old is None or self._fine.ends is None:
            return
        # Block b covers the EVERY steps up to b * EVERY.
        over, newest = (before - 1) // EVERY, -(-(self._fine.ends - 1) // EVERY)
        shape = (len(self._cells), len(self._gauges))
        last = min(over, newest)
        if last * EVERY >= self._fine.begins and last >= (self._old.ends or last):
            first = (last - 1) * EVERY + 1
            steps = self._fine.of(first, min(last * EVERY + 1, self._fine.ends))
            block = Strip.blank(*shape, EVERY)
            block.put(max(first, self._fine.begins) - first, steps)
            self._old.write(last, _blocks(block, EVERY))
        if over > newest and over >= (self._old.ends or over):
            self._old.write(over, Strip.blank(*shape, 1))

    def _places(
        self, cells: tuple[str, ...], gauges: tuple[str, ...]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        known = (len(self._cells), len(self._gauges))
        rows = [self._cells.setdefault(name, len(self._cells)) for name in cells]
        places = [self._gauges.setdefault(name, len(self._gauges)) for name in gauges]
        if known != (len(self._cells), len(self._gauges)):
            self._resize()
        return np.array(rows, dtype=np.intp), np.array(places, dtype=np.intp)

    def _resize(self) -> None:
        """Make room for the fleet as it is now; what is known is taken over."""
        c, g = len(self._cells), len(self._gauges)
        reach = reach_within(c, g, steps=self._steps, most_bytes=self._most_bytes)
        self._fine = _taken_over(self._fine, Reel(c, g, reach.steps))
        self._old = _taken_over(self._old, Reel(c, g, reach.blocks)) if reach.blocks else None
        self._scales = np.pad(self._scales, (0, g - len(self._scales)))
        more = (c - self._heard.shape[0], g - self._heard.shape[1])
        self._heard = np.pad(self._heard, ((0, more[0]), (0, more[1])))


def _taken_over(before: Reel | None, reel: Reel) -> Reel:
    if before is not None and before.ends is not None:
        strip = before.held()
        reel.write(before.begins, reel.widened(strip))
    return reel


def _strip_of(history: History) -> Strip:
    return Strip(
        value=history.value,
        load=history.load,
        up_s=history.up_s,
        censored=history.censored,
    )


def _blocks(strip: Strip, every: int) -> Strip:
    """Whole blocks of samples as one sample each."""
    c, g, k = strip.value.shape
    count = k // every
    load = strip.load.reshape(c, count, every)
    heard = ~np.isnan(load)
    known = heard.sum(axis=2)
    total = np.where(heard, load, 0.0).sum(axis=2, dtype=np.float64)
    mean = np.where(known > 0, total / np.maximum(known, 1), np.nan)
    return Strip(
        value=np.fmax.reduce(strip.value.reshape(c, g, count, every), axis=3),
        load=mean.astype(np.float32),
        up_s=np.ascontiguousarray(strip.up_s[:, every - 1 :: every]),
        censored=np.asarray(strip.censored.reshape(c, count, every).any(axis=2)),
    )


def _is_sorted(numbers: NDArray[np.intp]) -> bool:
    return bool(np.array_equal(numbers, np.arange(len(numbers))))


def _longest(wanted: int, room: int) -> int:
    """The most samples, no more than wanted, for which so much room is enough; 0 = none."""
    low, high = 0, wanted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if room_of(middle) <= room else (low, middle - 1)
    return low
