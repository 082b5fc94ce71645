"""What nobody can foresee must not be foreseen: declared failures that have no cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.app.learning import learner_named
from foreshard.forecast.onset import BreachRule
from foreshard.lab.backtest.outline import Outline
from foreshard.lab.backtest.record import lay
from foreshard.lab.backtest.trial import put_on_trial
from tests.lab.backtest.sample import OUTLINE, ignore, samples


def injected(*, seed: int) -> np.ndarray:
    """Failures of two samples, at moments that are drawn from nothing."""
    made = samples(days=12, cells=6)
    chance = np.random.default_rng(seed)
    label = np.zeros(len(made.time_s))
    begins = np.flatnonzero(chance.random(len(label)) < 0.01)
    for begin in begins.tolist():
        label[begin : begin + 2] = 1.0
    return label


def outline() -> Outline:
    return replace(
        OUTLINE,
        reading=replace(OUTLINE.reading, declared="label"),
        rule=BreachRule(sustain=1, merge_gap_s=600.0, quiet_s=600.0),
        calibration_s=0.0,
        refit_s=None,
    )


@pytest.mark.parametrize("name", ["trend", "headroom", "predict-linear"])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_has_no_cause_is_not_foreseen(name: str, seed: int) -> None:
    made = samples(days=12, cells=6)
    columns = {**made.columns, "\0declared": injected(seed=seed)}
    asked = outline()
    record = lay(replace(made, columns=columns), asked)
    found = put_on_trial(record, asked, [learner_named(name)], tell=ignore)
    for score in found.scores[0]:
        assert 0.01 < score.prevalence < 0.5
        assert score.pr_auc_interval[0] <= score.prevalence
        assert abs(score.roc_auc - 0.5) < 0.08
