from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.policy.predict_linear import PredictLinear, allowed_drains, extrapolated
from foreshard.lab.policy.program import Draft
from foreshard.lab.policy.view import blank
from tests.lab.policy.stages import CHECKOUT, calm_view, shop


def test_a_line_is_followed_exactly_whatever_is_missing() -> None:
    t_s = np.arange(20, dtype=np.float64) * 15.0
    used = np.stack((0.2 + 0.001 * t_s, np.full(t_s.size, 0.4)), axis=1)
    used[3:9, 0] = np.nan
    line = extrapolated(t_s, used, ahead_s=1_200.0)
    assert line.tolist() == pytest.approx([0.2 + 0.001 * (285.0 + 1_200.0), 0.4])


@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=20))
def test_extrapolation_is_least_squares(values: list[float]) -> None:
    t_s = np.arange(len(values), dtype=np.float64) * 15.0
    slope, level = np.polyfit(t_s, values, 1)
    found = extrapolated(t_s, np.array(values)[:, None], ahead_s=600.0)[0]
    assert found == pytest.approx(level + slope * (t_s[-1] + 600.0), abs=1e-6)


def test_one_sample_says_nothing() -> None:
    assert np.isnan(extrapolated(np.zeros(1), np.ones((1, 2)), ahead_s=1.0)).all()


def test_not_more_than_a_fifth_of_the_cells_is_drained() -> None:
    fires_s = np.array([5.0, 3.0, np.nan, 4.0, np.nan, np.nan])
    nobody = np.zeros(6, dtype=np.bool_)
    assert np.flatnonzero(allowed_drains(fires_s, drained=nobody)).tolist() == [1]
    drained = nobody.copy()
    drained[0] = True
    assert np.flatnonzero(allowed_drains(fires_s, drained=drained)).tolist() == [0]


def played(memory_of: Callable[[float], float], *, until_s: float, pace: float = 1.0) -> Draft:
    setting = shop(pace=pace)
    rule = PredictLinear(setting)
    draft = rule.decide(blank(setting, now_s=0.0))
    for now_s in np.arange(1.0, until_s):
        memory = np.full(6, 0.5)
        memory[1] = memory_of(float(now_s))
        gauges = {"cpu": np.full(6, 0.62), "memory": memory}
        draft = rule.decide(calm_view(setting, now_s=float(now_s), gauges=gauges))
    return draft


def test_a_leak_drains_the_whole_cell_before_it_is_full() -> None:
    def leak(now_s: float) -> float:
        return min(1.0, 0.5 + 0.0008 * now_s)

    assert played(leak, until_s=120.0).slots[CHECKOUT].counts()["eu-2"] > 0
    draft = played(leak, until_s=260.0)
    assert "eu-2" not in draft.slots[CHECKOUT].counts()
    assert draft.share[0, :, 1].tolist() == [0.0, 0.0, 0.0]


def test_it_comes_back_when_the_alert_is_resolved() -> None:
    def restarted(now_s: float) -> float:
        return 0.5 + 0.0008 * now_s if now_s < 260.0 else 0.5

    draft = played(restarted, until_s=300.0)
    assert draft.slots[CHECKOUT].counts()["eu-2"] > 0


def test_at_another_pace_everything_goes_faster() -> None:
    def leak(now_s: float) -> float:
        return min(1.0, 0.5 + 0.008 * now_s)

    assert "eu-2" not in played(leak, until_s=27.0, pace=10.0).slots[CHECKOUT].counts()


def test_what_follows_load_must_be_nearly_full_before_it_drains_a_cell() -> None:
    setting = shop()
    for level, drains in ((0.55, False), (0.75, True)):
        rule = PredictLinear(setting)
        draft = rule.decide(blank(setting, now_s=0.0))
        for now_s in range(1, 200):
            cpu = np.full(6, 0.62)
            cpu[1] = level + 0.001 * now_s
            view = calm_view(
                setting,
                now_s=float(now_s),
                gauges={"cpu": cpu},
                scaling=frozenset({"cpu"}),
            )
            draft = rule.decide(view)
        assert ("eu-2" not in draft.slots[CHECKOUT].counts()) is drains
