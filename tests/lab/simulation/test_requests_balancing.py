"""What proxies do by themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from foreshard.adapters.routing.envoy.endpoints import node_weights
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.lab.scenario.scenario import CellMake, Offer, Scenario
from foreshard.lab.simulation.effects import Effects
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.requests.core import RequestPlant
from foreshard.lab.simulation.requests.steering import pulls
from foreshard.lab.simulation.routing import Pick
from foreshard.model.safety_net import SafetyNet
from foreshard.model.workload import OwnedData
from tests.lab.simulation.worlds import NO_EJECTION, offer, play, program, scenario, well

# The first test in a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)

NET = SafetyNet()


def light(*, retriable: bool = False, keyed: bool = False) -> Offer:
    """At 500 a second hardly one is ever under way."""
    plain = offer(0.0001)
    of = replace(
        plain.request_class,
        retriable=retriable,
        key_header="x-key" if keyed else "",
        timeout_s=2e6,
    )
    return replace(plain, request_class=of)


def five_hundred(
    what: Offer,
    *,
    cells: int = 3,
    duration_s: float = 10.0,
    keys: int = 4_000,
    **changes: object,
) -> Scenario:
    load = {"utilisation": 500.0 * 0.0001 / cells, "keys": keys}
    made = scenario(what, cells=cells, duration_s=duration_s, load=load)
    return replace(made, **cast("dict[str, Any]", changes))


def begun(of: Scenario, **routing: object) -> RequestPlant:
    plant = RequestPlant(of, seed=1)
    plant.route(program(of, **cast("dict[str, Any]", routing)))
    return plant


def failing(of: Scenario, count: int = 1) -> Effects:
    ratio = np.zeros((len(of.sites), len(of.offers)))
    ratio[:count] = 1.0
    return well(of, error_ratio=ratio)


def errors(*, retriable: bool, net: SafetyNet, to_s: float = 4.0) -> tuple[float, float]:
    """Failed requests and all of them while one cell of three answers 503."""
    of = five_hundred(light(retriable=retriable))
    plant = begun(of, pick=Pick.LEAST_REQUEST, net=net)
    play(plant, failing(of), from_s=0.0, to_s=to_s)
    fates = plant.ledger().fates.sum(axis=(0, 1, 2))
    return float(fates[Fate.FAILED]), float(fates.sum())


def test_alone_least_request_loses_a_third_to_a_cell_that_fails_at_once() -> None:
    failed, asked = errors(retriable=False, net=NO_EJECTION)
    assert 0.3 < failed / asked < 0.4


def test_outlier_detection_ejects_it_after_five_errors() -> None:
    failed, _ = errors(retriable=False, net=NET)
    assert failed == NET.consecutive_5xx


def test_five_errors_at_five_hundred_a_second_take_about_thirty_milliseconds() -> None:
    of = five_hundred(light())
    plant = begun(of, pick=Pick.LEAST_REQUEST, net=NET)
    plant.advance(0.06, failing(of))
    assert plant.count().failed.sum() == NET.consecutive_5xx


def test_with_retries_no_error_is_seen() -> None:
    failed, asked = errors(retriable=True, net=NET)
    assert failed == 0.0
    assert asked > 1_900


@pytest.mark.parametrize("pick", [Pick.LEAST_REQUEST, Pick.SLOTS])
def test_what_may_be_asked_once_is_asked_elsewhere_while_nobody_was_reached(pick: Pick) -> None:
    of = five_hundred(light(keyed=pick == Pick.SLOTS), duration_s=8.0)
    plant = begun(of, pick=pick, net=NET)
    play(plant, well(of), from_s=0.0, to_s=2.0)
    play(plant, well(of, is_up=np.array([False, True, True])), from_s=2.0, to_s=8.0)
    failed = plant.close().fates[..., Fate.FAILED].sum()
    # The first key spends all its tries at its home; they count against it.
    assert failed <= (0 if pick == Pick.LEAST_REQUEST else 2)


def test_an_ejection_ends_and_the_next_one_is_longer() -> None:
    of = five_hundred(light(), duration_s=40.0)
    plant = begun(of, pick=Pick.LEAST_REQUEST, net=NET)
    play(plant, failing(of), from_s=0.0, to_s=40.0)
    bad = plant.close().fates[..., Fate.FAILED].sum(axis=(1, 2))
    began = np.flatnonzero(bad)
    # 5, 10, 15 s, each ending with a judgement, once a second.
    assert began[0] == 0
    assert began[1] in {5, 6}
    assert began[2] - began[1] in {10, 11}
    assert (bad[began[:3]] == NET.consecutive_5xx).all()


def test_no_more_than_half_of_the_cells_are_ejected() -> None:
    of = five_hundred(light(), cells=6)
    plant = begun(of, pick=Pick.LEAST_REQUEST, net=NET)
    play(plant, failing(of, count=6), from_s=0.0, to_s=2.0)
    plant.count()
    play(plant, failing(of, count=6), from_s=2.0, to_s=3.0)
    used = plant.count().tries[0, :, 0] > 0.0
    assert used.sum() == 3


def test_a_cell_that_fails_too_large_a_share_is_ejected_by_the_ratio() -> None:
    of = five_hundred(light(), duration_s=4.0)
    plant = begun(of, pick=Pick.LEAST_REQUEST, net=replace(NET, consecutive_5xx=10**9))
    ratio = np.array([[0.5], [0.0], [0.0]])
    play(plant, well(of, error_ratio=ratio), from_s=0.0, to_s=4.0)
    bad = plant.close().fates[..., Fate.FAILED].sum(axis=(1, 2))
    assert bad[:2].sum() > 20.0
    assert bad[2:].sum() == 0.0


def test_retries_stay_within_their_budget() -> None:
    of = five_hundred(light(retriable=True), duration_s=5.0)
    net = replace(NO_EJECTION, retry_budget_minimum=1, backoff_base_s=0.2, backoff_max_s=0.2)
    plant = begun(of, pick=Pick.RANDOM, net=net)
    play(plant, failing(of, count=3), from_s=0.0, to_s=5.0)
    counts = plant.count()
    # One under way at a time, for a tenth of a second in the mean.
    assert counts.tries.sum() - counts.arrived.sum() == pytest.approx(50.0, abs=25.0)


def test_without_ejection_keys_fail_over_two_to_four_seconds_after_a_death() -> None:
    of = five_hundred(light(keyed=True), cells=4, duration_s=40.0, keys=1)
    plant = begun(of, pick=Pick.SLOTS, net=replace(NET, ejects_keyed=False))
    play(plant, well(of), from_s=0.0, to_s=10.0)
    before = plant.count().tries[0, :, 0]
    home = int(before.argmax())
    assert before[home] == before.sum()
    up = np.arange(4) != home
    play(plant, well(of, is_up=up), from_s=10.0, to_s=20.0)
    failed = plant.count().failed.sum()
    assert 2.0 * 450.0 < failed < 4.0 * 550.0
    play(plant, well(of, is_up=up), from_s=20.0, to_s=21.0)
    away = plant.count()
    assert away.is_noticed[0, home] == 0.0
    assert away.failed.sum() == 0.0
    assert (away.tries[0, :, 0] > 0.0).sum() == 1
    play(plant, well(of), from_s=21.0, to_s=25.0)
    plant.count()
    play(plant, well(of), from_s=25.0, to_s=26.0)
    assert plant.count().tries[0, home, 0] > 400.0


def test_keys_of_a_dead_cell_are_spread_over_its_backups() -> None:
    of = five_hundred(light(keyed=True), cells=4, keys=4_000)
    plant = begun(of, pick=Pick.SLOTS, net=NET)
    play(plant, well(of), from_s=0.0, to_s=1.0)
    up = np.array([False, True, True, True])
    play(plant, well(of, is_up=up), from_s=1.0, to_s=6.0)
    plant.count()
    play(plant, well(of, is_up=up), from_s=6.0, to_s=10.0)
    tries = plant.count().tries[0, :, 0]
    assert tries[0] == 0.0
    assert tries[1:] / tries.sum() == pytest.approx(np.full(3, 1.0 / 3.0), abs=0.05)


def test_an_owner_that_fails_in_a_row_is_ejected_and_its_keys_are_served_by_others() -> None:
    of = five_hundred(light(keyed=True), cells=4, duration_s=20.0)
    plant = begun(of, pick=Pick.SLOTS, net=NET)
    play(plant, failing(of), from_s=0.0, to_s=4.0)
    counts = plant.count()
    assert counts.failed.sum() == NET.consecutive_5xx
    assert counts.tries[0, 0, 0] == NET.consecutive_5xx
    play(plant, well(of), from_s=4.0, to_s=8.0)
    plant.count()
    play(plant, well(of), from_s=8.0, to_s=12.0)
    tries = plant.count().tries[0, :, 0]
    assert tries / tries.sum() == pytest.approx(np.full(4, 0.25), abs=0.05)


def test_an_owner_of_data_is_left_to_health_checks() -> None:
    of = light(keyed=True)
    bound = replace(
        of, request_class=replace(of.request_class, data=OwnedData(replicas={"eu-0": ("eu-1",)}))
    )
    world = five_hundred(bound, cells=4, duration_s=5.0)
    plant = begun(world, pick=Pick.SLOTS, net=NET)
    play(plant, failing(world), from_s=0.0, to_s=4.0)
    counts = plant.count()
    assert counts.failed[0, 0, 0] == counts.tries[0, 0, 0] > 300.0


def test_slots_have_their_keys_and_a_slot_of_nobodys_is_shed() -> None:
    of = five_hundred(light(keyed=True), cells=4)
    routing = program(of, pick=Pick.SLOTS)
    routing.slots[:, :, ::4] = -1
    plant = RequestPlant(of, seed=1)
    plant.route(routing)
    play(plant, well(of), from_s=0.0, to_s=10.0)
    counts = plant.count()
    assert counts.shed.sum() / counts.arrived.sum() == pytest.approx(0.25, abs=0.03)
    assert counts.tries[0, 0, 0] == 0.0
    assert counts.tries[0, 1:, 0] / counts.arrived.sum() == pytest.approx(
        np.full(3, 0.25), abs=0.03
    )


@pytest.mark.parametrize("pick", [p for p in Pick if p is not Pick.SLOTS])
def test_what_is_shed_is_what_is_told(pick: Pick) -> None:
    of = five_hundred(light(), duration_s=20.0)
    plant = begun(of, pick=pick, shed=0.3)
    play(plant, well(of), from_s=0.0, to_s=20.0)
    counts = plant.count()
    assert counts.shed.sum() / counts.arrived.sum() == pytest.approx(0.3, abs=0.02)
    fates = plant.close().fates.sum(axis=(0, 1, 2))
    assert fates[Fate.SHED] == counts.shed.sum()
    assert fates[Fate.FAILED] == 0.0


@pytest.mark.parametrize("pick", [Pick.RANDOM, Pick.LEAST_REQUEST])
def test_uneven_weights_are_followed(pick: Pick) -> None:
    of = scenario(offer(0.01), cells=3, duration_s=30.0, load={"utilisation": 0.5})
    plant = begun(of, pick=pick, weight=[0.6, 0.4, 0.0])
    play(plant, well(of, speed=np.full(3, 3.0)), from_s=0.0, to_s=30.0)
    tries = plant.count().tries[0, :, 0]
    assert tries[2] == 0.0
    assert tries[0] / tries.sum() == pytest.approx(0.6, abs=0.05)


def test_weights_are_told_as_the_renderer_tells_them() -> None:
    shares = np.array([[0.5, 0.3, 0.2, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 0.0]])
    told = pulls(shares)
    for row, weights in zip(shares[:2], told[:2], strict=True):
        names = {f"cell-{n}": share for n, share in enumerate(row) if share > 0.0}
        expected = node_weights(names, EnvoySettings(listen_port=1))
        assert weights[row > 0.0].tolist() == list(expected.values())
    assert (told[shares == 0.0] == 0.0).all()


@pytest.mark.parametrize("pick", [Pick.LEAST_REQUEST, Pick.TWO_CHOICES, Pick.PREQUAL])
def test_a_cell_that_is_slow_gets_less(pick: Pick) -> None:
    of = scenario(offer(0.01), cells=4, duration_s=30.0, load={"utilisation": 0.6})
    plant = begun(of, pick=pick)
    play(plant, well(of, speed=np.array([0.3, 1.0, 1.0, 1.0])), from_s=0.0, to_s=30.0)
    tries = plant.count().tries[0, :, 0]
    assert tries[0] < 0.6 * tries[1:].mean()


def test_a_cell_that_returns_starts_slowly() -> None:
    of = five_hundred(light(), duration_s=60.0)
    plant = begun(of, pick=Pick.LEAST_REQUEST, net=NET)
    play(plant, well(of, is_up=np.array([False, True, True])), from_s=0.0, to_s=10.0)
    plant.count()
    shares = []
    for second in range(10, 30, 4):
        play(plant, well(of), from_s=float(second), to_s=second + 4.0)
        tries = plant.count().tries[0, :, 0]
        shares.append(tries[0] / tries.sum())
    assert shares[0] < 0.12
    assert shares[0] < shares[1] < shares[2]
    assert shares[-1] == pytest.approx(1.0 / 3.0, abs=0.05)


def test_each_proxy_follows_a_new_program_within_the_control_delay() -> None:
    of = five_hundred(light(), duration_s=20.0, proxies=2, control_delay_s=2.0)
    plant = begun(of, weight=[1.0, 0.0, 0.0])
    play(plant, well(of), from_s=0.0, to_s=2.0)
    plant.route(program(of, weight=[0.0, 1.0, 0.0]))
    moved = []
    for n in range(6):
        play(plant, well(of), from_s=2.0 + 0.5 * n, to_s=2.5 + 0.5 * n)
        tries = plant.count().tries[0, :, 0]
        moved.append(tries[1] / tries.sum())
    assert moved[:3] == [0.0, 0.0, 0.0]
    assert moved[3] == pytest.approx(0.5, abs=0.15)
    assert moved[4] > 0.98
    assert moved[5] == 1.0


def bad_share(pick: Pick, load: float) -> float:
    """As in the paper: replicas of one allocation, most of which find spare room beside it."""
    quick = offer(0.02)
    of = replace(quick, request_class=replace(quick.request_class, objective_s=0.5, timeout_s=2.0))
    make = CellMake(cpus=3, connections=256, backlog=256, service_cv=1.0)
    lab = scenario(of, cells=12, make=make, load={"utilisation": load}, duration_s=40.0, proxies=4)
    speed = np.where(np.arange(12) % 3 == 0, 1.0, 2.4)
    plant = begun(lab, pick=pick)
    play(plant, well(lab, speed=speed), from_s=0.0, to_s=40.0)
    fates = plant.close().fates[5:].sum(axis=(0, 1, 2))
    return float(1.0 - fates[Fate.GOOD] / fates.sum())


@pytest.mark.parametrize("load", [0.8, 1.3, 1.7])
def test_prequal_stays_sane_up_to_almost_twice_the_allocation(load: float) -> None:
    assert bad_share(Pick.PREQUAL, load) < 0.01


def test_even_weights_collapse_where_a_replica_has_no_more_than_its_allocation() -> None:
    assert bad_share(Pick.RANDOM, 0.8) < 0.01
    assert bad_share(Pick.RANDOM, 1.3) > 0.2
    assert bad_share(Pick.RANDOM, 1.7) > 0.3
