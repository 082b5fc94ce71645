"""This module is what a backtest says: a table, and sentences for whoever is on call."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foreshard.lab.backtest.bootstrap import Interval
from foreshard.lab.backtest.score import Score
from foreshard.lab.backtest.trial import Outcome

__all__ = ["COLUMNS", "duration", "figure", "rows_of", "sentences", "with_interval"]

DASH = "-"
# What people use now: a model has to beat the best of these.
TODAY = frozenset({"headroom", "predict-linear", "seasonal-naive"})
COLUMNS = ("model", "PR-AUC", "ROC", "recall", "lead", "ahead", "Brier skill", "ECE")
"""Heads of the table; `recall` and `lead` in hindsight, `ahead` with thresholds of past days."""


def duration(seconds: float) -> str:
    """A stretch of time, short.

    >>> duration(300.0), duration(5400.0), duration(172800.0), duration(20.0)
    ('5 min', '1.5 h', '2 d', '20 s')
    """
    if math.isnan(seconds):
        return DASH
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if (
            seconds >= size
            and (unit != "h" or seconds >= 5_400.0)
            and (unit != "d" or seconds >= 172_800.0)
        ):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def figure(value: float, digits: int = 3) -> str:
    """A ratio, short; a dash for what is not known.

    >>> figure(0.1789), figure(float("nan")), figure(0.00359)
    ('.179', '-', '.0036')
    """
    if math.isnan(value):
        return DASH
    if 0.0 < abs(value) < 0.0095:
        digits += 1
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        return "0"
    return text.replace("0.", ".", 1) if abs(value) < 1.0 else text


def with_interval(value: float, interval: Interval) -> str:
    """A figure and where it may lie."""
    if math.isnan(value) or math.isnan(interval[0]):
        return figure(value)
    return f"{figure(value)} [{figure(interval[0], 2)}, {figure(interval[1], 2)}]"


def rows_of(outcome: Outcome, horizon: int) -> list[tuple[str, ...]]:
    """One row a model, under `COLUMNS`."""
    return [_row(scores[horizon]) for scores in outcome.scores]


def _row(score: Score) -> tuple[str, ...]:
    hindsight = list(score.hindsight.values())
    ahead = list((score.ahead or {}).values())
    return (
        score.model,
        with_interval(score.pr_auc, score.pr_auc_interval),
        figure(score.roc_auc),
        " / ".join(figure(each.recall, 2) for each in hindsight),
        duration(hindsight[0].lead_s) if hindsight else DASH,
        " / ".join(
            f"{figure(each.recall, 2)} at {figure(each.false_per_day, 2)}" for each in ahead
        )
        or DASH,
        with_interval(score.brier_skill, score.brier_skill_interval),
        figure(score.ece),
    )


def sentences(outcome: Outcome, scores: Sequence[Score] | None = None) -> list[str]:
    """What an engineer takes home, of the model on trial.

    Args:
        outcome: Of the backtest.
        scores: Of which model; None = the one on trial.
    """
    own = outcome.scores[0] if scores is None else scores
    said = [_had_it_been_on(each, outcome) for each in reversed(own)]
    said += [_against(each, outcome) for each in reversed(own)]
    said += [_belief(each) for each in reversed(own)]
    for walked in outcome.walks:
        if walked.gaps and walked.name == own[0].model:
            count = sum(stage.end - stage.begin for stage, _ in walked.gaps)
            days = count * outcome.record.history.step_s / 86_400.0
            said.append(
                f"For {days:.3g} days {walked.name} could not be fitted: {walked.gaps[0][1]}."
            )
    return said


def _had_it_been_on(score: Score, outcome: Outcome) -> str:
    what = "exhaustions" if outcome.record.history.declared is None else "incidents"
    operations = score.ahead or score.hindsight
    budget, operation = next(iter(operations.items()))
    lead = (
        f", median {duration(operation.lead_s)} before" if not math.isnan(operation.lead_s) else ""
    )
    how = (
        f"thresholds chosen on past days alone, for {budget:g} a day"
        if score.ahead
        else "at the best threshold in hindsight, which nobody has in advance"
    )
    return (
        f"Had {score.model} been on, looking {duration(score.horizon_s)} ahead: "
        f"{operation.announced} of {operation.onsets} {what} announced{lead}, "
        f"{operation.false_per_day:.2g} false alarms per cell and day ({how})."
    )


def _against(score: Score, outcome: Outcome) -> str:
    others = [
        scores
        for all_scores in outcome.scores[1:]
        for scores in all_scores
        if scores.horizon_s == score.horizon_s and scores.model in TODAY - {score.model}
    ]
    times = score.pr_auc / score.prevalence if score.prevalence > 0.0 else math.nan
    low = score.pr_auc_interval[0]
    base = figure(score.prevalence)
    if not low > score.prevalence:
        return (
            f"At {duration(score.horizon_s)} it is not told from chance: PR-AUC "
            f"{with_interval(score.pr_auc, score.pr_auc_interval)} against {base} of knowing "
            "nothing. What cannot be foreseen must be detected and moved fast."
        )
    text = f"At {duration(score.horizon_s)} it ranks {times:.1f} times as well as chance"
    if others:
        best = max(others, key=lambda each: each.pr_auc)
        ratio = score.pr_auc / best.pr_auc if best.pr_auc > 0.0 else math.nan
        word = (
            "as well as"
            if 0.95 <= ratio <= 1.05
            else ("better than" if ratio > 1.0 else "worse than")
        )
        text += (
            f", and {word} {best.model}, the best of what is used today "
            f"(PR-AUC {figure(score.pr_auc)} against {figure(best.pr_auc)})"
        )
    return text + "."


def _belief(score: Score) -> str:
    worst = max(
        (each for each in score.reliability if each.count >= 100),
        key=lambda each: abs(each.said - each.came),
        default=None,
    )
    if worst is None:
        return f"Too little was said at {duration(score.horizon_s)} to tell how far to believe it."
    word = "can be taken at their word" if score.ece <= 0.01 else "are off"
    return (
        f"Its probabilities at {duration(score.horizon_s)} {word}: {figure(score.ece)} on "
        f"average; furthest where it said {100.0 * worst.said:.2g} % and "
        f"{100.0 * worst.came:.2g} % came true ({worst.count} samples)."
    )
