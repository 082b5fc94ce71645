"""This module is what a walk was worth: every figure of one model at one horizon.

Recall is told twice: at the best threshold in hindsight, and at thresholds chosen before each
stretch on the forecasts of the past days alone, with the false alarms that they then really had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.onset import Onsets
from foreshard.lab.backtest.alarm import Alarms, Ground, candidates, raise_alarms, tally
from foreshard.lab.backtest.bootstrap import Interval, draw_weights, interval
from foreshard.lab.backtest.curve import EDGES, Counts, average_precision, count_up, roc_area
from foreshard.lab.backtest.ground import ground_of
from foreshard.lab.backtest.outline import Outline
from foreshard.lab.backtest.record import Record
from foreshard.lab.backtest.walk import Walked

__all__ = ["Operation", "Reliability", "Score", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What alarms at some threshold did.

    Attributes:
        threshold: [T], probability; the same everywhere in hindsight.
        onsets, announced: Numbers.
        recall: announced / onsets.
        recall_interval: 90 %; None where none was drawn.
        false_per_day: False alarms for a cell and day.
        lead_s: Median from alarm to onset; NaN when none was announced.
        alarms: All of them.
    """

    threshold: NDArray[np.float64]
    onsets: int
    announced: int
    recall_interval: Interval | None
    false_per_day: float
    lead_s: float
    alarms: Alarms

    @property
    def recall(self) -> float:
        """Share of onsets that were announced; NaN without any."""
        return self.announced / self.onsets if self.onsets else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What was said and what came true, in one bin.

    Attributes:
        low, high: Edges of the bin.
        count: Samples.
        said: Mean probability.
        came: Share that came true.
        came_interval: 90 %, over cells.
    """

    low: float
    high: float
    count: int
    said: float
    came: float
    came_interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One model at one horizon; intervals are the middle 90 % over cells.

    Attributes:
        model: Its name.
        horizon_s: In seconds.
        samples: Scored.
        days: Cell-days scored.
        unsaid_ratio: Share of them of which the model said nothing; they count as 0.
        prevalence: Share of samples with an onset ahead.
        pr_auc, roc_auc, brier_skill, ece: See `curve`.
        hindsight, ahead: By budget; `ahead` is None where no past forecasts were asked for.
        reliability: Bins with anything in them.
    """

    model: str
    horizon_s: float
    samples: int
    days: float
    unsaid_ratio: float
    prevalence: float
    pr_auc: float
    pr_auc_interval: Interval
    roc_auc: float
    brier_skill: float
    brier_skill_interval: Interval
    ece: float
    ece_interval: Interval
    hindsight: dict[float, Operation]
    ahead: dict[float, Operation] | None
    reliability: tuple[Reliability, ...]


def score(record: Record, onsets: Onsets, walked: Walked, outline: Outline, horizon: int) -> Score:
    """Judge the forecasts of a walk.

    Args:
        record: The history.
        onsets: Found in all of it.
        walked: The forecasts.
        outline: What they are judged by.
        horizon: Which of the outline's horizons.
    """
    horizon_s = outline.horizons_s[horizon]
    ground = ground_of(record, onsets, outline, horizon_s, first=record.starts)
    p = np.full(ground.usable.shape, np.nan, dtype=np.float32)
    p[:, walked.origin :] = walked.p[horizon]
    said = p[ground.usable]
    y, unit = ground.y[ground.usable], ground.unit[ground.usable]
    known = np.nan_to_num(said, nan=0.0).astype(np.float64)
    counts = count_up(known, y, unit, ground.units)
    cells = len(record.history.cells)
    weights = draw_weights(cells, ground.units // cells, seed=outline.seed)
    once = np.ones(ground.units)
    return Score(
        model=walked.name,
        horizon_s=horizon_s,
        samples=len(known),
        days=float(ground.days().sum()),
        unsaid_ratio=float(np.isnan(said).mean()) if len(said) else 0.0,
        prevalence=float(y.mean()) if len(y) else float("nan"),
        pr_auc=average_precision(known, y),
        pr_auc_interval=interval(weights, counts.precision_area),
        roc_auc=roc_area(known, y),
        brier_skill=counts.brier_skill(once),
        brier_skill_interval=interval(weights, counts.brier_skill),
        ece=counts.calibration_error(once),
        ece_interval=interval(weights, counts.calibration_error),
        hindsight=_hindsight(p, ground, outline, record, weights),
        ahead=_ahead(p, ground, (record, onsets, outline), walked, weights),
        reliability=_reliability(counts, weights),
    )


def _hindsight(
    p: NDArray[np.float32],
    ground: Ground,
    outline: Outline,
    record: Record,
    weights: NDArray[np.float64],
) -> dict[float, Operation]:
    """The best that one threshold could have done, by budget."""
    counted = tally(p, ground, candidates(p, ground.usable))
    found = {}
    for budget in outline.budgets:
        best = counted.best(budget)

        def recall(weight: NDArray[np.float64], budget: float = budget) -> float:
            onsets = float(counted.onsets @ weight)
            k = counted.best(budget, weight=weight)
            return float(counted.hits[k] @ weight) / onsets if onsets else float("nan")

        threshold = np.full(p.shape[1], counted.threshold[best])
        found[budget] = _operation(p, ground, threshold, record, interval(weights, recall))
    return found


def _ahead(
    p: NDArray[np.float32],
    ground: Ground,
    told: tuple[Record, Onsets, Outline],
    walked: Walked,
    weights: NDArray[np.float64],
) -> dict[float, Operation] | None:
    """Thresholds chosen before each stage on the days before it, by budget."""
    record, onsets, outline = told
    history, start = record.history, int(record.starts.min())
    days = history.steps(outline.calibration_s)
    if not days or walked.origin >= start:
        return None
    everywhere = np.full(len(history.cells), walked.origin)
    horizon_s = ground.horizon * history.step_s
    whole = ground_of(record, onsets, outline, horizon_s, first=everywhere)
    chosen = {budget: np.full(history.samples, np.inf) for budget in outline.budgets}
    for stage in walked.stages:
        if stage.begin < start:
            continue
        first = max(stage.begin - days, walked.origin)
        past, said = whole.cut(first, stage.begin), p[:, first : stage.begin]
        counted = tally(said, past, candidates(said, past.usable))
        for budget, threshold in chosen.items():
            best = counted.best(budget, is_eager=True)
            threshold[stage.begin : stage.end] = counted.threshold[best]
    return {
        budget: _with_interval(_operation(p, ground, threshold, record, None), ground, weights)
        for budget, threshold in chosen.items()
    }


def _with_interval(
    operation: Operation, ground: Ground, weights: NDArray[np.float64]
) -> Operation:
    """The same with the interval of its recall: the thresholds stay, the cells are drawn."""
    alarms = operation.alarms
    right = alarms.lead > 0
    unit = ground.unit[alarms.cell[right], alarms.at[right] + alarms.lead[right]]
    hits, of = np.bincount(unit, minlength=ground.units), ground.onsets()

    def recall(weight: NDArray[np.float64]) -> float:
        onsets = float(of @ weight)
        return float(hits @ weight) / onsets if onsets else float("nan")

    return replace(operation, recall_interval=interval(weights, recall))


def _operation(
    p: NDArray[np.float32],
    ground: Ground,
    threshold: NDArray[np.float64],
    record: Record,
    recall_interval: Interval | None,
) -> Operation:
    alarms = raise_alarms(p, ground, threshold)
    leads = alarms.lead[alarms.lead > 0]
    false = int(np.sum(alarms.lead == 0))
    days = float(ground.days().sum())
    return Operation(
        threshold=threshold,
        onsets=len(ground.onset_at),
        announced=len(leads),
        recall_interval=recall_interval,
        false_per_day=false / days if days else float("nan"),
        lead_s=float(np.median(leads)) * record.history.step_s if len(leads) else float("nan"),
        alarms=alarms,
    )


def _reliability(counts: Counts, weights: NDArray[np.float64]) -> tuple[Reliability, ...]:
    found = []
    for b in np.flatnonzero(counts.count.sum(axis=1)).tolist():
        count, came = counts.count[b], counts.came[b]

        def share(
            weight: NDArray[np.float64],
            count: NDArray[np.float64] = count,
            came: NDArray[np.float64] = came,
        ) -> float:
            of = float(count @ weight)
            return float(came @ weight) / of if of else float("nan")

        found.append(
            Reliability(
                low=float(EDGES[b]),
                high=float(EDGES[b + 1]),
                count=int(count.sum()),
                said=float(counts.said[b].sum() / count.sum()),
                came=float(came.sum() / count.sum()),
                came_interval=interval(weights, share),
            )
        )
    return tuple(found)
