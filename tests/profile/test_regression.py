from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from foreshard.lab.pricing import Pricing, seconds
from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.profile.book import read_costs
from foreshard.profile.identity import Told, tell
from foreshard.profile.regression import (
    CostState,
    base,
    precision,
    start_costs,
    take_reports,
    update_costs,
)
from foreshard.profile.shift import Shift
from foreshard.profile.typical import typical_cost

COSTS = np.array([[0.003], [0.012], [0.02], [0.08], [0.2]])
RATES = np.array([60.0, 40.0, 30.0, 8.0, 3.0])
SEEDS = (1, 2, 3)
FLEET = Pricing(costs=COSTS, cells=10, rate_rps=RATES)


def watched(
    pricing: Pricing,
    seed: int,
    *,
    span_s: int = 600,
    unheard: Mapping[int, int] | None = None,
    odd: float = 1.0,
) -> tuple[CostState, list[tuple[float, Shift]]]:
    """The state after a span, and what was noticed.

    `unheard`: by cell, since when; `odd`: times as much that all cells say in one second.
    """
    sort = np.unique(pricing.hardware, return_inverse=True)[1] if pricing.hardware.size else None
    state = start_costs(
        cells=pricing.cells,
        classes=len(pricing.costs),
        resources=pricing.costs.shape[1],
        hardware=sort,
    )
    noticed = []
    for second in seconds(pricing, seed=seed, span_s=span_s):
        used = second.used * (odd if second.t_s == span_s // 2 else 1.0)
        for cell, since_s in (unheard or {}).items():
            used[cell] = np.nan if second.t_s >= since_s else used[cell]
        state, found = read_costs(state, second.rates, used, dt_s=1.0)
        noticed += [(second.t_s, each) for each in found]
    return state, noticed


def told(state: CostState, r: int = 0) -> Told:
    inverse, pull = precision(state)
    typical = float(typical_cost(state.mean_rates, state.mean_used)[r])
    return tell(inverse[r], pull[r], state.mean_rates.mean(axis=0), typical=typical)


def error(state: CostState, pricing: Pricing, span_s: float = 600.0) -> float:
    return float(np.median(np.abs(state.costs / pricing.at(span_s) - 1.0)))


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_tell_costs_within_a_tenth(seed: int) -> None:
    state, noticed = watched(FLEET, seed)
    assert error(state, FLEET) < 0.1
    assert noticed == []
    assert not told(state).groups
    np.testing.assert_array_less(told(state).low, told(state).high)


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_readings_and_large_idle_use_change_little(seed: int) -> None:
    pricing = replace(FLEET, broken_ratio=0.05, base_ratio=1.0)
    state, noticed = watched(pricing, seed)
    assert error(state, pricing) < 0.1
    assert noticed == []


@pytest.mark.parametrize("odd", [10.0, 1e3])
def test_one_second_in_which_all_cells_are_wrong_changes_little(odd: float) -> None:
    state, noticed = watched(FLEET, 1, odd=odd)
    assert error(state, FLEET) < 0.1
    assert noticed == []


@pytest.mark.parametrize("seed", SEEDS)
def test_use_that_is_counted_half_a_second_late_is_still_told(seed: int) -> None:
    pricing = replace(FLEET, late_ratio=0.5)
    state, noticed = watched(pricing, seed)
    assert error(state, pricing) < 0.1
    assert noticed == []


@pytest.mark.parametrize("seed", SEEDS)
def test_costs_that_drift_are_followed(seed: int) -> None:
    pricing = replace(FLEET, drift_per_s=np.array([0.2, -0.1, 0.2, 0.2, 0.2]) / 600.0)
    state, noticed = watched(pricing, seed)
    assert error(state, pricing) < 0.15
    assert noticed == []


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_cost_that_triples_is_noticed_within_two_minutes(k: int) -> None:
    pricing = replace(FLEET, changes={k: (400.0, 3.0)})
    state, noticed = watched(pricing, k)
    at_s, shift = noticed[0]
    assert 400.0 <= at_s <= 520.0
    assert shift.k == k
    assert state.costs[k, 0] == pytest.approx(3.0 * COSTS[k, 0], rel=0.2)
    assert len(noticed) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_one_ailing_cell_is_no_change_of_cost(seed: int) -> None:
    pricing = FLEET
    state = start_costs(cells=10, classes=5, resources=1)
    noticed: list[Shift] = []
    for second in seconds(pricing, seed=seed, span_s=500):
        used = second.used
        used[4] *= 1.0 + min(max(second.t_s - 300.0, 0.0) / 100.0, 0.8)
        state, found = read_costs(state, second.rates, used, dt_s=1.0)
        noticed += found
    assert noticed == []
    assert error(state, pricing) < 0.1


def test_idle_use_is_told_from_work() -> None:
    state, _ = watched(replace(FLEET, base_ratio=1.0), 1)
    true = float(RATES @ COSTS[:, 0])
    idle = base(state)[:, 0]
    assert np.all((idle > 0.35 * true) & (idle < 1.65 * true))


def test_slower_hardware_is_told_from_dearer_requests() -> None:
    hardware = np.where(np.arange(10) < 6, 1.0, 1.6)
    pricing = replace(FLEET, hardware=hardware)
    state, _ = watched(pricing, 2)
    assert state.scale[1, 0] / state.scale[0, 0] == pytest.approx(1.6, rel=0.05)


def test_classes_whose_rates_move_together_are_one_cost_and_named() -> None:
    state, _ = watched(replace(FLEET, together=((1, 3),)), 1)
    found = told(state)
    ((group, cost, low, high),) = found.groups
    joint = float(RATES[[1, 3]] @ COSTS[[1, 3], 0] / RATES[[1, 3]].sum())
    assert group == (1, 3)
    assert cost == pytest.approx(joint, rel=0.1)
    assert low < cost < high
    assert np.isnan(found.cost[[1, 3]]).all()
    # What one of them may cost at most covers the truth.
    assert np.all(found.high[[1, 3]] >= COSTS[[1, 3], 0])
    np.testing.assert_allclose(found.cost[[2, 4]], COSTS[[2, 4], 0], rtol=0.15)


def test_two_pairs_are_two_groups_and_three_are_one() -> None:
    state, _ = watched(replace(FLEET, together=((1, 3), (0, 2))), 1)
    assert [g[0] for g in told(state).groups] == [(0, 2), (1, 3)]
    state, _ = watched(replace(FLEET, together=((1, 3, 4),)), 1)
    assert [g[0] for g in told(state).groups] == [(1, 3, 4)]


def test_a_class_that_is_hardly_asked_for_is_called_rare_and_spoils_no_other() -> None:
    rates = np.array([60.0, 40.0, 30.0, 8.0, 0.01])
    state, _ = watched(replace(FLEET, rate_rps=rates), 1)
    found = told(state)
    assert found.rare == (4,)
    assert np.isnan(found.cost[4])
    np.testing.assert_allclose(found.cost[1:4], COSTS[1:4, 0], rtol=0.15)


def test_before_anything_was_heard_nothing_is_known_and_nothing_breaks() -> None:
    state = start_costs(cells=10, classes=5, resources=1)
    silent = np.full((10, 5), np.nan)
    for _ in range(3):
        state, _ = read_costs(state, silent, np.full((10, 1), np.nan), dt_s=1.0)
    assert np.isnan(told(state).cost).all()
    assert told(state).rare == (0, 1, 2, 3, 4)


def test_what_requests_report_tells_collinear_classes_apart() -> None:
    state, _ = watched(replace(FLEET, together=((1, 3),)), 1)
    mean = np.full((5, 1), np.nan)
    mean[3] = 0.08
    state = take_reports(state, mean, np.full((5, 1), 400.0), np.full((5, 1), 0.04))
    assert not told(state).groups
    np.testing.assert_allclose(told(state).cost[[1, 3]], COSTS[[1, 3], 0], rtol=0.25)


def test_a_silent_cell_is_no_cell_without_work() -> None:
    state, noticed = watched(FLEET, 1, unheard={0: 200, 1: 200, 2: 200})
    assert error(state, FLEET) < 0.05
    assert noticed == []
    before = state
    silent = np.full((10, 5), np.nan)
    after, found = read_costs(state, silent, np.full((10, 1), np.nan), dt_s=1.0)
    assert found == ()
    np.testing.assert_array_equal(before.mean_rates, after.mean_rates)
    np.testing.assert_allclose(before.costs, after.costs, rtol=0.05)


def test_ranges_hold_the_truth_about_as_often_as_they_say() -> None:
    hits = []
    for seed in range(8):
        found = told(watched(FLEET, seed, span_s=300)[0])
        hits += ((found.low <= COSTS[:, 0]) & (COSTS[:, 0] <= found.high)).tolist()
    assert np.mean(hits) > 0.8


def test_bad_shapes_are_refused() -> None:
    state = start_costs(cells=2, classes=3, resources=1)
    with pytest.raises(ForecastError, match=r"rates \(1, 3\)"):
        update_costs(state, np.zeros((1, 3)), np.zeros((2, 1)), dt_s=1.0)
    with pytest.raises(ForecastError, match=r"dt_s 0\.0"):
        update_costs(state, np.zeros((2, 3)), np.zeros((2, 1)), dt_s=0.0)
    with pytest.raises(InvalidValueError, match="hardware has shape"):
        start_costs(cells=2, classes=3, resources=1, hardware=np.zeros(3, dtype=np.int64))


def test_a_cell_that_uses_nothing_is_not_believed_above_all_others() -> None:
    state = start_costs(cells=10, classes=5, resources=1)
    for second in seconds(FLEET, seed=1, span_s=600):
        rates, used = second.rates.copy(), second.used.copy()
        # It has just begun: a gauge that stands at nothing, and hardly a request.
        rates[0], used[0] = [0.2 * (second.t_s % 7), 0.0, 0.0, 0.0, 0.0], 0.0
        state, _ = read_costs(state, rates, used, dt_s=1.0)
        assert np.isfinite(state.costs).all()
    assert error(state, FLEET) < 0.1


@pytest.mark.parametrize("level", [0.0, 1e-9, 3e8])
def test_gauges_that_stand_still_break_nothing(level: float) -> None:
    state = start_costs(cells=3, classes=3, resources=1)
    draw = np.random.default_rng(1)
    for _ in range(100):
        rates = draw.poisson([[1.0, 0.0, 0.0], [15.0, 16.0, 3.0], [13.0, 16.0, 3.0]]).astype(float)
        used = np.full((3, 1), level)
        used[1:] *= draw.uniform(0.9, 1.1, (2, 1))
        state, _ = read_costs(state, rates, used, dt_s=1.0)
        assert np.isfinite(state.costs).all()
        assert told(state).cost.shape == (3,)
