"""This module is how the network is trained from history: what is kept back, and what it costs.

The last part of the history is kept back: it decides when to stop, and the curve from hazards to
probabilities is fitted to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from foreshard.forecast.history import History
from foreshard.forecast.joint import Joint
from foreshard.forecast.learner import Progress, ignore_progress
from foreshard.forecast.lstm.channel import Sight
from foreshard.forecast.lstm.course import Course
from foreshard.forecast.lstm.extra import loaded
from foreshard.forecast.lstm.model import KIND, LstmModel
from foreshard.forecast.lstm.task import Cut, Record, gather, knots_of
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.model.errors import ForecastError

__all__ = ["LstmLearner"]

# So much of the history is kept back, from its end.
_LATER = 0.15
# Sequences of the stretch that is kept back, and moments of it for the curve.
_MOST_LATER = 6_000
_MOST_MOMENTS = 200_000
# The lowest limit that is laid on a sequence, as a part of the true one.
_LOWERED = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class LstmLearner:
    """Makes an `LstmModel`.

    Attributes:
        course: How the network is fitted.
        cut: Of the record into sequences: an hour of which half is told, at steps of a minute.
        at_most: Sequences to learn from; bounds memory (6 KB each) and time.
    """

    name: ClassVar[str] = KIND
    course: Course = field(default_factory=Course)
    cut: Cut = field(default_factory=lambda: Cut(steps=60, told=30))
    at_most: int = 24_000

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> LstmModel:
        """See `Learner`.

        Raises:
            ForecastError: The history is too short, no gauge counts in it, there is nothing in it
                to learn from, or JAX is missing.
        """
        if not history.counts.any():
            raise ForecastError("lstm: no gauge has a limit that counts, nothing can be learned")
        steps = tuple(history.steps(h) for h in horizons_s)
        split = round((1.0 - _LATER) * history.samples)
        if split < 2 * (self.cut.steps + steps[-1]):
            raise ForecastError(
                f"lstm: the history has {history.samples} samples, too few to learn from; "
                f"it takes {round(2 * (self.cut.steps + steps[-1]) / (1.0 - _LATER)) + 1}"
            )
        record = Record(
            history=history,
            onsets=find_onsets(history, rule),
            rule=rule,
            cut=self.cut,
            knots=knots_of(steps),
        )
        sight = Sight(history, ahead=(steps[0], steps[-1]), sustain=rule.sustain)
        chance = np.random.default_rng(seed)
        tasks, later = (
            gather(record, sight, span=span, at_most=most, lowered=_LOWERED, chance=chance)
            for span, most in (
                ((self.cut.steps - self.cut.told, split), self.at_most),
                ((split, history.samples), _MOST_LATER),
            )
        )
        if not (tasks.known & (tasks.most >= 1.0)).any():
            raise ForecastError(
                "lstm: no limit was reached in the history that is to be learned from; "
                "a model that needs no training serves such a fleet"
            )
        fitted = loaded("training").fit_network(
            tasks, later, self.course, seed=seed, told_of=progress
        )
        model = LstmModel(
            horizons_s=horizons_s,
            step_s=history.step_s,
            knots=record.knots,
            cut=self.cut,
            sustain=rule.sustain,
            weights=fitted.weights,
            centre=fitted.centre,
            spread=fitted.spread,
            joint=Joint(offset=np.zeros(len(steps)), slope=np.ones(len(steps))),
        )
        stride = -(-(history.samples - split) * len(history.cells) // _MOST_MOMENTS)
        at = np.arange(split, history.samples, stride, dtype=np.int64)
        joint = Joint.fit(
            model.hazard(history, at)[:, 0],
            at,
            history=history,
            onsets=record.onsets,
            horizons_s=horizons_s,
        )
        return replace(model, joint=joint)
