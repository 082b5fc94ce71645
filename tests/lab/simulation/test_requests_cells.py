"""Limits, deaths and what callers get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab.scenario.scenario import SHOP, CellMake, Discipline, Offer, Scenario
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Counts, Fate
from foreshard.lab.simulation.requests.core import RequestPlant
from foreshard.lab.simulation.routing import Pick
from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet
from tests.lab.simulation.worlds import offer, play, program, scenario, well

# The first test in a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)


def limited(plain: Offer, **changes: object) -> Offer:
    return replace(
        plain, request_class=replace(plain.request_class, **cast("dict[str, Any]", changes))
    )


def begun(of: Scenario, **routing: object) -> RequestPlant:
    plant = RequestPlant(of, seed=1)
    plant.route(program(of, **cast("dict[str, Any]", routing)))
    return plant


def seen(of: Scenario, *, to_s: float = 10.0, **effects: object) -> Counts:
    plant = begun(of)
    play(plant, well(of, **effects), from_s=0.0, to_s=to_s)
    return plant.count()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1_000),
    pick=st.sampled_from(list(Pick)),
    discipline=st.sampled_from(list(Discipline)),
    load=st.floats(0.2, 1.6),
    client_retries=st.integers(0, 2),
    around=st.tuples(st.integers(1, 3), st.sampled_from([0.0, 40.0])),
    downs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12),
)
def test_every_request_ends_in_one_way_whatever_befalls_the_cells(
    seed: int,
    pick: Pick,
    discipline: Discipline,
    load: float,
    client_retries: int,
    around: tuple[int, float],
    downs: list[tuple[int, int]],
) -> None:
    of = scenario(
        *SHOP,
        cells=4,
        duration_s=6.0,
        make=CellMake(discipline=discipline),
        load={"utilisation": load, "client_retries": client_retries},
        latency_ms={("eu", "eu"): around[1]},
        proxies=around[0],
    )
    plant = RequestPlant(of, seed=seed)
    plant.route(program(of, pick=pick, shed=0.1, net=SafetyNet()))
    arrived = 0.0
    up, reachable = np.ones(4, dtype=np.bool_), np.ones(4, dtype=np.bool_)
    for n in range(12):
        for cell, what in downs[n : n + 1]:
            up[cell] ^= what != 1
            reachable[cell] ^= what != 0
        effects = well(of, is_up=up.copy(), is_reachable=reachable.copy())
        play(plant, effects, from_s=0.5 * n, to_s=0.5 * (n + 1))
        counts = plant.count()
        arrived += counts.arrived.sum()
        assert (counts.in_flight >= 0.0).all()
        assert (counts.inside <= of.make.connections).all()
        assert (counts.inside + counts.waiting <= of.make.backlog).all()
        assert (counts.busy_s <= 0.5 * of.make.cpus + 1e-9).all()
        assert ((counts.is_noticed >= 0.0) & (counts.is_noticed <= 1.0)).all()
    fates = plant.close().fates
    arrived += plant.count().arrived.sum()
    twin = RequestPlant(of, seed=seed)
    play(twin, well(of), from_s=0.0, to_s=of.duration_s)
    assert (fates.sum(axis=3) == twin.close().fates.sum(axis=3)).all()
    assert fates.sum() == arrived if client_retries == 0 else fates.sum() <= arrived
    assert (plant.count().in_flight == 0.0).all()


def test_more_than_the_backlog_are_refused_at_once() -> None:
    make = CellMake(cpus=1, connections=8, backlog=8, service_cv=1.0)
    of = scenario(offer(0.1), make=make, load={"utilisation": 4.0}, duration_s=60.0)
    counts = seen(of, to_s=60.0)
    # As in M/M/1/8: all but the share p0 of the cpu is used.
    rho, room = 4.0, 8
    full = (1.0 - rho) * rho**room / (1.0 - rho ** (room + 1))
    assert counts.failed.sum() / counts.tries.sum() == pytest.approx(full, abs=0.03)
    assert counts.inside[0] <= 8


def test_a_connection_is_waited_for_and_not_for_longer_than_is_said() -> None:
    make = CellMake(cpus=1, connections=1, pool_wait_s=0.5, backlog=256, service_cv=0.1)
    of = scenario(offer(0.2), make=make, load={"utilisation": 2.0}, duration_s=60.0)
    counts = seen(of, to_s=60.0)
    good = counts.tries.sum() - counts.failed.sum()
    assert good / 60.0 == pytest.approx(5.0, rel=0.05)
    assert counts.waiting[0] <= 8
    assert counts.latency_s.sum() / counts.tries.sum() < 0.5 + 0.25


def test_with_fewer_connections_fewer_are_inside() -> None:
    of = scenario(
        offer(0.001, dependency="index", dependency_s=0.5),
        make=CellMake(cpus=3, connections=48),
        load={"utilisation": 0.1},
    )
    assert seen(of).inside[0] > 40
    assert seen(of, connections=np.array([4.0])).inside[0] == 4


def test_without_any_connection_all_who_wait_are_refused() -> None:
    of = scenario(offer(0.01), make=CellMake(pool_wait_s=0.3))
    counts = seen(of, connections=np.array([0.0]))
    assert counts.tries.sum() > 0.0
    assert counts.failed.sum() == counts.tries.sum()
    assert counts.latency_s.sum() == pytest.approx(0.3 * counts.tries.sum())


def test_what_a_class_waits_for_adds_to_its_time_and_not_to_the_cpu() -> None:
    of = scenario(
        offer(0.001, dependency="index", dependency_s=0.04),
        load={"utilisation": 0.1},
        duration_s=100.0,
    )
    plain = seen(of, to_s=100.0)
    slow = seen(of, to_s=100.0, wait_s=np.full((1, 1), 0.1))
    lossy = seen(of, to_s=100.0, stall_ratio=np.full(1, 0.5))
    took = [c.latency_s.sum() / c.tries.sum() for c in (plain, slow, lossy)]
    assert took[0] == pytest.approx(0.04 + 0.001 / 0.9, rel=0.03)
    assert took[1] - took[0] == pytest.approx(0.1, rel=0.02)
    # One half once, a quarter twice ...: one stall in the mean.
    assert took[2] - took[0] == pytest.approx(0.2, rel=0.05)
    assert plain.busy_s[0] == pytest.approx(slow.busy_s[0], rel=0.01)


def test_a_key_is_cold_once_in_each_life_of_a_process() -> None:
    of = scenario(
        offer(0.0001, cold_s=0.05), load={"utilisation": 0.02, "keys": 5}, duration_s=30.0
    )
    plant = begun(of)
    play(plant, well(of), from_s=0.0, to_s=10.0)
    first = plant.count()
    play(plant, well(of), from_s=10.0, to_s=20.0)
    later = plant.count()
    plant.advance(20.1, well(of, is_up=np.zeros(1, dtype=np.bool_)))
    plant.count()
    play(plant, well(of), from_s=20.1, to_s=30.0)
    reborn = plant.count()
    extra = [c.latency_s.sum() - 0.0001 * c.tries.sum() for c in (first, later, reborn)]
    assert extra[0] == pytest.approx(5 * 0.05, abs=0.03)
    assert extra[1] == pytest.approx(0.0, abs=0.03)
    assert extra[2] == pytest.approx(5 * 0.05, abs=0.03)


def test_a_fresh_process_needs_up_to_twice_the_cpu() -> None:
    make = CellMake(cpus=1, cold_s=20.0, service_cv=0.2)
    of = scenario(offer(0.001), make=make, load={"utilisation": 0.2}, duration_s=60.0)
    plant = begun(of)
    plant.advance(1.0, well(of))
    plant.advance(1.1, well(of, is_up=np.zeros(1, dtype=np.bool_)))
    plant.advance(2.0, well(of))
    plant.count()
    spent = []
    for second in range(2, 42, 4):
        plant.advance(float(second + 4), well(of))
        spent.append(plant.count().busy_s[0] / 4.0 / 0.2)
    assert spent[0] == pytest.approx(1.85, abs=0.12)
    assert spent[2] == pytest.approx(1.45, abs=0.12)
    assert spent[-1] == pytest.approx(1.0, abs=0.1)


def test_a_killed_cell_loses_what_is_inside() -> None:
    of = scenario(offer(1.0), make=CellMake(cpus=3), load={"utilisation": 0.9})
    plant = begun(of)
    play(plant, well(of), from_s=0.0, to_s=9.0)
    before = plant.count()
    assert before.in_flight.sum() > 2.0
    plant.advance(9.0, well(of, is_up=np.zeros(1, dtype=np.bool_)))
    after = plant.count()
    assert after.failed.sum() == before.in_flight.sum()
    assert after.in_flight.sum() == 0.0
    plant.advance(9.0, well(of))
    assert plant.count().inside[0] == 0.0


def test_what_was_in_flight_at_a_killed_cell_is_tried_elsewhere_if_it_may_be() -> None:
    may = limited(offer(0.05), retriable=True)
    of = scenario(may, cells=2, make=CellMake(cpus=3), load={"utilisation": 0.5})
    plant = begun(of, pick=Pick.LEAST_REQUEST, net=SafetyNet())
    play(plant, well(of), from_s=0.0, to_s=5.0)
    assert plant.count().in_flight[0, 0, 0] > 0.0
    play(plant, well(of, is_up=np.array([False, True])), from_s=5.0, to_s=9.0)
    assert plant.count().failed.sum() > 0.0
    assert plant.close().fates[..., Fate.FAILED].sum() == 0.0


def test_a_cell_that_cannot_be_reached_costs_the_time_to_connect() -> None:
    of = scenario(cells=1, load={"utilisation": 0.5})
    plant = begun(of)
    play(plant, well(of, is_reachable=np.zeros(1, dtype=np.bool_)), from_s=0.0, to_s=5.0)
    counts = plant.count()
    assert counts.failed.sum() == counts.tries.sum() > 0.0
    assert counts.latency_s.sum() == pytest.approx(0.5 * counts.tries.sum())


def test_answers_of_a_cell_that_is_cut_off_never_arrive_and_its_work_goes_on() -> None:
    slow = limited(offer(0.5), objective_s=1.0, timeout_s=3.0)
    of = scenario(slow, make=CellMake(cpus=3), load={"utilisation": 0.6}, duration_s=5.0)
    plant = begun(of)
    play(plant, well(of), from_s=0.0, to_s=5.0)
    inside = plant.count().in_flight.sum()
    assert inside > 0.0
    cut = well(of, is_reachable=np.zeros(1, dtype=np.bool_))
    play(plant, cut, from_s=5.0, to_s=9.0)
    counts = plant.count()
    assert counts.failed.sum() == inside
    assert counts.busy_s[0] > 0.3
    assert counts.inside[0] == 0.0


def test_the_caller_gives_up_in_time_and_the_work_goes_on() -> None:
    slow = limited(offer(1.0), objective_s=0.1, timeout_s=0.2)
    make = CellMake(cpus=3, service_cv=0.1)
    of = scenario(slow, make=make, load={"utilisation": 0.5}, duration_s=30.0)
    plant = begun(of)
    play(plant, well(of), from_s=0.0, to_s=30.0)
    counts = plant.count()
    assert counts.failed.sum() == counts.tries.sum()
    assert counts.latency_s.sum() == pytest.approx(0.2 * counts.tries.sum())
    assert counts.busy_s[0] > 30.0 * 0.9


def test_distance_adds_to_each_try() -> None:
    of = scenario(
        offer(0.001),
        load={"utilisation": 0.1, "origins": {"us": 1.0}},
        latency_ms={("us", "eu"): 80.0},
        duration_s=60.0,
    )
    plant = begun(of)
    play(plant, well(of), from_s=0.0, to_s=60.0)
    counts = plant.count()
    assert counts.latency_s.sum() / counts.tries.sum() == pytest.approx(0.0811, abs=0.0005)
    ledger = plant.close()
    assert ledger.crossed.sum() == ledger.fates.sum()
    middle = np.searchsorted(ledger.latency[0].cumsum(), ledger.latency.sum() / 2.0)
    assert LATENCY_EDGES_S[middle] <= 0.081 <= LATENCY_EDGES_S[middle + 1]


def test_a_client_that_asks_again_counts_once_and_its_success_may_be_slow() -> None:
    quick = limited(offer(0.001), objective_s=0.2, timeout_s=0.3)
    of = scenario(quick, load={"utilisation": 0.3, "client_retries": 3}, duration_s=10.0)
    plant = begun(of)
    play(plant, well(of), from_s=0.0, to_s=4.0)
    first = plant.count().arrived.sum()
    play(plant, well(of, error_ratio=np.ones((1, 1))), from_s=4.0, to_s=4.5)
    play(plant, well(of), from_s=4.5, to_s=10.0)
    ledger = plant.close()
    assert first + plant.count().arrived.sum() > ledger.fates.sum() + 50
    assert ledger.fates[..., Fate.FAILED].sum() == 0.0
    assert ledger.fates[4, ..., Fate.SLOW].sum() == pytest.approx(
        0.5 * ledger.fates[4].sum(), rel=0.15
    )
    assert ledger.fates[:4, ..., Fate.SLOW].sum() == 0.0


def test_without_a_program_every_request_fails() -> None:
    of = scenario()
    plant = RequestPlant(of, seed=1)
    play(plant, well(of), from_s=0.0, to_s=2.0)
    fates = plant.close().fates
    assert fates.sum() > 0.0
    assert fates[..., Fate.FAILED].sum() == fates.sum()


def test_room_is_made_for_as_many_as_there_are() -> None:
    of = scenario(
        offer(0.001, dependency="index", dependency_s=5.0),
        make=CellMake(cpus=10, connections=40_000, backlog=40_000),
        load={"utilisation": 0.5},
        duration_s=10.0,
    )
    plant = begun(of)
    plant.advance(10.0, well(of))
    assert plant.count().inside[0] > 20_000
    plant.advance(10.0, well(of, is_up=np.zeros(1, dtype=np.bool_)))
    fates = plant.close().fates.sum(axis=(0, 1, 2))
    assert fates[Fate.FAILED] > 20_000
    assert fates.sum() == pytest.approx(10.0 * of.rate_rps(), rel=0.02)


def test_time_does_not_go_back() -> None:
    of = scenario()
    plant = begun(of)
    plant.advance(2.0, well(of))
    with pytest.raises(LabError, match=r"from 2\.0 s to 1\.0 s"):
        plant.advance(1.0, well(of))
