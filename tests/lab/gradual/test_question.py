from __future__ import annotations

import numpy as np
import pytest

from foreshard.forecast.trend_model import TrendModel
from foreshard.lab.gradual.contest import HORIZONS_S
from foreshard.lab.gradual.fault import Cause, FaultPlan
from foreshard.lab.gradual.fleet import FleetPlan, Trial, generate
from foreshard.lab.gradual.question import LOADS, Response, ask, draw_questions, respond

TREND = TrendModel(horizons_s=HORIZONS_S)
HALF = LOADS.index(0.5)


def plan_of(cause: Cause) -> FleetPlan:
    return FleetPlan(
        groups=3, siblings=5, days=4.0, faults=FaultPlan(causes=(cause,), per_cell_day=0.9)
    )


def response(cause: Cause) -> Response:
    plan = plan_of(cause)
    trial: Trial = generate(plan, seed=1)
    questions = draw_questions(trial, causes=(cause,), seed=1)
    assert len(questions) > 40
    return Response(
        loads=LOADS,
        p=np.nan_to_num(ask(TREND, trial, questions, loads=LOADS)),
        failed=respond(plan, trial, questions, seed=1, horizon_s=HORIZONS_S[-1], loads=LOADS),
    )


def test_questions_are_asked_while_a_fault_is_on() -> None:
    trial = generate(plan_of(Cause.LEAK), seed=2)
    asked = {(q.cell, q.at) for q in draw_questions(trial, causes=(Cause.LEAK,), seed=1)}
    for run in trial.runs:
        mine = [at for cell, at in asked if cell == run.fault.cell]
        assert any(run.fault.begin <= at < run.onset for at in mine)
    assert draw_questions(trial, causes=(Cause.CREEP,), seed=1) == ()


def test_half_the_load_lowers_the_risk_as_it_does_in_truth_where_load_is_the_cause() -> None:
    found = response(Cause.CREEP)
    assert found.true[-1] - found.true[HALF] > 0.5
    assert found.said[HALF] == pytest.approx(found.true[HALF], abs=0.1)
    assert np.all(np.diff(found.said) >= 0.0)


@pytest.mark.parametrize("cause", [Cause.LEAK, Cause.DISK_FILL])
def test_half_the_load_cures_no_leak_and_is_not_said_to(cause: Cause) -> None:
    found = response(cause)
    assert found.true[HALF] > 0.9
    assert found.said[-1] - found.said[HALF] < 0.02
    assert found.said[HALF] > 0.3
