from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.lab.gradual.fault import Cause, Fault
from foreshard.lab.gradual.fleet import FleetPlan, Run, Trial, generate
from foreshard.lab.gradual.growth import Growth
from foreshard.lab.gradual.score import find_alarms, safe_threshold, score_alarms
from foreshard.model.errors import LabError


def trial(*runs: tuple[int, int, int]) -> Trial:
    """A day of two cells, which fail as told: cell, begin, onset."""
    bare = generate(FleetPlan(groups=1, siblings=2, days=1.0), seed=1)
    found = tuple(
        Run(
            fault=Fault(
                cell=cell,
                cause=Cause.LEAK,
                growth=Growth.LINEAR,
                begin=begin,
                length=onset - begin,
            ),
            onset=onset,
        )
        for cell, begin, onset in runs
    )
    ill = np.zeros((2, 1440), dtype=bool)
    for cell, begin, onset in runs:
        ill[cell, begin : onset + 60] = True
    return replace(bare, runs=found, ill=ill)


def alarmed(*at: tuple[int, int]) -> np.ndarray:
    p = np.zeros((2, 1440), dtype=np.float32)
    for cell, t in at:
        p[cell, t] = 1.0
    return p


def test_an_alarm_is_not_repeated_for_a_while() -> None:
    p = alarmed((0, 10), (0, 11), (0, 69), (0, 70), (1, 5))
    assert find_alarms(p, 0.5, refractory=60) == [(0, 10), (0, 70), (1, 5)]


def test_silence_is_no_alarm() -> None:
    assert find_alarms(np.full((2, 10), np.nan, dtype=np.float32), 0.0, refractory=1) == []


def test_an_alarm_in_the_degradation_announces_the_run() -> None:
    score = score_alarms(trial((0, 100, 200)), alarmed((0, 140)), 0.5, first=0, refractory=60)
    (run,) = score.runs
    assert run.in_time
    assert run.lead_s == 3600.0
    assert run.lead_ratio == pytest.approx(0.6)
    assert score.false_alarms == 0


def test_an_alarm_too_late_to_act_announces_nothing() -> None:
    score = score_alarms(trial((0, 100, 200)), alarmed((0, 196)), 0.5, first=0, refractory=60)
    assert not score.runs[0].in_time
    assert score.announced_ratio == 0.0


def test_an_alarm_before_the_degradation_is_false_and_announces_nothing() -> None:
    score = score_alarms(trial((0, 100, 200)), alarmed((0, 90)), 0.5, first=0, refractory=60)
    assert score.false_alarms == 1
    assert score.runs[0].lead_s == 0.0


def test_false_alarms_are_told_by_healthy_cell_day() -> None:
    scored = score_alarms(
        trial((0, 100, 200)), alarmed((1, 1), (1, 700)), 0.5, first=0, refractory=60
    )
    assert scored.healthy_days == pytest.approx((2 * 1440 - 160) / 1440)
    assert scored.false_a_day == pytest.approx(2 / scored.healthy_days)


def test_runs_that_began_before_the_scored_stretch_do_not_count() -> None:
    found = score_alarms(
        trial((0, 100, 200), (1, 400, 500)), alarmed()[:, 300:], 0.5, first=300, refractory=60
    )
    assert [run.run.onset for run in found.runs] == [500]


def test_a_threshold_is_kept_by_the_healthy_samples_alone() -> None:
    rng = np.random.default_rng(1)
    p = rng.random((20, 1440)).astype(np.float32)
    healthy = np.ones(p.shape, dtype=bool)
    healthy[:, 700:] = False
    p[:, 700:] = 1.0
    threshold = safe_threshold(p, healthy, false_a_day=0.5, step_s=60.0, refractory=60)
    kept = find_alarms(np.where(healthy, p, np.float32(0.0)), threshold, refractory=60)
    assert 0.3 < len(kept) / (healthy.sum() / 1440) <= 0.5


def test_no_forecast_gives_no_threshold() -> None:
    silent = np.full((1, 10), np.nan, dtype=np.float32)
    with pytest.raises(LabError, match="no threshold"):
        safe_threshold(
            silent,
            np.ones((1, 10), dtype=bool),
            false_a_day=0.1,
            step_s=60.0,
            refractory=60,
        )
