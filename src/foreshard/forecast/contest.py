"""This module is the contest: a new model flies only if it is better than what flies now.

Both are asked about the newest stretch of history, which neither has learned from; the lower log
loss wins, the mean over horizons. Where none flies yet, the rivals are what flies without a model:
`trend` and `headroom`.

A stretch with hardly a failure favours whoever says "never". So it is made longer, backwards,
until it holds `FEWEST_ONSETS` failures, as far as the champion has not learned from it and no
further than half of the record; where that is not enough, nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foreshard.forecast.history import History
from foreshard.forecast.learner import RiskModel
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.forecast.scoring import Score, Stretch, score_of

__all__ = ["FEWEST_ONSETS", "Verdict", "decide", "held_out_from"]

FEWEST_ONSETS = 5
# The longest part of a record that is kept from learning.
_MOST_HELD_OUT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who flies from now on.

    Attributes:
        promotes: The new model does.
        because: In a sentence.
        scores: By name, then horizon in seconds.
    """

    promotes: bool
    because: str
    scores: Mapping[str, Mapping[float, Score]]


def held_out_from(
    history: History, rule: BreachRule, *, wanted_s: float, learned_until_s: float = -np.inf
) -> int:
    """The first sample of the stretch that a new model is judged by.

    Args:
        history: All that is known.
        rule: What a failure is.
        wanted_s: How long the stretch should be, if failures are frequent enough.
        learned_until_s: What the champion has learned from ends here.
    """
    last = history.samples
    first = max(last - history.steps(wanted_s), round(last * (1.0 - _MOST_HELD_OUT)))
    begins = np.sort(find_onsets(history, rule).begin)
    if len(begins[begins > first]) < FEWEST_ONSETS:
        fifth = begins[-FEWEST_ONSETS] - 1 if len(begins) >= FEWEST_ONSETS else 0
        first = min(first, max(int(fifth), round(last * (1.0 - _MOST_HELD_OUT))))
    learned = (learned_until_s - history.begins_s) / history.step_s
    return max(first, int(np.ceil(learned)) + 1 if np.isfinite(learned) else 0)


def decide(
    challenger: RiskModel,
    rivals: Mapping[str, RiskModel],
    stretch: Stretch,
    *,
    name: str = "challenger",
) -> Verdict:
    """Judge a new model.

    Args:
        challenger: The new one.
        rivals: What it must be better than, all of them, by name.
        stretch: That none of them has learned from.
        name: Of the challenger.

    Raises:
        ForecastError: A model cannot read the history.
    """
    models = {name: challenger, **rivals}
    scores = {
        each: dict(zip(model.horizons_s, score_of(model, stretch), strict=True))
        for each, model in models.items()
    }
    if stretch.onsets < FEWEST_ONSETS:
        because = (
            f"{stretch.onsets} failures in the held-out stretch, {FEWEST_ONSETS} are needed to "
            "judge by: nothing changes"
        )
        return Verdict(promotes=False, because=because, scores=scores)
    loss = {each: _loss(by_horizon) for each, by_horizon in scores.items()}
    best = min(rivals, key=lambda each: (loss[each], each))
    better = loss[name] < loss[best]
    because = (
        f"log loss {loss[name]:.5f} on the held-out stretch ({stretch.onsets} failures), "
        f"{best} has {loss[best]:.5f}: {'it flies' if better else 'it does not fly'}"
    )
    return Verdict(promotes=better, because=because, scores=scores)


def _loss(by_horizon: Mapping[float, Score]) -> float:
    told = [score.log_loss for score in by_horizon.values() if score.samples]
    return float(np.mean(told)) if told else float("inf")
