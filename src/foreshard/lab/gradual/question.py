"""This module is what would happen under another load: asked of a model, and of the world itself.

A risk curve says what P is if the cell is given so many times its present load. Whether that is
true cannot be seen in any history, because each cell was given one load. The maker of a world can
live it again: the same chance, from the moment of the question on another load, held steady.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.learner import RiskModel
from foreshard.forecast.onset import find_onsets
from foreshard.lab.gradual.fault import Cause
from foreshard.lab.gradual.fleet import RULE, FleetPlan, Trial, generate

__all__ = ["LOADS", "Question", "Response", "ask", "draw_questions", "respond"]

Array = NDArray[np.float64]

LOADS = (0.25, 0.5, 0.75, 1.0)
# The present load is the mean over so many samples.
PRESENT_SAMPLES = 8
# Neither before a fault shows at all, nor when it is over.
ASKED = (0.3, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A moment in the degradation of one cell.

    Attributes:
        cell: Index.
        at: Sample.
        cause: What grows there.
    """

    cell: int
    at: int
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What was said and what was true, of N questions at L loads.

    Attributes:
        loads: Multiples of the present load.
        p: float64 [L, N], as the model has it.
        failed: bool [L, N], as the world has it.
    """

    loads: tuple[float, ...]
    p: Array
    failed: NDArray[np.bool_]

    @property
    def said(self) -> Array:
        """[L], mean probability."""
        return np.asarray(self.p.mean(axis=1))

    @property
    def true(self) -> Array:
        """[L], how often it failed."""
        return np.asarray(self.failed.mean(axis=1))


def draw_questions(trial: Trial, *, causes: Collection[Cause], seed: int) -> tuple[Question, ...]:
    """One question a run, at a moment drawn from its degradation."""
    rng = np.random.default_rng([seed, 6])
    found = []
    for run in trial.runs:
        part = rng.uniform(*ASKED)
        if run.fault.cause in causes:
            at = run.fault.begin + int(part * (run.onset - run.fault.begin))
            found.append(Question(cell=run.fault.cell, at=at, cause=run.fault.cause))
    return tuple(found)


def ask(
    model: RiskModel, trial: Trial, questions: Sequence[Question], *, loads: tuple[float, ...]
) -> Array:
    """[L, N] what a model says, over its longest horizon; NaN where it says nothing."""
    p = np.full((len(loads), len(questions)), np.nan)
    for i, question in enumerate(questions):
        risk = model.risk(trial.history, np.array([question.at]), loads=loads)
        p[:, i] = risk.any[-1, :, question.cell, 0]
    return p


def respond(
    plan: FleetPlan,
    trial: Trial,
    questions: Sequence[Question],
    *,
    seed: int,
    horizon_s: float,
    loads: tuple[float, ...],
) -> NDArray[np.bool_]:
    """[L, N] whether an onset followed within the horizon under each load, held from then on.

    Args:
        plan: Of the trial.
        trial: Made by that plan and seed.
        questions: About it.
        seed: Of the trial.
        horizon_s: > 0.
        loads: L multiples of the present load, >= 0.
    """
    history = trial.history
    horizon = history.steps(horizon_s)
    failed = np.zeros((len(loads), len(questions)), dtype=bool)
    offered = {q.cell: _heard(history.load[q.cell]) for q in questions}
    for j, multiple in enumerate(loads):
        relief = np.ones(history.load.shape)
        for question in questions:
            until = slice(question.at + 1, question.at + horizon + RULE.sustain)
            recent = slice(max(question.at + 1 - PRESENT_SAMPLES, 0), question.at + 1)
            load = offered[question.cell]
            relief[question.cell, until] = multiple * load[recent].mean() / load[until]
        onsets = find_onsets(generate(plan, seed=seed, relief=relief).history, RULE)
        for i, question in enumerate(questions):
            after = onsets.of_cell(question.cell) - question.at
            failed[j, i] = bool(np.any((after > 0) & (after <= horizon)))
    return failed


def _heard(load: NDArray[np.float32]) -> Array:
    """Loads with what was not heard filled in by what was."""
    value = load.astype(np.float64)
    known = np.flatnonzero(~np.isnan(value))
    return np.asarray(np.interp(np.arange(len(value)), known, value[known]))
