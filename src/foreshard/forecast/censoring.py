"""This module is which samples' futures an intervention has changed.

Once work is taken off a cell, "it did not fail" says nothing of what would have been. A model that
learns from such samples as if they were healthy learns that what made us act is harmless, and so
unlearns what it is good at. They are marked as censored (`History.censored`): no negative label
comes from them.

Marking alone leaves a bias behind. Of the samples before a failure those are lost that were
followed by an intervention, of the samples of a calm day none. Where a random part was withheld
(`planning.holdout`) the samples before what was withheld stand for those that are lost: each
counts for one over the probability of being left alone (inverse probability of censoring; Robins
& Rotnitzky 1992). Without a holdout there is nothing to weigh, and only history from before
acting helps.

What was taken off is read from the share of the fleet's work that each cell carried. A share does
not move with the hour; it falls when work is taken off, and by a little when a cell joins. Whether
it fell is judged against what the cell had before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.onset import Onsets
from foreshard.model.errors import ForecastError
from foreshard.model.plan import IntentSpan

__all__ = [
    "LeftAlone",
    "by_coin",
    "carried_shares",
    "censored_by",
    "is_relieved",
    "weights_of",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# So much of its share must be gone; a sixth cell beside five takes a sixth of each.
LEAST_TAKEN = 0.2
# A relief is over when all but this part of the share is back.
NEARLY_BACK = 0.1
# What a cell usually has follows slow changes of the plan within about so many samples; and where
# it is held to be relieved within so many, so that a plan that stays is the new usual some day.
USUAL_SAMPLES = 240.0
RELIEVED_SAMPLES = 1_440.0
# No sample stands for more: what is withheld once in a thousand would else be all that is learned
# (truncated weights; Cole & Hernan 2008).
MOST_WEIGHT = 100.0


def carried_shares(load: NDArray[np.float32]) -> Array:
    """The share of all work that each cell did.

    Args:
        load: float32 [C, T], see `History.load`; NaN = unknown.

    Returns:
        [C, T], in [0, 1]; NaN where a cell's own load is unknown, and at moments at which that of
        more than half of the cells is, for then the whole is not known.
    """
    known = ~np.isnan(load)
    total = np.where(known, load, 0.0).sum(axis=0, dtype=np.float64)
    told = (2 * known.sum(axis=0) >= len(load)) & (total > 0.0)
    return np.where(told, load / np.where(told, total, 1.0), np.nan)


def is_relieved(share: Array) -> Flags:
    """Where work is off a cell that it used to have.

    Args:
        share: [C, T] of all demand, see `carried_shares`; NaN = not known,
            taken as unchanged.

    Returns:
        bool [C, T].
    """
    relieved = np.zeros(share.shape, dtype=bool)
    usual = np.full(share.shape[0], np.nan)
    off = np.zeros(share.shape[0], dtype=bool)
    for t in range(share.shape[1]):
        now = share[:, t]
        heard = ~np.isnan(now)
        usual = np.where(np.isnan(usual), now, usual)
        least = np.where(off, 1.0 - NEARLY_BACK, 1.0 - LEAST_TAKEN)
        with np.errstate(invalid="ignore"):
            off = np.where(heard, now < least * usual, off)
        # What a cell takes over for an hour is not its own: giving it back is no relief.
        pace = np.where(off, RELIEVED_SAMPLES, USUAL_SAMPLES)
        usual = np.where(heard, usual + (now - usual) / pace, usual)
        relieved[:, t] = off
    return relieved


def censored_by(relieved: Flags, *, reach: int) -> Flags:
    """Samples whose future was changed.

    Args:
        relieved: [C, T], see `is_relieved`, or whatever else was done to a cell (a restart).
        reach: The longest horizon of a label, in samples, >= 1.

    Returns:
        bool [C, T]: a relief is on, or begins within `reach` samples.

    Raises:
        ForecastError: The reach is less than one sample.
    """
    if reach < 1:
        raise ForecastError(f"censoring: reach is {reach} samples, must be at least 1")
    samples = relieved.shape[1]
    count = np.zeros((relieved.shape[0], samples + 1), dtype=np.int64)
    np.cumsum(relieved, axis=1, out=count[:, 1:])
    now = np.arange(samples)
    until = np.minimum(now + reach + 1, samples)
    return np.asarray(count[:, until] > count[:, now])


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """An intervention that was withheld at random.

    Attributes:
        cell: Index of the cell.
        begin: Sample at which it would have begun.
        end: First sample at which it would have been over, > begin.
        p: Probability with which it was withheld: 1 - propensity of the intent; in (0, 1].
    """

    cell: int
    begin: int
    end: int
    p: float

    def __post_init__(self) -> None:
        if not 0.0 < self.p <= 1.0 or not self.begin < self.end:
            raise ForecastError(
                f"censoring: withheld from sample {self.begin} to {self.end} with probability "
                f"{self.p}: must rise, and be in (0, 1]"
            )


def by_coin(spans: Sequence[IntentSpan], history: History) -> tuple[tuple[LeftAlone, ...], Flags]:
    """What was left to chance in a history.

    Where a coin fell for acting, work was taken off as far as anybody who weighs what the coin
    left alone must think: whether a guard stood in the way, or so little work left that its share
    does not show it, is not known of what was withheld either.

    Args:
        spans: All that was asked for; what was sure to be done says nothing here.
        history: Cells and moments of others are left out.

    Returns:
        What was withheld, and bool [C, T], where the coin fell for acting.
    """
    index = {name: c for c, name in enumerate(history.cells)}
    alone: list[LeftAlone] = []
    chosen = np.zeros((len(history.cells), history.samples), dtype=bool)
    for span in spans:
        intent = span.intent
        begin, end = history.sample_of(span.first_s), history.sample_of(span.last_s) + 1
        if intent.propensity == 1.0 or intent.cell not in index:
            continue
        begin, end = max(begin, 0), min(end, history.samples)
        if begin >= end:
            continue
        if intent.acted:
            chosen[index[intent.cell], begin:end] = True
        else:
            p = 1.0 - intent.propensity
            alone.append(LeftAlone(cell=index[intent.cell], begin=begin, end=end, p=p))
    return tuple(alone), chosen


def weights_of(
    withheld: Sequence[LeftAlone],
    relieved: Flags,
    onsets: Onsets,
    *,
    chosen: Flags,
    reach: int,
) -> NDArray[np.float32]:
    """For how many samples each stands, `History.weight`.

    What was withheld weighs wherever, had it been done, `censored_by` would have marked. What was
    done weighs nothing: neither while work is off the cell, when its gauges are not those of a
    cell at work and may fail of the work that comes back, nor before, unless it failed all the
    same. That is before the relief, or in the step in which work left, for whoever fails over
    takes it off at once; or while work was off, unless a coin had it taken off: then those who
    were left alone speak for it.

    Args:
        withheld: All that was withheld.
        relieved: [C, T], see `is_relieved`; with what was chosen.
        onsets: Of the history.
        chosen: [C, T], where a coin fell for acting, see `by_coin`.
        reach: As in `censored_by`.

    Returns:
        float32 [C, T], in [0, `MOST_WEIGHT`].
    """
    weight = np.ones(relieved.shape, dtype=np.float32)
    for each in withheld:
        weight[each.cell, max(each.begin - reach, 0) : each.end] /= each.p
    np.minimum(weight, MOST_WEIGHT, out=weight)
    begins = np.zeros(relieved.shape, dtype=bool)
    begins[onsets.cell, onsets.begin] = True
    fails, relief = _next(begins), _next(relieved)
    spoilt = censored_by(relieved, reach=reach) & ~(fails <= relief)
    spoilt &= ~(fails < _sure_until(relieved, chosen, relief))
    weight[spoilt | relieved] = 0.0
    return weight


def _sure_until(relieved: Flags, chosen: Flags, relief: NDArray[np.int64]) -> NDArray[np.int64]:
    """[C, T], end of the relief that begins at `relief`; 0 where it was a coin's, or is none."""
    samples = relieved.shape[1]
    over = np.concatenate((_next(~relieved), np.zeros((len(relieved), 1), dtype=np.int64)), axis=1)
    end = np.take_along_axis(over, relief, axis=1)
    count = np.zeros((len(relieved), samples + 1), dtype=np.int64)
    np.cumsum(chosen, axis=1, out=count[:, 1:])
    coins = np.take_along_axis(count, end, axis=1) - np.take_along_axis(count, relief, axis=1)
    return np.where(coins > 0, 0, end)


def _next(flag: Flags) -> NDArray[np.int64]:
    """[C, T] index of the next flag after each sample; T = there is none."""
    samples = flag.shape[1]
    at = np.where(flag, np.arange(samples), samples)
    following = np.minimum.accumulate(at[:, ::-1], axis=1)[:, ::-1]
    none = np.full((len(flag), 1), samples, dtype=np.int64)
    return np.concatenate((following[:, 1:], none), axis=1)
