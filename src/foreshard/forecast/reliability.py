"""This module is whether a model that flies still keeps its word: what it said, and what came.

Once in every horizon (so that no failure is counted twice) the probabilities of all cells are
kept; a horizon later it is known which of them failed. Over the last days what was promised is
held against what came. It is broken only where both are true:

- `|R| / sqrt(sum of r^2) > MOST_SIGMAS`, R the sum and r the difference between failures and
  promised failures of one moment, all cells together. Under a true model the r of successive
  moments are unrelated with mean 0, so this lies about as a standard normal does, whatever the
  cells have in common at one moment: an incident that hits a whole fleet is one surprise;
- the two differ by more than `MOST_RATIO`, with at least `FEWEST` failures on the larger side: a
  small error that is certain is no reason to give up a model.

We act where a failure is near, so the cells that we leave alone are those that fare well, and a
good model would seem to promise too much. So when that is asked, every cell that we intervened in
counts as a failure that was averted; when it is asked whether too little was promised, it does not
count at all.

What a model has never seen it cannot know. So it is broken as well where most of what a gauge said
in the last day lies outside of nearly all that the model has learned from (`Card.ranges`): there a
tree repeats its last leaf. Less than that is counted and told, and breaks nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.forecast.outlook import Outlook

__all__ = ["Kept", "Reliability", "Result"]

MOST_SIGMAS = 3.0
MOST_RATIO = 2.0
FEWEST = 5.0
JUDGED_S = 7 * 86_400.0
MOST_BEYOND = 0.5
BEYOND_S = 86_400.0
# A day of which too little was heard says nothing of the inputs.
FEWEST_HEARD = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One moment: what was promised, and what came.

    Attributes:
        number: Of the step at which it was promised.
        promised: Failures expected of the cells that were left alone.
        came: Failures of those.
        promised_all: Failures expected of all cells of which it can be told.
        averted: Cells that we intervened in, and that did not fail.
    """

    number: int
    promised: float
    came: float
    promised_all: float
    averted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was promised of one horizon over the last days, and what came.

    Attributes:
        moments: At which it was asked.
        promised: Failures expected of the cells that were left alone.
        came: Failures of those.
        promised_all: Failures expected of all cells.
        averted: Cells that we intervened in, and that did not fail.
        too_little_sigmas: How surely too little was promised.
        too_much_sigmas: How surely too much was, every averted failure counted as one.
    """

    moments: int
    promised: float
    came: float
    promised_all: float
    averted: float
    too_little_sigmas: float
    too_much_sigmas: float

    @property
    def is_broken(self) -> bool:
        """Whether the word was not kept."""
        most = self.came + self.averted
        too_little = (
            self.too_little_sigmas > MOST_SIGMAS
            and self.came >= FEWEST
            and self.came > MOST_RATIO * self.promised
        )
        too_much = (
            self.too_much_sigmas > MOST_SIGMAS
            and self.promised_all >= FEWEST
            and self.promised_all > MOST_RATIO * most
        )
        return too_little or too_much


@dataclass(slots=True)
class _Promise:
    number: int
    cells: tuple[str, ...]
    p: NDArray[np.float64]


@dataclass(slots=True)
class _Record:
    steps: int
    promise: _Promise | None = None
    results: deque[Result] = field(default_factory=deque)


class Reliability:
    """Of one model; begin a new one with every model.

    Args:
        rule: What a failure is.
        ranges: By gauge, between which values nearly all lie that the model has learned from.
    """

    def __init__(
        self, rule: BreachRule, *, ranges: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        self._rule = rule
        self._ranges = dict(ranges or {})
        self._records: dict[float, _Record] = {}
        self._inputs: deque[tuple[float, NDArray[np.int64], NDArray[np.int64]]] = deque()

    def take(self, outlook: Outlook, history: History) -> None:
        """Keep what was said, and hold what was said before against what came.

        Args:
            outlook: Of the newest sample of the history.
            history: What is remembered.
        """
        number = round(outlook.made_at_s / outlook.step_s)
        self._look_at_inputs(history)
        if 1.0 not in outlook.loads:
            return
        here = outlook.loads.index(1.0)
        for h, horizon_s in enumerate(outlook.horizons_s):
            steps = history.steps(horizon_s)
            record = self._records.setdefault(horizon_s, _Record(steps=steps))
            if record.promise is not None and number >= record.promise.number + steps:
                self._settle(record, history, number)
                record.promise = None
            if record.promise is None:
                p = outlook.any[h, here].astype(np.float64)
                record.promise = _Promise(number=number, cells=outlook.cells, p=p)

    def kept(self) -> Mapping[float, Kept]:
        """By horizon, what was promised and what came."""
        return {horizon_s: _kept(record) for horizon_s, record in self._records.items()}

    def beyond(self) -> Mapping[str, float]:
        """By gauge, the part of the last day that the model has never seen the like of."""
        heard = np.sum([each[1] for each in self._inputs], axis=0)
        outside = np.sum([each[2] for each in self._inputs], axis=0)
        if not self._inputs:
            return {}
        return {
            name: float(outside[i] / heard[i])
            for i, name in enumerate(self._ranges)
            if heard[i] >= FEWEST_HEARD
        }

    def broken(self) -> str:
        """Why the model must not be believed any more; "" = it may."""
        for horizon_s, kept in sorted(self.kept().items()):
            if kept.is_broken:
                return (
                    f"of the last {kept.moments} forecasts for {horizon_s:g} s it promised "
                    f"{kept.promised_all:.1f} failures, {kept.came:.0f} came and "
                    f"{kept.averted:.0f} may have been averted"
                )
        for name, part in self.beyond().items():
            if part > MOST_BEYOND:
                low, high = self._ranges[name]
                return (
                    f"{part:.0%} of what {name} says lies outside of what it has learned from "
                    f"({low:.3g} to {high:.3g})"
                )
        return ""

    def _settle(self, record: _Record, history: History, number: int) -> None:
        promise = record.promise
        first = round(history.begins_s / history.step_s)
        at = (promise.number if promise is not None else first) - first
        # More than a horizon late: what came just then cannot be told from what came later.
        if promise is None or at < 0 or at + record.steps >= history.samples:
            return
        row = {name: i for i, name in enumerate(history.cells)}
        there = [(i, row[name]) for i, name in enumerate(promise.cells) if name in row]
        if not there:
            return
        mine, theirs = (list(each) for each in zip(*there, strict=True))
        failed, told, ours = self._came(history, at, record.steps)
        p, failed, told, ours = promise.p[mine], failed[theirs], told[theirs], ours[theirs]
        told &= ~np.isnan(p)
        alone = told & (failed | ~ours)
        record.results.append(
            Result(
                number=promise.number,
                promised=float(p[alone].sum()),
                came=float(failed[alone].sum()),
                promised_all=float(p[told].sum()),
                averted=float((told & ours & ~failed).sum()),
            )
        )
        oldest = number - JUDGED_S / history.step_s
        while record.results and record.results[0].number < oldest:
            record.results.popleft()

    def _came(
        self, history: History, at: int, steps: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """[C] which cells failed within the horizon, of which it can be told, and our doing."""
        # An episode that lasts must not seem to begin where the look begins.
        before = history.steps(self._rule.merge_gap_s + self._rule.quiet_s) + self._rule.sustain
        begin, end = max(0, at - before), at + steps + 1
        # A failure is one only once it has lasted; the last few samples may still become one.
        found = find_onsets(
            history.between(begin, min(history.samples, end + self._rule.sustain)), self._rule
        )
        ahead = (found.begin > at - begin) & (found.begin <= at - begin + steps)
        failed = np.zeros(len(history.cells), dtype=bool)
        failed[found.cell[ahead]] = True
        ours = np.asarray(history.censored[:, at:end].any(axis=1))
        dark = found.blind[:, at - begin : end - begin].any(axis=1)
        return failed, np.asarray(found.scored[:, at - begin] & (failed | ~dark)), ours

    def _look_at_inputs(self, history: History) -> None:
        if not self._ranges or not history.samples:
            return
        now_s = float(history.time_s()[-1])
        heard = np.zeros(len(self._ranges), dtype=np.int64)
        outside = np.zeros(len(self._ranges), dtype=np.int64)
        for i, (name, (low, high)) in enumerate(self._ranges.items()):
            if name in history.gauges:
                value = history.value[:, history.gauges.index(name), -1]
                heard[i] = np.sum(~np.isnan(value))
                outside[i] = np.sum((value < low) | (value > high))
        self._inputs.append((now_s, heard, outside))
        while self._inputs[0][0] < now_s - BEYOND_S:
            self._inputs.popleft()


def _kept(record: _Record) -> Kept:
    told = record.results
    promised, came = sum(r.promised for r in told), sum(r.came for r in told)
    return Kept(
        moments=len(told),
        promised=promised,
        came=came,
        promised_all=sum(r.promised_all for r in told),
        averted=sum(r.averted for r in told),
        too_little_sigmas=_sigmas([r.came - r.promised for r in told]),
        too_much_sigmas=_sigmas([r.promised_all - r.came - r.averted for r in told]),
    )


def _sigmas(differences: Sequence[float]) -> float:
    spread = math.sqrt(sum(each**2 for each in differences))
    return sum(differences) / spread if spread > 0.0 else 0.0
