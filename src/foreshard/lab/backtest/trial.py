"""This module is a whole backtest: models walked through one history, judged side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foreshard.forecast.learner import Learner
from foreshard.forecast.onset import Onsets, find_onsets
from foreshard.lab.backtest.chance import by_chance
from foreshard.lab.backtest.outline import Outline
from foreshard.lab.backtest.record import Record
from foreshard.lab.backtest.score import Score, score
from foreshard.lab.backtest.walk import Walked, walk
from foreshard.model.errors import LabError

__all__ = ["Outcome", "Tell", "put_on_trial"]

# Told which model is at work and which part of it is done, from 0 to 1.
Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a backtest.

    Attributes:
        outline: What was asked.
        record: The history.
        onsets: Found in all of it.
        walks: One a model, the one on trial first, chance last.
        scores: For each of them, one a horizon.
    """

    outline: Outline
    record: Record
    onsets: Onsets
    walks: tuple[Walked, ...]
    scores: tuple[tuple[Score, ...], ...]

    @property
    def scored_onsets(self) -> int:
        """Onsets in the scored part."""
        first = self.record.starts[self.onsets.cell]
        return int((self.onsets.begin >= first).sum())


def put_on_trial(
    record: Record, outline: Outline, learners: Sequence[Learner], *, tell: Tell
) -> Outcome:
    """Walk every model through the history and judge it.

    Args:
        record: The history.
        outline: What is asked.
        learners: The one on trial first.
        tell: Told of progress.

    Raises:
        LabError: There is nothing to judge by, or a model cannot be fitted at all.
    """
    onsets = find_onsets(record.history, outline.rule)
    _refuse_nothing(record, outline, onsets)
    walks = []
    for learner in learners:

        def told(done: float, name: str = learner.name) -> None:
            tell(name, done)

        walks.append(walk(record, learner, outline, tell=told))
    walks.append(by_chance(record, outline))
    scores = tuple(
        tuple(score(record, onsets, walked, outline, i) for i in range(len(outline.horizons_s)))
        for walked in walks
    )
    return Outcome(
        outline=outline, record=record, onsets=onsets, walks=tuple(walks), scores=scores
    )


def _refuse_nothing(record: Record, outline: Outline, onsets: Onsets) -> None:
    history = record.history
    if history.declared is None and not history.counts.any():
        raise LabError(
            "no gauge has a limit that counts in any entity: declare limits, or ask for less "
            "min_headroom"
        )
    if not (onsets.begin >= record.starts[onsets.cell]).any():
        gauges = ", ".join(history.gauges)
        what = (
            "no declared event begins"
            if history.declared is not None
            else (f"none of {gauges} stays at its limit for {outline.rule.sustain} samples")
        )
        raise LabError(
            f"nothing fails in the scored part: {what}; there is nothing to judge forecasts by "
            f"({len(onsets)} onsets in the whole record)"
        )
