"""This module is which episodes of a backtest are worth a look: the best and the worst.

Best are onsets that were announced longest before; worst are those that passed unannounced with
the least said before them, and the alarms that were surest and wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from foreshard.lab.backtest.trial import Outcome

__all__ = ["Episode", "Kind", "choose_episodes"]

# Of each kind.
MOST_BEST, MOST_MISSED, MOST_FALSE = 3, 3, 2
# Drawn before and after, in horizons.
BEFORE, AFTER = 3.0, 1.0


class Kind(Enum):
    """What became of it, in words."""

    ANNOUNCED = "announced"
    MISSED = "missed"
    FALSE = "false alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A stretch of one cell.

    Attributes:
        kind: What became of it.
        cell: Index.
        onset: Sample; None = there was none.
        alarm: Sample of the alarm; None = there was none.
        gauge: The one that reached its limit, or stood highest.
        first, end: Samples [first, end) that are drawn.
    """

    kind: Kind
    cell: int
    onset: int | None
    alarm: int | None
    gauge: int
    first: int
    end: int


def choose_episodes(outcome: Outcome) -> tuple[Episode, ...]:
    """The best and the worst of the model on trial, at its longest horizon."""
    score = outcome.scores[0][-1]
    operation = next(iter((score.ahead or score.hindsight).values()))
    alarms = operation.alarms
    right = np.flatnonzero(alarms.lead > 0)
    right = right[np.argsort(-alarms.lead[right], kind="stable")][:MOST_BEST]
    found = [
        _episode(
            outcome,
            Kind.ANNOUNCED,
            int(alarms.cell[i]),
            onset=int(alarms.at[i] + alarms.lead[i]),
            alarm=int(alarms.at[i]),
        )
        for i in right.tolist()
    ]
    found += [
        _episode(outcome, Kind.MISSED, cell, onset=onset, alarm=None)
        for cell, onset in _missed(outcome)[:MOST_MISSED]
    ]
    p, origin = outcome.walks[0].p[-1], outcome.walks[0].origin
    wrong = np.flatnonzero(alarms.lead == 0)
    said = p[alarms.cell[wrong], alarms.at[wrong] - origin]
    wrong = wrong[np.argsort(-said, kind="stable")][:MOST_FALSE]
    found += [
        _episode(outcome, Kind.FALSE, int(alarms.cell[i]), onset=None, alarm=int(alarms.at[i]))
        for i in wrong.tolist()
    ]
    return tuple(found)


def _missed(outcome: Outcome) -> list[tuple[int, int]]:
    """Cell and onset of those that no alarm announced, the least expected first."""
    record, onsets = outcome.record, outcome.onsets
    score, walked = outcome.scores[0][-1], outcome.walks[0]
    alarms = next(iter((score.ahead or score.hindsight).values())).alarms
    right = alarms.lead > 0
    announced = (alarms.at + alarms.lead)[right]
    told = set(zip(alarms.cell[right].tolist(), announced.tolist(), strict=True))
    h = record.history.steps(score.horizon_s)
    rows = []
    for cell, begin in zip(onsets.cell.tolist(), onsets.begin.tolist(), strict=True):
        if begin < record.starts[cell] or (cell, begin) in told:
            continue
        before = walked.p[-1][cell, max(begin - h - walked.origin, 0) : begin - walked.origin]
        heard = before[~np.isnan(before)]
        # Where an earlier failure is just over nobody was asked.
        if len(heard) and onsets.scored[cell, begin - 1]:
            rows.append((float(heard.max()), cell, begin))
    return [(cell, begin) for _, cell, begin in sorted(rows)]


def _episode(
    outcome: Outcome, kind: Kind, cell: int, *, onset: int | None, alarm: int | None
) -> Episode:
    history = outcome.record.history
    h = history.steps(outcome.outline.horizons_s[-1])
    middle = onset if onset is not None else alarm if alarm is not None else 0
    first = max(middle - round(BEFORE * h), 0, outcome.walks[0].origin)
    end = min(middle + round(AFTER * h), history.samples)
    value = np.where(history.counts[cell, :, None], history.value[cell, :, first:end], np.nan)
    at = value[:, middle - first]
    usual = at if not np.isnan(at).all() else np.nan_to_num(history.value[cell, :, middle])
    return Episode(
        kind=kind,
        cell=cell,
        onset=onset,
        alarm=alarm,
        gauge=int(np.nanargmax(usual)),
        first=first,
        end=end,
    )
