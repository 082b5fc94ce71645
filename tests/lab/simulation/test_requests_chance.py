"""What is drawn: the same for the same seed, and as it is meant."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import typeof

from foreshard.lab.cell.cpu import CpuQueue
from foreshard.lab.cell.draw import CPU, DEPENDENCY, erlang
from foreshard.lab.scenario.scenario import SHOP, CellMake, Scenario
from foreshard.lab.simulation.plant import Fate, Ledger
from foreshard.lab.simulation.requests.agenda import CHECKS, drop_first, note
from foreshard.lab.simulation.requests.arrival import expected
from foreshard.lab.simulation.requests.chance import exponential, gamma, uniform
from foreshard.lab.simulation.requests.compiled import SOURCES
from foreshard.lab.simulation.requests.core import RequestPlant
from foreshard.lab.simulation.requests.cpu import offer as offer_cpu
from foreshard.lab.simulation.requests.founding import founded
from foreshard.lab.simulation.requests.world import held
from foreshard.lab.simulation.routing import Pick
from tests.lab.simulation.worlds import play, program, scenario, well

# The first test in a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)

DRAWS = st.integers(0, 2**64 - 1)


def shop(**changes: object) -> Scenario:
    return scenario(*SHOP, cells=4, make=CellMake(), duration_s=20.0, **changes)  # type: ignore[arg-type]  # all are keywords of the scenario


def played(of: Scenario, *, seed: int, pick: Pick) -> Ledger:
    plant = RequestPlant(of, seed=seed)
    plant.route(program(of, pick=pick))
    play(plant, well(of), from_s=0.0, to_s=of.duration_s)
    return plant.close()


@settings(deadline=None)
@given(draw=DRAWS, stream=st.sampled_from([CPU, DEPENDENCY]))
def test_costs_are_those_of_the_demo(draw: int, stream: int) -> None:
    assert gamma(np.uint64(draw), stream, 4.0) == pytest.approx(erlang(draw, stream), rel=1e-12)


@pytest.mark.parametrize("cv", [0.25, 0.4, 0.5, 0.8, 1.0, 1.7, 2.0])
def test_costs_have_the_mean_and_the_variation_they_are_said_to_have(cv: float) -> None:
    count = 60_000
    drawn = np.array([gamma(np.uint64(7 * n), 1, cv**-2.0) for n in range(count)])
    assert drawn.min() > 0.0
    assert drawn.mean() == pytest.approx(1.0, abs=5.0 * cv / math.sqrt(count))
    assert drawn.std() == pytest.approx(cv, rel=0.05)


def test_uniform_and_exponential_numbers_are_what_they_are_called() -> None:
    even = np.array([uniform(np.uint64(n), 3) for n in range(20_000)])
    gaps = np.array([exponential(np.uint64(n), 6) for n in range(20_000)])
    assert even.min() >= 0.0
    assert even.max() < 1.0
    assert even.mean() == pytest.approx(0.5, abs=0.01)
    assert gaps.mean() == pytest.approx(1.0, abs=0.03)
    assert gaps.std() == pytest.approx(1.0, abs=0.04)


@settings(deadline=None)
@given(
    from_s=st.floats(0.0, 100.0),
    lasts_s=st.floats(0.0, 100.0),
    swing=st.floats(0.0, 0.9),
)
def test_expected_arrivals_are_the_rate_added_up(
    from_s: float, lasts_s: float, swing: float
) -> None:
    turn = 2.0 * math.pi / 30.0
    grid = np.linspace(from_s, from_s + lasts_s, 20_001)
    rate = 1.0 + swing * np.sin(turn * grid)
    summed = float(np.trapezoid(rate, grid))
    assert expected(from_s, from_s + lasts_s, swing, turn) == pytest.approx(summed, abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(times=st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.5, 7.0]), max_size=60))
def test_events_happen_in_order_of_time_and_then_of_being_noted(times: list[float]) -> None:
    world = founded(scenario(), seed=0)
    world.state["events"] = 0
    place = held(world)
    reference: list[tuple[float, int]] = []
    for n, at_s in enumerate(times):
        note(place, at_s, CHECKS, n, 0)
        heapq.heappush(reference, (at_s, n))
    happened = []
    while world.state["events"][0]:
        happened.append((float(world.events["at_s"][0]), int(world.events["who"][0])))
        drop_first(place)
    assert happened == [heapq.heappop(reference) for _ in times]


@settings(deadline=None, max_examples=50)
@given(work=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.001, 2.0)), max_size=40))
def test_cpus_finish_when_those_of_the_demo_do(work: list[tuple[float, float]]) -> None:
    place = held(founded(scenario(make=CellMake(cpus=3)), seed=0))
    queue = CpuQueue(servers=3)
    now_s = 0.0
    for gap_s, busy_s in work:
        now_s += gap_s
        assert offer_cpu(place, 0, now_s, busy_s) == queue.offer(now_s, busy_s=busy_s)


@pytest.mark.parametrize("pick", list(Pick))
def test_the_same_seed_gives_the_same_bits_and_another_does_not(pick: Pick) -> None:
    first, again, other = (played(shop(), seed=seed, pick=pick) for seed in (5, 5, 6))
    for name in ("fates", "served", "latency", "crossed"):
        assert (getattr(first, name) == getattr(again, name)).all()
    assert (first.fates != other.fates).any()
    assert (first.latency != other.latency).any()


def test_the_same_requests_come_however_they_are_routed() -> None:
    ledgers = [played(shop(), seed=5, pick=pick) for pick in Pick]
    for ledger in ledgers[1:]:
        assert (ledger.fates.sum(axis=3) == ledgers[0].fates.sum(axis=3)).all()
    # With even weights least request is two choices, so these two are one and the same.
    assert len({ledger.served.tobytes() for ledger in ledgers}) == len(ledgers) - 1


def test_demand_swings_and_follows_what_is_told() -> None:
    of = scenario(
        cells=8, duration_s=80.0, load={"swing_ratio": 0.5, "period_s": 40.0, "utilisation": 0.5}
    )
    plant = RequestPlant(of, seed=1)
    plant.route(program(of))
    play(plant, well(of), from_s=0.0, to_s=40.0)
    play(plant, well(of, demand=np.full((1, 1), 2.0)), from_s=40.0, to_s=80.0)
    asked = plant.close().fates.sum(axis=(1, 2, 3))
    mean = of.rate_rps()
    assert asked[5:15].mean() == pytest.approx(mean * (1.0 + 0.5 * 0.9), rel=0.05)
    assert asked[25:35].mean() == pytest.approx(mean * (1.0 - 0.5 * 0.9), rel=0.08)
    assert asked[40:].sum() == pytest.approx(2.0 * asked[:40].sum(), rel=0.03)


def test_arrivals_are_a_poisson_process() -> None:
    of = scenario(duration_s=4_000.0, load={"utilisation": 0.5})
    plant = RequestPlant(of, seed=1)
    plant.route(program(of))
    plant.advance(of.duration_s, well(of))
    asked = plant.close().fates.sum(axis=(1, 2, 3))
    assert asked.mean() == pytest.approx(50.0, rel=0.02)
    assert asked.var() == pytest.approx(50.0, rel=0.1)


def test_each_origin_and_class_has_its_share() -> None:
    of = shop(load={"origins": {"eu": 0.75, "us": 0.25}})
    fates = played(of, seed=2, pick=Pick.RANDOM).fates.sum(axis=(0, 3))
    assert fates.sum() == pytest.approx(of.rate_rps() * of.duration_s, rel=0.05)
    assert fates[0].sum() / fates.sum() == pytest.approx(0.75, abs=0.02)
    for share, offer in zip(fates.sum(axis=0) / fates.sum(), SHOP, strict=True):
        assert share == pytest.approx(offer.share, abs=0.02)
    assert played(of, seed=2, pick=Pick.RANDOM).crossed.sum() == fates[1].sum()
    assert len(Fate) == 4


def test_kernels_of_other_sources_are_not_taken_for_these() -> None:
    world = founded(scenario(), seed=0)
    kind = typeof(held(world)).field_dict["state"].dtype  # type: ignore[no-untyped-call]  # Numba's
    assert SOURCES in kind.fields
