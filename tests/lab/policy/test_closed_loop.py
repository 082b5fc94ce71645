from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.policy.closed_loop import ClosedLoop, admitted, excess_harm, met_by_work
from foreshard.lab.policy.program import Draft
from foreshard.lab.policy.setting import Setting
from foreshard.lab.policy.view import View, blank
from tests.lab.policy.stages import CHECKOUT, REPORT, SEARCH, calm_view, shop

RANK = np.array([0.0, 1.0, 2.0])


def slots_of(draft: Draft, cell: str) -> float:
    row = draft.slots[CHECKOUT]
    return row.counts().get(cell, 0) / row.slot_count


def harmed(setting: Setting, k: int, cell: int, ratio: float, *, now_s: float) -> View:
    view = calm_view(setting, now_s=now_s)
    slow = view.slow_ratio.copy()
    slow[k, cell] = ratio
    return replace(view, slow_ratio=slow)


def begun(setting: Setting) -> ClosedLoop:
    rule = ClosedLoop(setting)
    rule.decide(blank(setting, now_s=0.0))
    return rule


def test_nothing_changes_while_nobody_is_harmed() -> None:
    setting = shop()
    rule = begun(setting)
    first = rule.decide(calm_view(setting, now_s=1.0))
    assert all(rule.decide(calm_view(setting, now_s=2.0 + t)) is first for t in range(20))


def test_only_the_class_that_suffers_leaves() -> None:
    setting = shop()
    rule = begun(setting)
    draft = rule.decide(harmed(setting, SEARCH, 1, 0.6, now_s=1.0))
    assert draft.share[0, SEARCH, 1] < 0.08
    assert draft.share[0, REPORT, 1] == pytest.approx(1 / 6)
    assert slots_of(draft, "eu-2") == pytest.approx(1 / 6, abs=1e-3)


def test_keyed_work_leaves_as_well_and_the_less_the_smaller_the_harm() -> None:
    setting = shop()
    much = begun(setting).decide(harmed(setting, CHECKOUT, 1, 0.6, now_s=1.0))
    some = begun(setting).decide(harmed(setting, CHECKOUT, 1, 0.2, now_s=1.0))
    assert slots_of(much, "eu-2") < slots_of(some, "eu-2") < 0.15


def test_what_everybody_suffers_from_moves_nothing() -> None:
    setting = shop()
    rule = begun(setting)
    view = calm_view(setting, now_s=1.0)
    draft = rule.decide(replace(view, slow_ratio=np.full_like(view.slow_ratio, 0.5)))
    assert draft.share[0, SEARCH].tolist() == pytest.approx([1 / 6] * 6)


@given(st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6), st.integers(1, 30))
def test_no_class_loses_more_than_half_of_the_fleet(ratios: list[float], looks: int) -> None:
    setting = shop()
    rule = begun(setting)
    for look in range(looks):
        view = calm_view(setting, now_s=1.0 + look)
        slow = view.slow_ratio.copy()
        slow[SEARCH] = ratios
        rule.decide(replace(view, slow_ratio=slow))
    assert rule._trust.weight[SEARCH].mean() >= 0.5 - 1e-6
    assert (rule._trust.weight > 0.0).all()


def test_trust_comes_back_slowly_and_later_after_each_relapse() -> None:
    setting = shop()
    rule = begun(setting)

    def whole_after(now_s: float) -> float:
        rule.decide(harmed(setting, CHECKOUT, 1, 0.9, now_s=now_s))
        for waited in range(1, 200):
            rule.decide(calm_view(setting, now_s=now_s + waited))
            if rule._trust.weight[CHECKOUT, 1] >= 1.0:
                return float(waited)
        return float("inf")

    first = whole_after(1.0)
    second = whole_after(2.0 + first)
    assert 10.0 < first < second < 100.0


def test_a_dead_cell_loses_everything_at_once() -> None:
    setting = shop()
    down = np.array([False, True, False, False, False, False])
    draft = begun(setting).decide(calm_view(setting, now_s=1.0, is_down=down))
    assert slots_of(draft, "eu-2") == 0.0
    assert draft.share[0, SEARCH, 1] == 0.0


def test_a_cell_with_full_cpus_is_relieved_while_others_have_room() -> None:
    setting = shop()
    cpu = np.array([0.62, 1.0, 0.62, 0.62, 0.62, 0.62])
    draft = begun(setting).decide(calm_view(setting, now_s=1.0, gauges={"cpu": cpu}))
    assert slots_of(draft, "eu-2") < 0.16


def test_reports_are_shed_when_cpus_are_full_and_let_in_again_when_they_are_not() -> None:
    setting = shop()
    rule = begun(setting)
    draft = [rule.decide(calm_view(setting, now_s=float(t), cpu=0.99)) for t in range(1, 4)][-1]
    assert draft.shed is not None
    assert draft.shed[0, REPORT] == pytest.approx(1.0 - 0.3**3)
    assert draft.shed[0, SEARCH] == 0.0
    assert draft.share[0, REPORT].tolist() == pytest.approx([1 / 6] * 6)
    draft = [rule.decide(calm_view(setting, now_s=float(t), cpu=0.6)) for t in range(4, 40)][-1]
    assert draft.shed is not None
    assert draft.shed.max() == 0.0


@given(st.lists(st.floats(0.0, 1.3), min_size=1, max_size=60))
def test_nothing_important_is_shed_while_something_less_important_is_let_in(
    cpu: list[float],
) -> None:
    accept = np.ones(3)
    for used in cpu:
        accept = admitted(accept, RANK, used, passed_s=1.0)
        assert accept[CHECKOUT] == 1.0
        assert accept[SEARCH] == 1.0 or accept[REPORT] <= 0.05
        assert (accept >= 0.0).all()


def test_a_few_bad_requests_are_chance() -> None:
    total = np.full((1, 4), 20.0)
    assert excess_harm(np.array([[1.0, 0.0, 0.0, 0.0]]), total).max() == 0.0
    assert excess_harm(np.array([[4.0, 0.0, 0.0, 0.0]]), total)[0, 0] == pytest.approx(0.2)
    half = np.array([[10.0, 10.0, 0.0, 0.0]])
    assert excess_harm(half, total)[0].tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0])


def test_idle_cells_hide_no_overload() -> None:
    cpu = np.array([1.0, 1.0, 1.0, 1.0, 0.05, 0.05])
    assert met_by_work(cpu, np.ones(6)) == pytest.approx(0.977, abs=1e-3)
    assert np.isnan(met_by_work(np.full(2, np.nan), np.ones(2)))
    setting = shop()
    draft = begun(setting).decide(calm_view(setting, now_s=1.0, gauges={"cpu": cpu}))
    assert draft.shed is not None
    assert draft.shed[0, REPORT] > 0.0
    assert slots_of(draft, "eu-1") == pytest.approx(1 / 6, abs=1e-3)
