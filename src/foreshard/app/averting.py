"""This module is `foreshard averted`: what acting was worth, by what was kept of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from foreshard.app.remembering import Refused, intents_of, read_back, relieved_in, rule_of
from foreshard.config import Settings
from foreshard.forecast.averted import Averted, averted_by_holdout, averted_by_probes
from foreshard.forecast.onset import find_onsets
from foreshard.forecast.outcome import LeftOut, Lived, Outcomes, outcomes_of

__all__ = ["Account", "Side", "account_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Cases that were acted upon, or that were not.

    Attributes:
        times: How many.
        failed: Of them, all the same.
    """

    times: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What acting averted, as far as it can be told.

    Attributes:
        begins_s: Of the metric history that it is told from.
        ends_s: Of the same.
        horizon_s: A case lasts so long.
        asked: Intents in the store, each once a coin.
        acted: What work was taken off for.
        withheld: What was left alone at random.
        left_out: Intents that are no case, by reason.
        estimate: By what was withheld, else by the probes; None = nothing can be told.
        portion: What of the history did not fit into memory, in words; "" = nothing.
        holdout_ratio: Part that is withheld now.
    """

    begins_s: float
    ends_s: float
    horizon_s: float
    asked: int
    acted: Side
    withheld: Side
    left_out: Mapping[LeftOut, int]
    estimate: Averted | None
    portion: str
    holdout_ratio: float


def account_of(settings: Settings, *, now_s: float, refused: Refused) -> Account:
    """What acting averted, by all that is kept.

    Args:
        settings: Of the Foreshard that acted.
        now_s: Seconds since the epoch.
        refused: Told why a file of the history is skipped.

    Raises:
        StoreError: The store or the history is missing, damaged, older or newer.
        ForecastError: The history does not fit into the memory that training may take.
    """
    spans = intents_of(settings)
    record = read_back(
        settings,
        until_s=now_s,
        refused=refused,
        reach_s=math.inf,
        first=frozenset(span.intent.cell for span in spans),
    )
    history, horizon_s = record.history, max(settings.forecast.horizons_s)
    lived = Lived(
        history=history,
        onsets=find_onsets(history, rule_of(settings)),
        off=relieved_in(history),
        reach=history.steps(horizon_s),
    )
    found = outcomes_of(spans, lived)
    return Account(
        begins_s=history.begins_s,
        ends_s=history.begins_s + (history.samples - 1) * history.step_s,
        horizon_s=horizon_s,
        asked=len(spans),
        acted=_side(found, acted=True),
        withheld=_side(found, acted=False),
        left_out=found.left_out,
        estimate=averted_by_holdout(found.cases) or averted_by_probes(found.cases),
        portion=record.portion,
        holdout_ratio=settings.thresholds.holdout_ratio,
    )


def _side(found: Outcomes, *, acted: bool) -> Side:
    cases = [case for case in found.cases if case.acted is acted]
    return Side(times=len(cases), failed=sum(case.failed for case in cases))
