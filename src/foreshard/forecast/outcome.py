"""This module is what became of what forecasts asked for: the cases that `averted` counts.

A case begins with a coin (`planning.holdout`) and is over after the longest horizon. What may be a
case must not depend on how the coin fell, or those that were acted upon and those that were not
are no longer alike. So a cell that fails already, or whose work is off already, or for which a
coin has fallen for acting before, begins no case.

A failure counts where its work was on the cell when the step began in which it came: who fails
over takes all work off within that step. One that came while work was off is the probes'; what
comes after a restart of the cell is another matter, and nobody's.

A cell that was left alone may be relieved before its hour is over. Where a later coin did that,
those that the coin left alone again stand for it (inverse probability of censoring; Robins &
Rotnitzky 1992). Where something else did, it is not known what would have come, and the case is
left out; as that is mostly what looked bad, what is averted is then made too little of.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.averted import Case
from foreshard.forecast.history import History
from foreshard.forecast.onset import Onsets
from foreshard.model.plan import COIN_S, IntentSpan

__all__ = ["LeftOut", "Lived", "Outcomes", "outcomes_of"]

# A doubt that was silent for no longer than this is still the same.
SAME_DOUBT_S = 900.0


class LeftOut(StrEnum):
    """Why an intent is no case."""

    # Older than the metric history, or of a cell that is not in it.
    FORGOTTEN = "forgotten"
    # Its hour is not over.
    OPEN = "open"
    # The cell had failed already, a moment ago or since long.
    FAILING = "failing"
    # Work was off the cell already.
    OFF = "off"
    # A coin had fallen for acting upon it before.
    AGAIN = "again"
    # Withheld, and others stand for it that a later coin left alone as well.
    WEIGHED = "weighed"
    # Withheld, but work left for another reason.
    RELIEVED = "relieved"
    # The cell was not heard.
    UNHEARD = "unheard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What is known of C cells over T samples.

    Attributes:
        history: Itself.
        onsets: Of it.
        off: bool [C, T], work is off the cell, see `censoring.is_relieved`.
        reach: The longest horizon, in samples, >= 1.
    """

    history: History
    onsets: Onsets
    off: NDArray[np.bool_]
    reach: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Cases, and how many intents are none.

    Attributes:
        cases: By when they began.
        left_out: Of each reason that there was, how many.
    """

    cases: tuple[Case, ...]
    left_out: Mapping[LeftOut, int]


def outcomes_of(spans: Sequence[IntentSpan], lived: Lived) -> Outcomes:
    """What became of all that was asked for.

    Args:
        spans: All of them, rising in `first_s`.
        lived: What followed.
    """
    by_cell: dict[str, list[IntentSpan]] = {}
    doubts: dict[IntentSpan, str] = {}
    ends_s: dict[str, float] = {}
    for span in spans:
        name = span.intent.cell
        before = by_cell.setdefault(name, [])
        goes_on = before and span.first_s <= ends_s[name] + SAME_DOUBT_S
        doubts[span] = doubts[before[-1]] if goes_on else f"{name} {span.first_s}"
        ends_s[name] = max(span.last_s, ends_s.get(name, span.last_s))
        before.append(span)
    first_s = {cell: [span.first_s for span in some] for cell, some in by_cell.items()}
    index = {name: c for c, name in enumerate(lived.history.cells)}
    ahead_s = lived.reach * lived.history.step_s
    cases: list[Case] = []
    left_out: dict[LeftOut, int] = {}
    for span in spans:
        name = span.intent.cell
        found: Case | LeftOut = LeftOut.FORGOTTEN
        if name in index:
            low = bisect_left(first_s[name], span.first_s - COIN_S - SAME_DOUBT_S)
            high = bisect_right(first_s[name], span.first_s + ahead_s)
            found = _case(span, by_cell[name][low:high], index[name], lived)
        if isinstance(found, Case):
            cases.append(replace(found, doubt=doubts[span]))
        else:
            left_out[found] = left_out.get(found, 0) + 1
    return Outcomes(cases=tuple(cases), left_out=left_out)


def _case(span: IntentSpan, near: Sequence[IntentSpan], cell: int, lived: Lived) -> Case | LeftOut:
    """What became of one, of the `near` ones of its cell."""
    t = lived.history.sample_of(span.first_s)
    why_not = _unfit(span, near, cell, t, lived)
    if why_not is not None:
        return why_not
    ahead = np.arange(t + 1, t + lived.reach + 1)
    onsets = lived.onsets.of_cell(cell)
    onsets = onsets[(onsets >= ahead[0]) & (onsets <= ahead[-1])]
    was_off = lived.off[cell, onsets - 1]
    fails: int | None = min(onsets[~was_off].tolist(), default=None)
    off = lived.off[cell, ahead]
    if fails is None and np.any(lived.onsets.blind[cell, ahead] & ~off):
        return LeftOut.UNHEARD
    intent = span.intent
    if intent.acted:
        watched = _is_heard(lived.history, cell, ahead[off])
        probes = [o for o in onsets[was_off].tolist() if not _is_restarted(lived, cell, t, o)]
        return Case(
            propensity=intent.propensity,
            acted=True,
            failed=fails is not None,
            probe_failed=bool(probes) if watched else None,
        )
    until = int(ahead[-1]) if fails is None else fails
    coins = [o for o in near if _is_later_coin(o, span, lived.history, until)]
    relieved: int | None = min(ahead[off].tolist(), default=None)
    if relieved is not None and (fails is None or relieved < fails):
        acted = (o for o in coins if o.intent.acted)
        is_coins = any(lived.history.sample_of(o.first_s) <= relieved for o in acted)
        return LeftOut.WEIGHED if is_coins else LeftOut.RELIEVED
    # Where a later coin fell for acting and a guard stood in the way, it left nothing alone.
    left_alone = [1.0 - o.intent.propensity for o in coins if not o.intent.acted]
    return Case(
        propensity=intent.propensity,
        acted=False,
        failed=fails is not None,
        stands_for=1.0 / prod(left_alone),
    )


def _unfit(
    span: IntentSpan, near: Sequence[IntentSpan], cell: int, t: int, lived: Lived
) -> LeftOut | None:
    """Why it begins no case, as far as was known before the coin fell."""
    if t < 1:
        return LeftOut.FORGOTTEN
    if t + lived.reach >= lived.history.samples:
        return LeftOut.OPEN
    if any(_is_before(other, span) for other in near):
        return LeftOut.AGAIN
    if lived.off[cell, t - 1]:
        return LeftOut.OFF
    if lived.onsets.blind[cell, t]:
        return LeftOut.UNHEARD
    return None if lived.onsets.scored[cell, t] else LeftOut.FAILING


def _is_before(other: IntentSpan, span: IntentSpan) -> bool:
    """Whether a coin has fallen for acting upon the same doubt before."""
    is_same = other.intent.request_class == span.intent.request_class and other.intent.acted
    return is_same and other.first_s < span.first_s and span.first_s - other.last_s <= SAME_DOUBT_S


def _is_later_coin(other: IntentSpan, span: IntentSpan, history: History, until: int) -> bool:
    """Whether it is another coin that could have had the same work taken off by a sample."""
    return (
        other.intent.request_class in {"", span.intent.request_class}
        and other.intent.propensity < 1.0
        and other.first_s > span.first_s
        and other.coin != span.coin
        and history.sample_of(other.first_s) <= until
    )


def _is_heard(history: History, cell: int, at: NDArray[np.int64]) -> bool:
    """Whether a gauge that counts was heard at any of some samples."""
    heard = ~np.isnan(history.value[cell][history.counts[cell]][:, at])
    return bool(heard.any())


def _is_restarted(lived: Lived, cell: int, since: int, at: int) -> bool:
    """Whether a cell was started anew between two samples; one that does not say was not."""
    history = lived.history
    return bool(history.up_s[cell, at] < (at - since) * history.step_s)
