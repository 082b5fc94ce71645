"""A model that is fitted to a history in which it acted: does it forget what it knew?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from foreshard.forecast.baseline import HeadroomLearner
from foreshard.forecast.censoring import LeftAlone, censored_by, is_relieved, weights_of
from foreshard.forecast.history import History
from foreshard.forecast.learner import RiskModel
from foreshard.forecast.onset import find_onsets, labels
from foreshard.lab.gradual.contest import HORIZONS_S
from foreshard.lab.gradual.fault import LOAD_CAUSED, FaultPlan
from foreshard.lab.gradual.fleet import RULE, FleetPlan, Trial, generate
from foreshard.lab.gradual.growth import Growth

HOUR = 60
# What is acted upon: after this long (data is handed over first) work is taken off until then, and
# this part is left.
ACT_P, DELAY, RELIEF_SAMPLES, LEFT = 0.15, 15, 120, 0.2
PLAN = FleetPlan(
    groups=4,
    siblings=5,
    days=16.0,
    faults=FaultPlan(
        causes=tuple(sorted(LOAD_CAUSED)), growths=(Growth.LINEAR,), per_cell_day=1.0
    ),
)
WITHHELD = 0.25
LEVELS = (0.0, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 9.0)
# Where somebody would act.
NEAR = slice(3, None)


@dataclass(frozen=True)
class World:
    """A fleet that was acted upon: what was heard, where it was relieved, and what would be."""

    acted: History
    relieved: np.ndarray
    alone: list[LeftAlone]
    untouched: History


def risk(model: RiskModel, history: History) -> np.ndarray:
    found = model.risk(history, np.arange(history.samples)).any[-1, 0]
    return np.asarray(np.nan_to_num(found))


def relief_by(
    model: RiskModel, trial: Trial, *, withheld: float, seed: int
) -> tuple[np.ndarray, list[LeftAlone]]:
    """[C, T] part of the work that is left: less for two hours from each alarm on.

    And what was withheld.
    """
    p, rng = risk(model, trial.history), np.random.default_rng(seed)
    left, alone = np.ones(p.shape), list[LeftAlone]()
    for cell, row in enumerate(p):
        free = 0
        for t in np.flatnonzero(row >= ACT_P).tolist():
            if t < free:
                continue
            free = t + RELIEF_SAMPLES
            if rng.random() >= withheld:
                left[cell, t + DELAY : free] = LEFT
            else:
                alone.append(LeftAlone(cell=cell, begin=t + DELAY, end=free, p=withheld))
    return left, alone


def world(model: RiskModel, *, withheld: float, seed: int = 2) -> World:
    untouched = generate(PLAN, seed=seed)
    left, alone = relief_by(model, untouched, withheld=withheld, seed=seed)
    acted = generate(PLAN, seed=seed, relief=left)
    # Of the plan's record: what each cell was given of all demand, in equal parts else.
    share = left / left.shape[0]
    return World(
        acted=acted.history,
        relieved=is_relieved(share),
        alone=alone,
        untouched=untouched.history,
    )


def fitted(history: History) -> RiskModel:
    return HeadroomLearner().fit(history, RULE, HORIZONS_S, seed=1)


def learned(history: History) -> np.ndarray:
    """How often an onset follows within the hour, by the level of the worst gauge.

    The plainest learner there is: it takes what the samples say, and no shape is laid over them.
    """
    onsets = find_onsets(history, RULE)
    y, known = labels(onsets, HOUR)
    weight = np.ones(y.shape) if history.weight is None else history.weight
    level = np.nan_to_num(np.fmax.reduce(history.value, axis=1))
    found = []
    for low, high in pairwise(LEVELS):
        rows = (level >= low) & (level < high) & known & onsets.scored
        found.append(np.average(y[rows], weights=weight[rows]))
    return np.array(found)


@pytest.fixture(scope="module")
def taught() -> RiskModel:
    """Fitted before anybody acted."""
    return fitted(generate(PLAN, seed=1).history)


def test_acting_takes_the_failures_out_of_the_history(taught: RiskModel) -> None:
    lived = world(taught, withheld=0.0)
    before = len(find_onsets(lived.untouched, RULE))
    after = len(find_onsets(lived.acted, RULE))
    assert before > 30
    assert after < 0.5 * before


@pytest.mark.parametrize("seed", [2, 5])
def test_naive_retraining_unlearns_and_ours_does_not(taught: RiskModel, seed: int) -> None:
    """Against what the same fleet would have taught, had nobody touched it."""
    lived = world(taught, withheld=WITHHELD, seed=seed)
    onsets = find_onsets(lived.acted, RULE)
    ours = replace(
        lived.acted,
        censored=censored_by(lived.relieved, reach=HOUR),
        weight=weights_of(lived.alone, lived.relieved, onsets, chosen=lived.relieved, reach=HOUR),
    )
    true = learned(lived.untouched)[NEAR]
    naive = learned(world(taught, withheld=0.0, seed=seed).acted)[NEAR]
    known = learned(ours)[NEAR]
    assert np.all(naive < true)
    assert np.mean(true - naive) > 0.35
    assert np.mean(np.abs(known - true)) < 0.1


def test_marking_without_a_holdout_forgets_less_than_not_marking(taught: RiskModel) -> None:
    lived = world(taught, withheld=0.0, seed=2)
    true, naive = learned(lived.untouched)[NEAR], learned(lived.acted)[NEAR]
    marked = replace(lived.acted, censored=censored_by(lived.relieved, reach=HOUR))
    assert np.mean(np.abs(learned(marked)[NEAR] - true)) < np.mean(np.abs(naive - true))
