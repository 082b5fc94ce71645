"""This module is what came true in a history, in the shape in which forecasts are judged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.onset import Onsets, labels
from foreshard.lab.backtest.alarm import NEVER, Ground
from foreshard.lab.backtest.outline import Outline
from foreshard.lab.backtest.record import Record

__all__ = ["ground_of", "unit_of"]

_DAY_S = 86_400.0


def ground_of(
    record: Record,
    onsets: Onsets,
    outline: Outline,
    horizon_s: float,
    *,
    first: NDArray[np.int64],
) -> Ground:
    """What is true for one horizon from some sample of each cell on.

    Args:
        record: The history.
        onsets: Found in all of it.
        outline: Says which cells share incidents.
        horizon_s: > 0.
        first: [C], first sample that counts.
    """
    history = record.history
    h = history.steps(horizon_s)
    c, t = len(history.cells), history.samples
    y, known = labels(onsets, h)
    now = np.arange(t)[None]
    usable = onsets.scored & known & (now >= first[:, None]) & (now <= record.last[:, None])
    wanted = onsets.begin >= first[onsets.cell]
    unit, units = unit_of(record, outline)
    return Ground(
        usable=usable,
        y=y,
        next_onset=_next_onset(onsets, (c, t)),
        horizon=h,
        onset_cell=onsets.cell[wanted],
        onset_at=onsets.begin[wanted],
        unit=unit,
        units=units,
        day_steps=_DAY_S / history.step_s,
    )


def unit_of(record: Record, outline: Outline) -> tuple[NDArray[np.int32], int]:
    """Which unit of the bootstrap each sample belongs to, [C, T], and how many there are.

    A unit is a cell; where cells share incidents, a cell in a block of time, and unit number
    `cell * blocks + block`.
    """
    c, t = len(record.history.cells), record.history.samples
    block = np.zeros(t, dtype=np.int32)
    if outline.block_s is not None:
        block = (np.arange(t) // record.history.steps(outline.block_s)).astype(np.int32)
    blocks = int(block[-1]) + 1
    unit = np.arange(c, dtype=np.int32)[:, None] * np.int32(blocks) + block[None]
    return unit, c * blocks


def _next_onset(onsets: Onsets, shape: tuple[int, int]) -> NDArray[np.int32]:
    """[C, T], the first onset after each sample."""
    found = np.full(shape, NEVER, dtype=np.int32)
    for c in range(shape[0]):
        begins = onsets.of_cell(c)
        place = np.searchsorted(begins, np.arange(shape[1]), side="right")
        some = place < len(begins)
        found[c, some] = begins[place[some]]
    return found
