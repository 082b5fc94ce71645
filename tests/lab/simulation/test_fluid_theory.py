from __future__ import annotations

from math import factorial

import numpy as np
import pytest

from foreshard.lab.scenario.scenario import CellMake, Discipline, Load, Scenario
from foreshard.lab.simulation.fluid.plant import FluidPlant
from foreshard.lab.simulation.fluid.waiting import Lines, erlang_c
from foreshard.lab.simulation.plant import LATENCY_EDGES_S
from foreshard.lab.simulation.routing import Pick
from tests.lab.simulation.fluid_stand import free, queue, shop, still, wide

SERVICE_S = 0.02
LOADS = (0.3, 0.6, 0.8, 0.9)
every_load = pytest.mark.parametrize("load", LOADS)


def at(make: CellMake, load: float) -> Scenario:
    return queue(make, load=Load(utilisation=load, swing_ratio=0.0))


def settled(scenario: Scenario) -> tuple[float, float, float]:
    """Mean latency, busy cpus and connections in use once all has settled."""
    plant, effects = FluidPlant(scenario, seed=1), still(scenario)
    plant.route(free(scenario, pick=Pick.RANDOM))
    plant.advance(15.0, effects)
    plant.count()
    plant.advance(35.0, effects)
    seen = plant.count()
    mean_s = seen.latency_s.sum() / seen.tries.sum()
    return float(mean_s), float(seen.busy_s.sum()) / 20.0, float(seen.inside.sum())


def waits(servers: int, load: float) -> float:
    """Erlang's C as a sum, share of arrivals that wait."""
    offered = servers * load
    last = offered**servers / factorial(servers) / (1.0 - load)
    return last / (sum(offered**n / factorial(n) for n in range(servers)) + last)


@every_load
def test_one_exponential_server_is_m_m_1_within_2_percent(load: float) -> None:
    mean_s, _, _ = settled(at(wide(cpus=1, service_cv=1.0), load))
    assert mean_s == pytest.approx(SERVICE_S / (1.0 - load), rel=0.02)


@every_load
@pytest.mark.parametrize("servers", [2, 3, 8])
def test_several_exponential_servers_are_m_m_c_within_2_percent(servers: int, load: float) -> None:
    mean_s, _, _ = settled(at(wide(cpus=servers, service_cv=1.0), load))
    wait_s = waits(servers, load) * SERVICE_S / (servers * (1.0 - load))
    assert mean_s == pytest.approx(SERVICE_S + wait_s, rel=0.02)


@every_load
@pytest.mark.parametrize("cv", [0.5, 2.0])
def test_one_server_of_any_scatter_is_pollaczek_khinchine_within_2_percent(
    cv: float, load: float
) -> None:
    mean_s, _, _ = settled(at(wide(cpus=1, service_cv=cv), load))
    wait_s = load / (1.0 - load) * SERVICE_S * (1.0 + cv**2) / 2.0
    assert mean_s == pytest.approx(SERVICE_S + wait_s, rel=0.02)


@every_load
@pytest.mark.parametrize("cv", [0.5, 2.0])
def test_a_shared_server_does_not_mind_the_scatter_within_2_percent(
    cv: float, load: float
) -> None:
    make = wide(cpus=1, service_cv=cv, discipline=Discipline.PROCESSOR_SHARING)
    mean_s, _, _ = settled(at(make, load))
    assert mean_s == pytest.approx(SERVICE_S / (1.0 - load), rel=0.02)


@every_load
def test_cpus_are_busy_and_connections_held_as_little_says(load: float) -> None:
    mean_s, busy, inside = settled(at(wide(cpus=3, service_cv=0.5), load))
    assert busy == pytest.approx(3.0 * load, rel=0.06)
    assert inside == pytest.approx(3.0 * load / SERVICE_S * mean_s, rel=0.06)


@pytest.mark.parametrize("servers", [1, 2, 5, 40])
def test_erlang_c_is_the_sum(servers: int) -> None:
    loads = np.array([0.05, 0.4, 0.8, 0.99])
    want = [waits(servers, load) for load in loads.tolist()]
    assert erlang_c(servers, loads) == pytest.approx(np.array(want), rel=1e-9)


def test_work_that_is_there_is_done_or_left() -> None:
    lines = Lines(np.array([1, 3, 8]))
    work_s = np.array([0.001, 0.4, 50.0])
    could_s = np.array([0.1, 0.3, 0.8])
    drained = lines.drain(work_s, could_s=could_s, scale_s=np.full(3, 0.02))
    assert drained.work_s + could_s * drained.load == pytest.approx(work_s, rel=1e-9)
    assert (np.diff(drained.load) > 0.0).all()
    assert drained.load[-1] == pytest.approx(1.0, abs=1e-3)


def test_the_histogram_has_the_exponential_tail_of_m_m_1() -> None:
    scenario = at(wide(cpus=1, service_cv=1.0), 0.8)
    plant = FluidPlant(scenario, seed=1)
    plant.route(free(scenario, pick=Pick.RANDOM))
    plant.advance(120.0, still(scenario))
    latency = plant.close().latency[0]
    upto = np.cumsum(latency) / latency.sum()
    # M/M/1: the sojourn is exponential, so the 99th percentile is ln(100) means.
    p99_s = LATENCY_EDGES_S[int(np.searchsorted(upto, 0.99)) + 1]
    assert p99_s == pytest.approx(4.605 * SERVICE_S / 0.2, rel=0.2)


def test_balancers_that_compare_make_lines_shorter() -> None:
    scenario = shop(load=Load(utilisation=0.8, swing_ratio=0.0))
    means = []
    for pick in (Pick.RANDOM, Pick.LEAST_REQUEST):
        plant = FluidPlant(scenario, seed=1)
        plant.route(free(scenario, pick=pick))
        plant.advance(60.0, still(scenario))
        seen = plant.count()
        means.append(seen.latency_s.sum() / seen.tries.sum())
    assert means[1] < 0.85 * means[0]
