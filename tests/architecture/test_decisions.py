"""The worked numbers in docs/decisions, worked again."""

from __future__ import annotations

import heapq
import math
import random
import re

import highspy
import numpy as np
import pytest

from foreshard.model.workload import Flow
from foreshard.planning.exact import ExactSolver
from foreshard.planning.problem import Floats, Problem
from foreshard.router.lane import CIRCLE, GOLDEN
from tests.architecture.source import ROOT

CELLS, CPUS, WORK_MS = 6, 3, 24.8
RATE, CEILING = 75.0, 110.0


def decision(number: str) -> str:
    (path,) = (ROOT / "docs" / "decisions").glob(f"{number}-*.md")
    return path.read_text(encoding="utf-8")


def queueing_rows() -> list[tuple[float, ...]]:
    """Utilisation, then the six columns of the table in 0002, in milliseconds."""
    rows = re.findall(r"^\| (\d+) % \|(.*)\|$", decision("0002"), re.MULTILINE)
    assert rows
    return [(int(u) / 100, *map(float, re.findall(r"[\d.]+", cells))) for u, cells in rows]


def even_rows() -> list[tuple[float, ...]]:
    """Utilisation, then the six columns of the first table in 0022, in milliseconds."""
    rows = re.findall(r"^\| (\d+) % \|(.*)\|$", decision("0022"), re.MULTILINE)
    assert rows
    return [(int(u) / 100, *map(float, re.findall(r"[\d.]+", cells))) for u, cells in rows]


def mean_wait_ms(servers: int, utilisation: float) -> float:
    """Erlang C, as in any text on M/M/c queues."""
    offered = servers * utilisation
    idle = sum(offered**k / math.factorial(k) for k in range(servers))
    full = offered**servers / math.factorial(servers) / (1.0 - utilisation)
    return full / (idle + full) * WORK_MS / (servers * (1.0 - utilisation))


def simulated_waits_ms(utilisation: float, choices: int, arrivals: int) -> list[float]:
    """Sorted waits when each request takes the least busy of some cells drawn at random."""
    draw = random.Random(1)
    free_at = [[0.0] * CPUS for _ in range(CELLS)]
    open_until: list[list[float]] = [[] for _ in range(CELLS)]
    now, waits = 0.0, []
    for _ in range(arrivals):
        now += draw.expovariate(CELLS * CPUS * utilisation)
        for ends in open_until:
            while ends and ends[0] <= now:
                heapq.heappop(ends)
        cell = min(draw.sample(range(CELLS), choices), key=lambda c: len(open_until[c]))
        begin = max(now, free_at[cell][0])
        end = begin + draw.expovariate(1.0)
        heapq.heapreplace(free_at[cell], end)
        heapq.heappush(open_until[cell], end)
        waits.append((begin - now) * WORK_MS)
    return sorted(waits)


@pytest.mark.parametrize("row", queueing_rows(), ids=lambda row: f"{row[0]:.0%}")
def test_random_splitting_waits_as_erlang_says(row: tuple[float, ...]) -> None:
    assert mean_wait_ms(CPUS, row[0]) == pytest.approx(row[1], abs=0.06)
    assert mean_wait_ms(CELLS * CPUS, row[0]) == pytest.approx(row[6], abs=0.06)


@pytest.mark.parametrize("row", queueing_rows(), ids=lambda row: f"{row[0]:.0%}")
def test_a_second_choice_waits_as_simulated(row: tuple[float, ...]) -> None:
    # A fifth of the arrivals of the page: near saturation that is good to about a fifth.
    waits = simulated_waits_ms(row[0], choices=2, arrivals=40_000)
    assert sum(waits) / len(waits) == pytest.approx(row[3], rel=0.25)
    assert waits[int(0.99 * len(waits))] == pytest.approx(row[4], rel=0.25)
    assert sum(waits) / len(waits) < mean_wait_ms(CPUS, row[0]) / 3.0


def even_waits_ms(utilisation: float, processes: int, arrivals: int) -> list[float]:
    """Waits in 0022: each process sends its n-th request to where n / golden ratio points."""
    draw = random.Random(1)
    free_at = [[0.0] * CPUS for _ in range(CELLS)]
    turns = [draw.randrange(10**6) for _ in range(processes)]
    now, waits = 0.0, []
    for _ in range(arrivals):
        now += draw.expovariate(CELLS * CPUS * utilisation)
        process = draw.randrange(processes)
        cell = turns[process] * GOLDEN % CIRCLE * CELLS // CIRCLE
        turns[process] += 1
        begin = max(now, free_at[cell][0])
        heapq.heapreplace(free_at[cell], begin + draw.expovariate(1.0))
        waits.append((begin - now) * WORK_MS)
    return waits


@pytest.mark.parametrize("row", even_rows(), ids=lambda row: f"{row[0]:.0%}")
def test_an_even_sequence_waits_as_simulated(row: tuple[float, ...]) -> None:
    for column, processes in ((2, 1), (4, 16)):
        waits = even_waits_ms(row[0], processes, arrivals=40_000)
        assert sum(waits) / len(waits) == pytest.approx(row[column], rel=0.25)
    assert row[1] == pytest.approx(mean_wait_ms(CPUS, row[0]), rel=0.1)


def test_an_even_sequence_is_off_by_few_requests() -> None:
    counted, worst = 0, 0.0
    for n in range(1_000):
        counted += n * GOLDEN % CIRCLE < CIRCLE // 4
        worst = max(worst, abs(counted - (n + 1) / 4))
    assert worst == 2.75
    assert math.sqrt(1_000 * 0.25 * 0.75) == pytest.approx(13.7, abs=0.05)
    assert "13.7" in decision("0022")
    assert "2.75" in decision("0022")


def test_a_plain_linear_program_empties_a_cell_over_noise_and_fills_others_to_the_brim() -> None:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)  # noqa: FBT003 - HiGHS takes options this way
    rates = [solver.addVariable(lb=0.0, ub=CEILING) for _ in range(CELLS)]
    solver.addConstr(sum(rates[1:], rates[0]) == CELLS * RATE)
    solver.minimize(0.001 * rates[0])
    got = [solver.variableValue(rate) for rate in rates]
    assert got[0] == pytest.approx(0.0)
    assert sorted(got[1:]) == pytest.approx([10.0, *[CEILING] * 4])
    assert sum(abs(rate - RATE) for rate in got) / 2.0 == pytest.approx(140.0)
    assert "140 of 450" in decision("0003")


def test_a_quadratic_pull_follows_noise() -> None:
    others = (CELLS - 1) / CELLS
    k = 0.5 * others / RATE
    assert k == pytest.approx(0.0056, abs=5e-5)
    assert 0.01 * others / k == pytest.approx(1.5)


def shares(risk: float) -> Floats:
    reference = np.full((1, CELLS), 1.0 / CELLS)
    problem = Problem(
        cells=tuple("abcdef"),
        resources=("cpu",),
        flows=(Flow("here", "search"),),
        demand_rps=np.array([CELLS * RATE]),
        needs=np.ones((1, 1)),
        capacity=np.full((CELLS, 1), 121.0),
        eligible=np.ones((1, CELLS), dtype=bool),
        weight=np.ones(1),
        priority=np.ones(1, dtype=np.int64),
        keyed=np.zeros(1, dtype=bool),
        reference=reference,
        standing_risk=np.array([risk, *[0.0] * (CELLS - 1)]),
    )
    row: Floats = ExactSolver().solve(problem).shares[0]
    return row


def test_noise_below_the_floor_moves_nothing_at_all() -> None:
    assert (shares(0.01) == 1.0 / CELLS).all()


def test_what_leaves_a_failing_cell_is_spread_evenly() -> None:
    assert shares(0.5) * CELLS * RATE == pytest.approx([0.0, *[90.0] * 5], abs=0.5)
