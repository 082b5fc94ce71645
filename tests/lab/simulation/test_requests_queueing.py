"""The cells of the request core against closed forms."""

from __future__ import annotations

import math

import pytest

from foreshard.lab.scenario.scenario import CellMake, Discipline, Scenario
from foreshard.lab.simulation.requests.core import RequestPlant
from tests.lab.simulation.worlds import offer, program, scenario, well

# The first test in a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)

CPU_S = 0.001
ROOM = 4_096


def one_cell(
    load: float,
    *,
    cpus: int = 1,
    cv: float = 1.0,
    discipline: Discipline = Discipline.FIFO,
    requests: int = 1_500_000,
) -> Scenario:
    make = CellMake(
        cpus=cpus, connections=ROOM, backlog=ROOM, service_cv=cv, discipline=discipline
    )
    return scenario(
        offer(CPU_S),
        make=make,
        load={"utilisation": load},
        duration_s=requests * CPU_S / (cpus * load),
    )


def mean_time(of: Scenario, *, seed: int = 1) -> float:
    """Of a request inside, in mean cpu times."""
    plant = RequestPlant(of, seed=seed)
    plant.route(program(of))
    plant.advance(of.duration_s, well(of))
    counts = plant.count()
    assert counts.failed.sum() == 0.0
    return float(counts.latency_s.sum() / counts.tries.sum() / CPU_S)


def erlang_c(servers: int, load: float) -> float:
    """Mean wait in mean service times."""
    offered = servers * load
    idle = sum(offered**n / math.factorial(n) for n in range(servers))
    full = offered**servers / math.factorial(servers) / (1.0 - load)
    return full / (idle + full) / (servers * (1.0 - load))


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_cpu_waits_as_m_m_1_does(load: float) -> None:
    assert mean_time(one_cell(load)) - 1.0 == pytest.approx(load / (1.0 - load), rel=0.04)


@pytest.mark.parametrize("load", [0.7, 0.85])
def test_three_cpus_wait_as_m_m_c_does(load: float) -> None:
    waited = mean_time(one_cell(load, cpus=3)) - 1.0
    assert waited == pytest.approx(erlang_c(3, load), rel=0.05)


@pytest.mark.parametrize("cv", [0.5, 2.0])
def test_one_cpu_waits_as_pollaczek_and_khinchine_say(cv: float) -> None:
    load = 0.6
    waited = mean_time(one_cell(load, cv=cv)) - 1.0
    assert waited == pytest.approx(load * (1.0 + cv**2) / 2.0 / (1.0 - load), rel=0.05)


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
def test_a_shared_cpu_does_not_feel_how_sizes_vary(cv: float) -> None:
    of = one_cell(0.7, cv=cv, discipline=Discipline.PROCESSOR_SHARING, requests=1_000_000)
    assert mean_time(of) == pytest.approx(1.0 / (1.0 - 0.7), rel=0.05)


def test_shared_cpus_wait_as_m_m_c_does() -> None:
    of = one_cell(0.8, cpus=3, discipline=Discipline.PROCESSOR_SHARING)
    assert mean_time(of) - 1.0 == pytest.approx(erlang_c(3, 0.8), rel=0.05)


def test_a_slower_cell_is_one_with_longer_requests() -> None:
    of = one_cell(0.4)
    plant = RequestPlant(of, seed=1)
    plant.route(program(of))
    plant.advance(of.duration_s, well(of, speed=well(of).speed * 0.5))
    counts = plant.count()
    took = counts.latency_s.sum() / counts.tries.sum() / CPU_S
    assert took == pytest.approx(2.0 / (1.0 - 0.8), rel=0.05)
    assert counts.busy_s[0] / of.duration_s == pytest.approx(0.8, rel=0.01)


@pytest.mark.parametrize("discipline", list(Discipline))
def test_cpu_seconds_that_are_spent_are_those_that_are_asked(discipline: Discipline) -> None:
    of = one_cell(0.6, cpus=3, discipline=discipline, requests=200_000)
    plant = RequestPlant(of, seed=1)
    plant.route(program(of))
    plant.advance(of.duration_s, well(of))
    assert plant.count().busy_s[0] / of.duration_s == pytest.approx(1.8, rel=0.01)


def test_a_cell_of_one_and_a_half_cpus_is_never_busier_than_that() -> None:
    of = scenario(
        offer(CPU_S),
        make=CellMake(cpus=3, connections=ROOM, backlog=64, service_cv=1.0),
        load={"utilisation": 3.0},
        sizes={"eu-0": 0.5},
    )
    plant = RequestPlant(of, seed=1)
    plant.route(program(of))
    plant.advance(of.duration_s, well(of))
    assert plant.count().busy_s[0] / of.duration_s == pytest.approx(1.5, rel=0.01)
