"""This module is what the network learns from: sequences, and what became of them.

The record is cut into sequences of `steps` samples. Those in the first part warm the network up;
at each of the last `told` ones it has to say when the gauge will be at its limit. Both the past of
a history and its present are cut at the same moments, multiples of `told` steps since the epoch,
so that a sample is always seen from the same start, whoever asks and however much is asked for.

What became of a sample is kept as the *largest sustained value* within each interval ahead, not as
yes or no: any limit can then be laid on it. Limits lower and higher than the true one give the
network many more breaches to learn from than happened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.lstm.channel import CHANNELS, Rows, Sight, counted_rows
from foreshard.forecast.onset import BreachRule, Onsets, labels
from foreshard.forecast.trail import trailing_least, trailing_most

__all__ = ["Cut", "Record", "Tasks", "gather", "knots_of"]

Values = NDArray[np.float32]
Index = NDArray[np.int64]

# Cells whose channels are worked out at once, in samples: bounds memory, changes no result.
_SAMPLES_AT_ONCE = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a record is cut into sequences.

    Attributes:
        steps: S, samples of a sequence.
        told: W, the last ones, at which something is said; W <= S.
    """

    steps: int
    told: int

    def starts(self, history: History, first: int, end: int) -> Index:
        """First told samples of the sequences that tell of the samples [first, end)."""
        origin = round(history.begins_s / history.step_s)
        begin = (first + origin) // self.told * self.told - origin
        return np.arange(begin, max(end, first), self.told, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """N sequences of S samples, told at the last W, with J intervals ahead.

    Attributes:
        x: float32 [N, S, D], channels.
        most: float32 [N, W, J], largest sustained value within each interval ahead.
        lately: float32 [N, W], the same within the quiet time behind: at or above a limit there
            is nothing to forecast.
        known: bool [N, W, J], it can be told whether the limit was reached.
        counted: float32 [N, W], see `History.weight`.
        weight: float32 [N], one over the chance that the sequence was taken.
    """

    x: Values
    most: Values
    lately: Values
    known: NDArray[np.bool_]
    counted: Values
    weight: Values

    def __len__(self) -> int:
        """N."""
        return len(self.x)


def knots_of(horizons: tuple[int, ...]) -> tuple[int, ...]:
    """Ends of the intervals ahead, in samples: the horizons, and steps of about 2 between them."""
    found: set[int] = set()
    before = 1
    for h in sorted(set(horizons)):
        steps = max(round(np.log2(h / before)), 1) if found else 1
        found |= {round(before * (h / before) ** (k / steps)) for k in range(1, steps)} | {h}
        before = h
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fate:
    """What became of all samples of some rows; see `Tasks`."""

    most: Values  # [R, T, J]
    lately: Values  # [R, T]
    known: NDArray[np.bool_]  # [R, T, J]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A history, and what is asked of it.

    Attributes:
        history: Where sequences come from.
        onsets: Of it.
        rule: What a breach is.
        cut: Into sequences.
        knots: J ends of intervals ahead, in samples.
    """

    history: History
    onsets: Onsets
    rule: BreachRule
    cut: Cut
    knots: tuple[int, ...]


def gather(
    record: Record,
    sight: Sight,
    *,
    span: tuple[int, int],
    at_most: int,
    lowered: float,
    chance: np.random.Generator,
) -> Tasks:
    """Sequences from a stretch of history, nothing after its end being used.

    All in which a limit is reached are taken, as far as `at_most` allows, of the others as many as
    still fit; the weights make up for it.

    Args:
        record: Where from.
        sight: On its history.
        span: First told sample and the one after the last; outcomes lie before its end.
        at_most: N at most, on average.
        lowered: The lowest limit that will be laid on it, as a fraction of the true one.
        chance: Which are taken.
    """
    history, cut, knots = record.history, record.cut, record.knots
    rows = counted_rows(history)
    starts = cut.starts(history, *span)[:-1]
    starts = starts[starts >= span[0]]
    told = starts[:, None] + np.arange(cut.told)
    fates = _Fates(record, end=span[1])
    blocks = _blocks(rows, history.samples)
    hopeful = np.zeros((len(rows), len(starts)), dtype=bool)
    usable = np.zeros_like(hopeful)
    begin = 0
    for some in blocks if len(starts) else ():
        fate, mine = fates.of(some), slice(begin, begin + len(some))
        hopeful[mine] = (fate.known[:, told] & (fate.most[:, told] >= lowered)).any(axis=(2, 3))
        usable[mine] = fate.known[:, told].any(axis=(2, 3))
        begin += len(some)
    rate = _rates(hopeful, usable & ~hopeful, at_most)
    taken = chance.random(rate.shape) < rate
    parts: list[Tasks] = []
    begin = 0
    # What became of the rows is worked out twice rather than kept: weeks of a fleet are large.
    for some in blocks:
        r, s = np.nonzero(taken[begin : begin + len(some)])
        if len(r):
            fate = fates.of(some)
            first, end = int(starts[0]) - (cut.steps - cut.told), int(starts[-1]) + cut.told
            x, spoken = sight.channels(some, first, end)
            at = starts[s][:, None] + np.arange(cut.told)
            sequence = starts[s][:, None] - first + np.arange(cut.told - cut.steps, cut.told)
            r_ = r[:, None]
            parts.append(
                Tasks(
                    x=x[r_, sequence],
                    most=fate.most[r_, at],
                    lately=fate.lately[r_, at],
                    known=fate.known[r_, at] & spoken[r_, at - first][:, :, None],
                    counted=_counted(history, some.cell[r_], at),
                    weight=(1.0 / rate[begin + r, s]).astype(np.float32),
                )
            )
        begin += len(some)
    return _joined(parts, cut, len(knots))


def _counted(history: History, cell: Index, at: Index) -> Values:
    """How many samples those of some cells stand for."""
    if history.weight is None:
        return np.ones(at.shape, dtype=np.float32)
    return np.asarray(history.weight[cell, at])


def _rates(hopeful: NDArray[np.bool_], other: NDArray[np.bool_], at_most: int) -> Values:
    """The chance of each sequence to be taken."""
    # At least a third of the room is for what ended well, or nothing is learned of it.
    first = min(1.0, at_most * 2 / 3 / max(int(hopeful.sum()), 1))
    room = at_most - first * int(hopeful.sum())
    second = min(1.0, room / max(int(other.sum()), 1))
    return np.where(hopeful, first, np.where(other, second, 0.0)).astype(np.float32)


class _Fates:
    """What became of the samples before `end`."""

    def __init__(self, record: Record, *, end: int) -> None:
        self._record = record
        history, onsets, knots = record.history, record.onsets, record.knots
        told = [labels(onsets, h) for h in knots]
        self._known = np.stack([known for _, known in told], axis=-1)
        for j, h in enumerate(knots):
            # A breach is known for one when it has lasted.
            self._known[:, max(end - h - record.rule.sustain + 1, 0) :, j] = False
        self._known &= ~onsets.blind[:, :, None]
        if history.weight is not None:
            self._known &= (history.weight > 0.0)[:, :, None]
        self._declared = None
        if history.declared is not None:
            self._declared = np.stack([y for y, _ in told], axis=-1)
            self._known &= onsets.scored[:, :, None]

    def of(self, rows: Rows) -> _Fate:
        """Of some rows."""
        known = self._known[rows.cell]
        history, sustain = self._record.history, self._record.rule.sustain
        if self._declared is not None:
            most = 2.0 * self._declared[rows.cell].astype(np.float32)
            lately = np.zeros(known.shape[:2], dtype=np.float32)
            return _Fate(most=most, lately=lately, known=known)
        x = np.nan_to_num(history.value[rows.cell, rows.gauge])
        lasted = trailing_least(x, sustain)
        lasted[:, : sustain - 1] = 0.0
        # A breach is as old as its first sample.
        began = np.zeros_like(x)
        began[:, : x.shape[1] - sustain + 1] = lasted[:, sustain - 1 :]
        most = np.zeros(known.shape, dtype=np.float32)
        for j, h in enumerate(self._record.knots):
            most[:, :-h, j] = trailing_most(began, h)[:, h:]
        quiet = sustain + history.steps(self._record.rule.quiet_s)
        return _Fate(most=most, lately=trailing_most(lasted, quiet), known=known)


def _blocks(rows: Rows, samples: int) -> list[Rows]:
    """Rows in parts of bounded size."""
    size = max(_SAMPLES_AT_ONCE // max(samples, 1), 1)
    return [
        Rows(cell=rows.cell[i : i + size], gauge=rows.gauge[i : i + size])
        for i in range(0, len(rows), size)
    ]


def _joined(parts: list[Tasks], cut: Cut, knots: int) -> Tasks:
    if not parts:
        return Tasks(
            x=np.zeros((0, cut.steps, len(CHANNELS)), dtype=np.float32),
            most=np.zeros((0, cut.told, knots), dtype=np.float32),
            lately=np.zeros((0, cut.told), dtype=np.float32),
            known=np.zeros((0, cut.told, knots), dtype=bool),
            counted=np.zeros((0, cut.told), dtype=np.float32),
            weight=np.zeros(0, dtype=np.float32),
        )
    return Tasks(
        x=np.concatenate([p.x for p in parts]),
        most=np.concatenate([p.most for p in parts]),
        lately=np.concatenate([p.lately for p in parts]),
        known=np.concatenate([p.known for p in parts]),
        counted=np.concatenate([p.counted for p in parts]),
        weight=np.concatenate([p.weight for p in parts]),
    )
