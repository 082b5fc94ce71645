"""This module is a learner put on trial by slow faults: fitted, given a threshold, and scored.

Three stretches of one fleet, each later than the one before: on the first the learner is fitted,
on the healthy samples of the second the threshold is chosen, on the third it is scored. The
threshold knows no fault: it is the lowest that would have alarmed `false_a_day` times a healthy
cell-day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.learner import Learner, RiskModel
from foreshard.lab.gradual.demand import DAY_S
from foreshard.lab.gradual.fleet import RULE, Trial
from foreshard.lab.gradual.score import Score, safe_threshold, score_alarms

__all__ = ["HORIZONS_S", "Contest", "Outcome", "foresee", "hold"]

HORIZONS_S = (300.0, 3600.0)
# So many samples are asked for at once: bounds memory.
AT_ONCE = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How a learner is tried.

    Attributes:
        fitted_days: Length of the first stretch,
        healthy_days: and of the second; the third is the rest.
        false_a_day: What the threshold is chosen for, on the second: half of what is allowed on
            the third, because a threshold has chance in it too.
        seed: Of the learner.
    """

    fitted_days: float = 10.0
    healthy_days: float = 4.0
    false_a_day: float = 0.1
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it.

    Attributes:
        learner: Its name.
        threshold: Of the P over the longest horizon.
        score: Of the third stretch.
    """

    learner: str
    threshold: float
    score: Score


def hold(trial: Trial, learner: Learner, contest: Contest) -> Outcome:
    """Try one learner on one fleet.

    Raises:
        ForecastError: It cannot be fitted to the first stretch.
        LabError: It says nothing of any healthy sample.
    """
    history = trial.history
    fitted = round(contest.fitted_days * DAY_S / history.step_s)
    scored = fitted + round(contest.healthy_days * DAY_S / history.step_s)
    model = learner.fit(history.until(fitted), RULE, HORIZONS_S, seed=contest.seed)
    p = foresee(model, trial, first=fitted)
    refractory = history.steps(HORIZONS_S[-1])
    threshold = safe_threshold(
        p[:, : scored - fitted],
        ~trial.ill[:, fitted:scored],
        false_a_day=contest.false_a_day,
        step_s=history.step_s,
        refractory=refractory,
    )
    return Outcome(
        learner=learner.name,
        threshold=threshold,
        score=score_alarms(
            trial, p[:, scored - fitted :], threshold, first=scored, refractory=refractory
        ),
    )


def foresee(model: RiskModel, trial: Trial, *, first: int) -> NDArray[np.float32]:
    """[C, T - first] P over the longest horizon, at every sample from `first` on."""
    history = trial.history
    p = np.empty((len(history.cells), history.samples - first), dtype=np.float32)
    for begin in range(first, history.samples, AT_ONCE):
        at = np.arange(begin, min(begin + AT_ONCE, history.samples))
        p[:, at - first] = model.risk(history, at).any[-1, 0]
    return p
