"""This module is a refit: learn, stand against what flies, and if that went well, learn the rest.

A model that is fitted once decays as the service changes, so this is done again and again; the
contest (`contest`) sees to it that nothing worse takes over. Who stands in the contest has not
learned from the newest stretch; what then flies is fitted once more, the same way, to the whole
record. Where the relation drifts, the newest hours are worth the most: kept from the model, they
cost more than it costs that it is its elder twin that was judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foreshard.forecast.baseline import HeadroomLearner
from foreshard.forecast.contest import Verdict, decide, held_out_from
from foreshard.forecast.history import History
from foreshard.forecast.learner import Learner, Progress, RiskModel, ignore_progress
from foreshard.forecast.onset import BreachRule
from foreshard.forecast.scoring import stretch_of
from foreshard.forecast.trend_model import TrendLearner
from foreshard.model.errors import ForecastError

__all__ = ["Flying", "Task", "complete", "fit", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be learned.

    Attributes:
        rule: What a failure is.
        horizons_s: Rising, > 0.
        seed: The same record and seed give the same model.
        held_out_s: The newest stretch, which is kept from learning.
    """

    rule: BreachRule
    horizons_s: tuple[float, ...]
    seed: int = 1
    held_out_s: float = 6 * 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flying:
    """The champion.

    Attributes:
        name: Its id.
        model: Itself.
        learned_until_s: End of what it learned from.
    """

    name: str
    model: RiskModel
    learned_until_s: float


def fit(
    history: History,
    learner: Learner,
    task: Task,
    *,
    champion: Flying | None = None,
    progress: Progress = ignore_progress,
) -> tuple[RiskModel, int]:
    """A new model, and the first sample that it has not learned from.

    Raises:
        ForecastError: It cannot be learned from, and why.
    """
    first = held_out_from(
        history,
        task.rule,
        wanted_s=task.held_out_s,
        learned_until_s=champion.learned_until_s if champion else -float("inf"),
    )
    first = min(first, history.samples)
    model = learner.fit(
        history.until(first), task.rule, task.horizons_s, seed=task.seed, progress=progress
    )
    return model, first


def complete(
    history: History, learner: Learner, task: Task, *, progress: Progress = ignore_progress
) -> RiskModel:
    """The model that flies: the one that won, fitted to the whole record.

    Raises:
        ForecastError: It cannot be learned from, and why.
    """
    return learner.fit(history, task.rule, task.horizons_s, seed=task.seed, progress=progress)


def judge(
    history: History, model: RiskModel, task: Task, *, first: int, champion: Flying | None = None
) -> Verdict:
    """Whether a new model flies from now on.

    Args:
        history: All of it.
        model: The new one.
        task: What it learned.
        first: The first sample that it has not learned from.
        champion: What flies; None = nothing that can be asked about these horizons.

    Raises:
        ForecastError: The new model cannot read the history.
    """
    stretch = stretch_of(history, task.rule, task.horizons_s, first=first)
    rivals: Mapping[str, RiskModel] = _unlearned(history.until(first), task)
    if champion is not None and champion.model.horizons_s == task.horizons_s:
        rivals = {champion.name: champion.model}
    return decide(model, rivals, stretch, name=f"new {model.name}")


def _unlearned(history: History, task: Task) -> Mapping[str, RiskModel]:
    """What there is without a trained model."""
    rivals: dict[str, RiskModel] = {}
    for learner in (TrendLearner(), HeadroomLearner()):
        try:
            rivals[learner.name] = learner.fit(history, task.rule, task.horizons_s, seed=task.seed)
        except ForecastError:
            # A baseline that cannot be calibrated is no rival; `trend` always is one.
            continue
    return rivals
