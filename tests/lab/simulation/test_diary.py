from __future__ import annotations

import numpy as np
import pytest

from foreshard.lab.simulation import diary as module
from foreshard.lab.simulation.diary import Diary
from foreshard.model.plan import Decision, Hold, Plan, Reason

CELLS = ("a", "b")


def decision(at_s: float, *codes: str, phase: str = "active") -> Decision:
    because = tuple(Reason(subject="a", code=code, text=f"{code} said") for code in codes)
    return Decision(
        now_s=100.0 + at_s,
        routing=Hold(because=because),
        plan=Plan(splits={}),
        phases={"a": phase, "b": "active"},
    )


def inputs(p: float, *, age_s: float) -> dict[str, object]:
    return {
        "forecast": {"horizons_s": [300.0, 3600.0], "age_s": age_s},
        "cells": {"a": {"risk": {"p": {"300": p, "3600": 2.0 * p}}}},
    }


def test_a_reason_is_kept_when_it_is_news_and_again_after_it_was_gone() -> None:
    diary = Diary(CELLS, start_s=100.0)
    for second, codes in enumerate([("x.is",), ("x.is",), (), ("x.is", "y.is")]):
        diary.record(decision(second, *codes), {})
    assert [(s.at_s, s.code) for s in diary.said] == [(0.0, "x.is"), (3.0, "x.is"), (3.0, "y.is")]
    assert diary.decisions == 4


def test_a_change_of_phase_is_kept() -> None:
    diary = Diary(CELLS, start_s=100.0)
    diary.record(decision(0.0), {})
    diary.record(decision(1.0, phase="draining"), {})
    diary.record(decision(2.0, phase="draining"), {})
    assert [(s.at_s, s.subject, s.code) for s in diary.said] == [(1.0, "a", "phase.draining")]


def test_more_than_is_kept_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SAID", 2)
    diary = Diary(CELLS, start_s=100.0)
    for second in range(5):
        diary.record(decision(second, f"x.{second}"), {})
    assert (len(diary.said), diary.unsaid) == (2, 3)


def test_each_forecast_is_kept_once_and_cells_without_one_are_unknown() -> None:
    diary = Diary(CELLS, start_s=100.0)
    assert diary.risk.p.shape == (0, 2, 0)
    diary.record(decision(1.0), inputs(0.1, age_s=0.5))
    diary.record(decision(2.0), inputs(0.1, age_s=1.5))
    diary.record(decision(3.0), inputs(0.2, age_s=0.5))
    risk = diary.risk
    assert risk.at_s.tolist() == [1.0, 3.0]
    assert risk.horizons_s == (300.0, 3600.0)
    assert risk.p[:, 0] == pytest.approx(np.array([[0.1, 0.2], [0.2, 0.4]]))
    assert np.isnan(risk.p[:, 1]).all()


def test_it_remembers_what_a_loop_puts_into_it() -> None:
    diary = Diary(CELLS, start_s=100.0)
    assert diary.get("memory") is None
    assert diary.latest("a") is None
    diary.put("memory", {"a": 1})
    diary.record(decision(0.0, "x.is"), {})
    assert diary.get("memory") == {"a": 1}
    latest = diary.latest("a")
    assert latest is not None
    assert latest["because"] == [{"subject": "a", "code": "x.is", "text": "x.is said"}]
    assert diary.latest("b") is None
