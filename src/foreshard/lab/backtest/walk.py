"""This module is the walk through a history: fit on what is past, forecast what is next, go on.

It begins some days before the part that is scored, so that a threshold can be chosen on forecasts
that were made as all others were: before what they speak of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.learner import Learner
from foreshard.lab.backtest.outline import Outline
from foreshard.lab.backtest.record import Record
from foreshard.model.errors import ForecastError, LabError

__all__ = ["Stage", "Walked", "stages", "walk"]


# Risks of gauges that a model is asked for at once: bounds memory, and changes no result.
_VALUES_AT_ONCE = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One fit and the stretch for which it holds: samples [begin, end)."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """The forecasts of one model.

    Attributes:
        name: Of the model.
        p: float32 [H, C, T - origin], at the present load; NaN = nothing was said.
        origin: Sample that the first forecast was made at.
        stages: In order.
        gaps: Stages that had no model, with the reason.
    """

    name: str
    p: NDArray[np.float32]
    origin: int
    stages: tuple[Stage, ...]
    gaps: tuple[tuple[Stage, str], ...]


def stages(record: Record, outline: Outline) -> tuple[Stage, ...]:
    """The fits of a walk; the first of the scored part begins where the first cell is scored."""
    start, end = int(record.starts.min()), record.history.samples
    before = min(record.history.steps(outline.calibration_s), start // 2)
    if outline.refit_s is None:
        moments = [start - before, start] if before else [start]
    else:
        every = record.history.steps(outline.refit_s)
        moments = list(range(start - before // every * every, end, every))
    return tuple(Stage(begin=a, end=b) for a, b in zip(moments, [*moments[1:], end], strict=True))


def walk(
    record: Record,
    learner: Learner,
    outline: Outline,
    *,
    tell: Callable[[float], None],
) -> Walked:
    """Walk one learner through a history.

    Args:
        record: The history.
        learner: Makes the models.
        outline: What is forecast, and how often models are fitted.
        tell: Told which part is done, from 0 to 1.

    Raises:
        LabError: It could not be fitted anywhere.
    """
    history, horizons_s = record.history, outline.horizons_s
    plan = stages(record, outline)
    origin = plan[0].begin
    p = np.full(
        (len(horizons_s), len(history.cells), history.samples - origin), np.nan, dtype=np.float32
    )
    gaps: list[tuple[Stage, str]] = []
    at_once = max(_VALUES_AT_ONCE // (history.counts.size * len(horizons_s)), 1)
    for number, stage in enumerate(plan):

        def told(part: float, number: int = number) -> None:
            tell((number + 0.9 * part) / len(plan))

        try:
            model = learner.fit(
                _past(record, outline, stage),
                outline.rule,
                horizons_s,
                seed=outline.seed,
                progress=told,
            )
            for first in range(stage.begin, stage.end, at_once):
                end = min(first + at_once, stage.end)
                at = np.arange(first, end, dtype=np.int64)
                said = model.risk(history.until(end), at).any[:, 0]
                p[:, :, first - origin : end - origin] = said
        except ForecastError as error:
            gaps.append((stage, str(error)))
        tell((number + 1) / len(plan))
    if len(gaps) == len(plan):
        raise LabError(f"model {learner.name} cannot be fitted: {gaps[-1][1]}")
    if history.declared is None:
        # Where no limit counts none is reached, whatever a model makes of it.
        p[:, ~history.counts.any(axis=1)] = 0.0
    return Walked(name=learner.name, p=p, origin=origin, stages=plan, gaps=tuple(gaps))


def _past(record: Record, outline: Outline, stage: Stage) -> History:
    """What may be learned from: everything before the stage.

    A model that is fitted once for all learns from each cell what came before that cell's own
    part that is scored, as cells may begin at different times.
    """
    if outline.refit_s is not None or stage.begin < record.starts.min():
        return record.history.until(stage.begin)
    past = record.history.until(int(record.starts.max()))
    later = np.arange(past.samples)[None] >= record.starts[:, None]
    value = past.value.copy()
    value[np.broadcast_to(later[:, None], value.shape)] = np.nan
    declared = None if past.declared is None else past.declared & ~later
    return replace(past, value=value, declared=declared)
