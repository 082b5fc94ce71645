"""This module is a backtest as plain JSON values: everything that its tables say, and more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from foreshard.lab.backtest.bootstrap import Interval
from foreshard.lab.backtest.score import Operation, Score
from foreshard.lab.backtest.telling import sentences
from foreshard.lab.backtest.trial import Outcome

__all__ = ["document_of", "scoring_of"]

FORMAT = "foreshard-backtest/1"


def document_of(outcome: Outcome, *, version: str) -> Mapping[str, Any]:
    """All of it.

    Args:
        outcome: Of the backtest.
        version: Of the program.
    """
    record, onsets = outcome.record, outcome.onsets
    history = record.history
    scored = onsets.begin >= record.starts[onsets.cell]
    return {
        "format": FORMAT,
        "version": version,
        "name": outcome.outline.name,
        "about": outcome.outline.about,
        "begins_s": history.begins_s,
        "ends_s": history.begins_s + history.step_s * (history.samples - 1),
        "step_s": history.step_s,
        "entities": [
            {
                "name": cell,
                "scored_from_s": _at(outcome, int(record.starts[c])),
                "onsets_before": int(((onsets.cell == c) & ~scored).sum()),
                "onsets_scored": int(((onsets.cell == c) & scored).sum()),
                "limits": {
                    gauge: _number(float(record.limits.limit[c, g]))
                    for g, gauge in enumerate(history.gauges)
                    if history.counts[c, g]
                },
            }
            for c, cell in enumerate(history.cells)
        ],
        "models": {
            walked.name: {
                "fits": len(walked.stages),
                "not_fitted": [
                    {"from_s": _at(outcome, stage.begin), "because": because}
                    for stage, because in walked.gaps
                ],
                "horizons": [_score(each, outcome) for each in scores],
            }
            for walked, scores in zip(outcome.walks, outcome.scores, strict=True)
        },
        "sentences": sentences(outcome),
    }


def scoring_of(outcome: Outcome) -> Mapping[str, Any]:
    """What the log of scorings keeps: who was scored and what came of it."""
    return {
        walked.name: {
            f"{score.horizon_s:g}": {
                "pr_auc": _number(score.pr_auc),
                "recall": {f"{b:g}": _number(op.recall) for b, op in score.hindsight.items()},
                "brier_skill": _number(score.brier_skill),
            }
            for score in scores
        }
        for walked, scores in zip(outcome.walks, outcome.scores, strict=True)
    }


def _score(score: Score, outcome: Outcome) -> Mapping[str, Any]:
    return {
        "horizon_s": score.horizon_s,
        "samples": score.samples,
        "cell_days": score.days,
        "unsaid_ratio": score.unsaid_ratio,
        "prevalence": _number(score.prevalence),
        "pr_auc": _number(score.pr_auc),
        "pr_auc_90": _both(score.pr_auc_interval),
        "roc_auc": _number(score.roc_auc),
        "brier_skill": _number(score.brier_skill),
        "brier_skill_90": _both(score.brier_skill_interval),
        "ece": _number(score.ece),
        "ece_90": _both(score.ece_interval),
        "hindsight": _operations(score.hindsight, outcome),
        "past_days": None if score.ahead is None else _operations(score.ahead, outcome),
        "reliability": [
            {
                **{k: v for k, v in asdict(each).items() if k != "came_interval"},
                "came_90": _both(each.came_interval),
            }
            for each in score.reliability
        ],
    }


def _operations(
    operations: Mapping[float, Operation], outcome: Outcome
) -> list[Mapping[str, Any]]:
    return [
        {
            "false_alarms_wanted": budget,
            "false_alarms_per_cell_day": _number(each.false_per_day),
            "onsets": each.onsets,
            "announced": each.announced,
            "recall": _number(each.recall),
            "recall_90": _both(each.recall_interval),
            "lead_median_s": _number(each.lead_s),
            "thresholds": _thresholds(each, outcome),
        }
        for budget, each in operations.items()
    ]


def _thresholds(operation: Operation, outcome: Outcome) -> list[Mapping[str, Any]]:
    """From when on which threshold held; null = no alarm was worth its price."""
    start = int(outcome.record.starts.min())
    held = operation.threshold[start:]
    changes = np.flatnonzero(np.append(True, held[1:] != held[:-1]))
    return [
        {"from_s": _at(outcome, start + i), "p": _number(float(held[i]))} for i in changes.tolist()
    ]


def _at(outcome: Outcome, sample: int) -> float:
    history = outcome.record.history
    return history.begins_s + history.step_s * sample


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _both(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [_number(each) for each in interval]
