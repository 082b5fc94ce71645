from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab.scenario.scenario import Load, Scenario
from foreshard.lab.simulation.effects import Effects
from foreshard.lab.simulation.fluid.plant import FluidPlant
from foreshard.lab.simulation.plant import Counts, Fate, Ledger
from foreshard.lab.simulation.routing import Pick
from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet
from tests.lab.simulation.fluid_stand import (
    demanded,
    free,
    seconds,
    shop,
    sticky,
    still,
    without,
)

# The plant's kernels are compiled first, and a property that is cut short is shrunk for minutes.
pytestmark = pytest.mark.timeout(300)

CELLS = 6
TWO_ORIGINS = Load(swing_ratio=0.1, origins={"eu": 0.6, "us": 0.4}, client_retries=1)


def troubled(scenario: Scenario, draw: np.random.Generator) -> Effects:
    shape = (CELLS, len(scenario.offers))
    return replace(
        still(scenario),
        is_up=draw.random(CELLS) > 0.2,
        is_reachable=draw.random(CELLS) > 0.2,
        speed=draw.uniform(0.2, 1.0, CELLS),
        wait_s=draw.uniform(0.0, 1.0, shape) * (draw.random(shape) < 0.2),
        error_ratio=draw.uniform(0.0, 1.0, shape) * (draw.random(shape) < 0.2),
        stall_ratio=draw.uniform(0.0, 0.5, CELLS) * (draw.random(CELLS) < 0.3),
        connections=np.floor(draw.uniform(0.0, 48.0, CELLS)),
        demand=draw.uniform(0.0, 2.5, (len(scenario.origins), len(scenario.offers))),
        hot_ratio=0.3,
    )


def trouble(scenario: Scenario, seed: int, pick: Pick) -> tuple[Ledger, list[Counts]]:
    draw = np.random.default_rng(seed)
    plant, counts = FluidPlant(scenario, seed=seed), []
    plant.route(sticky(scenario) if pick is Pick.SLOTS else free(scenario, pick=pick))
    for turn in range(8):
        plant.advance(2.5 * (turn + 1), troubled(scenario, draw))
        counts.append(plant.count())
    return plant.close(), counts


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), pick=st.sampled_from(list(Pick)))
def test_whatever_happens_each_request_has_one_fate(seed: int, pick: Pick) -> None:
    scenario = shop(load=replace(TWO_ORIGINS, client_retries=0), duration_s=20.0)
    ledger, counts = trouble(scenario, seed, pick)
    arrived = np.sum([each.arrived for each in counts], axis=0)
    assert ledger.fates.sum(axis=(0, 3)) == pytest.approx(arrived, rel=1e-6)
    assert ledger.fates.min() >= 0.0
    good = ledger.fates[10:, :, :, [Fate.GOOD, Fate.SLOW]].sum()
    # Requests of the last second before the warm-up's end may count as later ones.
    assert ledger.latency.sum() == pytest.approx(good, rel=0.2, abs=100.0)
    for each in counts:
        assert all(np.isfinite(part).all() and part.min() >= -1e-6 for part in astuple(each))


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_clients_that_ask_again_are_no_new_requests(seed: int) -> None:
    scenario = shop(load=TWO_ORIGINS, duration_s=20.0)
    once = shop(load=replace(TWO_ORIGINS, client_retries=0), duration_s=20.0)
    again, _ = trouble(scenario, seed, Pick.SLOTS)
    alone, _ = trouble(once, seed, Pick.SLOTS)
    whole = alone.fates.sum(axis=(0, 3))
    assert again.fates.sum(axis=(0, 3)) == pytest.approx(whole, rel=1e-6)


def test_a_run_repeats_to_the_bit() -> None:
    scenario = shop(load=TWO_ORIGINS, duration_s=20.0)
    one, two = (trouble(scenario, 7, Pick.LEAST_REQUEST) for _ in range(2))
    for left, right in zip(astuple(one[0]), astuple(two[0]), strict=True):
        assert left.tobytes() == right.tobytes()


def test_the_same_requests_come_whatever_the_routing_and_the_looks() -> None:
    scenario, arrived = shop(), []
    for routing, every_s in ((free(scenario, pick=Pick.RANDOM), 1.0), (sticky(scenario), 0.7)):
        plant = FluidPlant(scenario, seed=3)
        plant.route(routing)
        for at_s in np.arange(every_s, 21.0, every_s).tolist():
            plant.advance(at_s, still(scenario))
        plant.advance(21.0, still(scenario))
        arrived.append(plant.count().arrived)
    assert arrived[0] == pytest.approx(arrived[1], rel=1e-9)


def test_arrivals_scatter_as_poisson_counts_do() -> None:
    scenario = shop()
    plant, counts = FluidPlant(scenario, seed=5), []
    plant.route(free(scenario))
    for second in range(100):
        plant.advance(second + 1.0, still(scenario))
        counts.append(plant.count().arrived.sum())
    rate = scenario.rate_rps()
    assert np.mean(counts) == pytest.approx(rate, rel=0.02)
    assert np.std(counts) == pytest.approx(np.sqrt(rate), rel=0.3)


def test_keys_of_a_dead_cell_move_two_to_four_seconds_after_its_death() -> None:
    scenario = shop()
    plant = FluidPlant(scenario, seed=1)
    plant.route(sticky(scenario))
    seconds(plant, 0.0, 10.0, still(scenario))
    failed = seconds(plant, 10.0, 20.0, without(scenario, 0))[:, 0, 0, 0]
    # Nobody was reached, so each is tried again, and until the owner is noticed to be dead it is
    # the owner that is asked.
    tries_rps = (1 + SafetyNet().retries) * 0.4 * scenario.rate_rps() / CELLS
    assert failed[:2] == pytest.approx(tries_rps, rel=0.4)
    assert failed[4:].max() < 1e-6


def test_keys_of_a_dead_cell_are_served_by_others_once_it_is_ejected() -> None:
    scenario = shop()
    plant = FluidPlant(scenario, seed=1)
    plant.route(sticky(scenario, ejects_keyed=True))
    seconds(plant, 0.0, 10.0, still(scenario))
    failed = seconds(plant, 10.0, 20.0, without(scenario, 0))[:, 0, 0, 0]
    # Five in a row, and what was under way meanwhile, each tried again.
    assert 5.0 <= failed[0] < 15.0
    assert failed[1:].sum() < 1.0


def test_keys_of_an_unreachable_cell_move_later() -> None:
    scenario = shop()
    plant = FluidPlant(scenario, seed=1)
    plant.route(sticky(scenario))
    seconds(plant, 0.0, 10.0, still(scenario))
    is_reachable = np.arange(CELLS) > 0
    gone = replace(still(scenario), is_reachable=is_reachable)
    failed = seconds(plant, 10.0, 20.0, gone)[:, 0, 0, 0]
    assert failed[1:5].min() > 10.0
    assert failed[9:].max() < 0.1


def test_free_traffic_leaves_a_dead_cell_at_once_and_comes_back_slowly() -> None:
    scenario = shop()
    plant, tries = FluidPlant(scenario, seed=1), []
    plant.route(free(scenario))
    for second in range(60):
        effects = without(scenario, 0) if 20 <= second < 30 else still(scenario)
        plant.advance(second + 1.0, effects)
        tries.append(plant.count().tries[0, :, :].sum(axis=1))
    share = np.array([each[0] / each.sum() for each in tries])
    assert share[21:30].max() < 0.01
    assert share[33] < 0.8 / CELLS
    assert share[50:] == pytest.approx(1.0 / CELLS, rel=0.35)


@pytest.mark.parametrize("pick", [Pick.LEAST_REQUEST, Pick.TWO_CHOICES, Pick.PREQUAL])
def test_a_slow_cell_gets_less_from_whoever_looks(pick: Pick) -> None:
    scenario = shop()
    plant = FluidPlant(scenario, seed=1)
    plant.route(free(scenario, pick=pick))
    speed = np.where(np.arange(CELLS) == 0, 0.4, 1.0)
    plant.advance(10.0, still(scenario))
    plant.count()
    plant.advance(40.0, replace(still(scenario), speed=speed))
    seen = plant.count()
    share = seen.tries[0].sum(axis=1) / seen.tries.sum()
    assert 0.02 < share[0] < 0.75 / CELLS
    assert share[1:] == pytest.approx(share[1:].mean(), rel=0.1)


def test_a_cell_that_fails_half_of_its_requests_is_left_out_and_tried_again() -> None:
    scenario = shop()
    error_ratio = np.zeros((CELLS, 3))
    error_ratio[0] = 0.5
    plant, tries = FluidPlant(scenario, seed=1), []
    plant.route(free(scenario))
    for second in range(30):
        plant.advance(second + 1.0, replace(still(scenario), error_ratio=error_ratio))
        tries.append(plant.count().tries[0, :, 1])
    share = np.array([each[0] / each.sum() for each in tries])
    assert share.mean() < 0.4 / CELLS
    assert share[5:].max() > 0.01


def test_as_much_is_shed_as_was_said() -> None:
    scenario = shop()
    plant = FluidPlant(scenario, seed=1)
    plant.route(free(scenario, shed=(0.0, 0.25, 1.0)))
    plant.advance(30.0, still(scenario))
    seen = plant.count()
    assert seen.shed[0] == pytest.approx(seen.arrived[0] * [0.0, 0.25, 1.0], rel=1e-9)
    fates = plant.close().fates.sum(axis=(0, 1))
    assert fates[:, Fate.SHED] == pytest.approx(seen.shed[0], rel=1e-9)


def test_a_new_routing_holds_after_the_control_delay() -> None:
    scenario = shop(control_delay_s=1.0)
    plant = FluidPlant(scenario, seed=1)
    plant.route(free(scenario))
    plant.advance(5.0, still(scenario))
    plant.count()
    plant.route(free(scenario, shed=(1.0, 1.0, 1.0)))
    plant.advance(6.0, still(scenario))
    assert plant.count().shed.sum() == 0.0
    plant.advance(7.0, still(scenario))
    seen = plant.count()
    assert seen.shed.sum() == pytest.approx(seen.arrived.sum())


def test_cold_keys_cost_once() -> None:
    scenario = shop()
    plant, cold_s = FluidPlant(scenario, seed=1), []
    plant.route(sticky(scenario))
    for second in range(100):
        plant.advance(second + 1.0, still(scenario))
        seen = plant.count()
        cold_s.append(seen.latency_s[0, :, 0].sum() / seen.tries[0, :, 0].sum())
    assert cold_s[0] > 0.06
    assert cold_s[-1] < 0.03
    # Each of 4,000 keys is asked for every 22 s.
    assert cold_s[22] - cold_s[-1] == pytest.approx(0.06 * np.exp(-1.0), rel=0.25)


def test_a_surge_is_seen_as_it_comes() -> None:
    scenario = shop()
    plant = FluidPlant(scenario, seed=1)
    plant.route(free(scenario))
    plant.advance(10.0, still(scenario))
    before = plant.count().arrived[0, 2]
    plant.advance(20.0, demanded(scenario, 1.0, 1.0, 3.0))
    assert plant.count().arrived[0, 2] == pytest.approx(3.0 * before, rel=0.15)


def test_the_plant_refuses_to_go_back_and_to_begin_without_a_routing() -> None:
    scenario = shop()
    plant = FluidPlant(scenario, seed=1)
    with pytest.raises(LabError, match="route"):
        plant.advance(1.0, still(scenario))
    plant.route(free(scenario))
    plant.advance(2.0, still(scenario))
    with pytest.raises(LabError, match="cannot go back"):
        plant.advance(1.0, still(scenario))
