"""The queue is held to theory, on virtual time: no sleep, no clock."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.cell.cpu import CpuQueue
from foreshard.lab.cell.draw import CPU, DEPENDENCY, erlang
from foreshard.model.errors import InvalidValueError

CUSTOMERS = 200_000


def erlang_c_wait_s(servers: int, rate_rps: float, mean_s: float) -> float:
    """Mean wait of M/M/c (Erlang's C formula)."""
    offered = rate_rps * mean_s
    idle = sum(offered**k / math.factorial(k) for k in range(servers))
    busy = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return busy / (idle + busy) * mean_s / (servers - offered)


def mean_wait_s(queue: CpuQueue, *, rate_rps: float, services_s: list[float]) -> float:
    random, now_s, waited_s = Random(5), 0.0, 0.0
    for busy_s in services_s:
        now_s += random.expovariate(rate_rps)
        waited_s += queue.offer(now_s, busy_s=busy_s) - now_s - busy_s
    return waited_s / len(services_s)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 0.62), (3, 0.85)])
def test_exponential_work_waits_as_long_as_erlang_says(servers: int, load: float) -> None:
    random, mean_s = Random(7), 0.02
    rate_rps = load * servers / mean_s
    work = [random.expovariate(1 / mean_s) for _ in range(CUSTOMERS)]
    measured = mean_wait_s(CpuQueue(servers=servers), rate_rps=rate_rps, services_s=work)
    assert measured == pytest.approx(erlang_c_wait_s(servers, rate_rps, mean_s), rel=0.06)


def test_constant_work_on_one_cpu_waits_as_long_as_pollaczek_and_khinchine_say() -> None:
    load, each_s = 0.7, 0.02
    theory = load * each_s / (2 * (1 - load))
    work = [each_s] * CUSTOMERS
    measured = mean_wait_s(CpuQueue(servers=1), rate_rps=load / each_s, services_s=work)
    assert measured == pytest.approx(theory, rel=0.05)


def test_the_work_of_the_shop_waits_as_a_coefficient_of_variation_of_a_half_makes_it() -> None:
    load, mean_s = 0.7, 0.02
    theory = load * mean_s * (1 + 0.5**2) / (2 * (1 - load))
    work = [mean_s * erlang(draw, CPU) for draw in range(CUSTOMERS)]
    measured = mean_wait_s(CpuQueue(servers=1), rate_rps=load / mean_s, services_s=work)
    assert measured == pytest.approx(theory, rel=0.05)


@given(
    servers=st.integers(1, 4),
    jobs=st.lists(st.tuples(st.floats(0, 0.1), st.floats(0, 0.3)), min_size=1, max_size=60),
    step_s=st.floats(0.001, 0.2),
)
def test_busy_time_passes_no_faster_than_time_and_ends_at_what_was_asked(
    servers: int, jobs: list[tuple[float, float]], step_s: float
) -> None:
    queue, now_s, seen_s, seen_at_s = CpuQueue(servers=servers), 0.0, 0.0, 0.0
    last_s = 0.0
    for gap_s, busy_s in jobs:
        now_s += gap_s
        last_s = max(last_s, queue.offer(now_s, busy_s=busy_s))
        spent_s = queue.busy_s(now_s)
        assert -1e-9 <= spent_s - seen_s <= servers * (now_s - seen_at_s) + 1e-9
        seen_s, seen_at_s = spent_s, now_s
    later_s = queue.busy_s(now_s + step_s)
    assert -1e-9 <= later_s - seen_s <= servers * step_s + 1e-9
    assert queue.busy_s(last_s) == pytest.approx(sum(busy_s for _, busy_s in jobs))
    assert queue.wait_s(last_s) == 0.0


def test_a_saturated_queue_is_busy_all_the_time() -> None:
    queue = CpuQueue(servers=3)
    for _ in range(30):
        queue.offer(0.0, busy_s=1.0)
    assert queue.busy_s(4.0) == pytest.approx(12.0)
    assert queue.wait_s(4.0) == pytest.approx(6.0)


def test_a_queue_without_a_cpu_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="servers is 0"):
        CpuQueue(servers=0)


def test_draws_have_mean_one_and_half_as_much_deviation() -> None:
    drawn = [erlang(draw, CPU) for draw in range(50_000)]
    mean = sum(drawn) / len(drawn)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in drawn) / len(drawn))
    assert mean == pytest.approx(1.0, abs=0.01)
    assert deviation == pytest.approx(0.5, abs=0.01)


def test_streams_of_one_draw_have_nothing_to_do_with_each_other() -> None:
    pairs = [(erlang(draw, CPU) - 1, erlang(draw, DEPENDENCY) - 1) for draw in range(20_000)]
    covariance = sum(a * b for a, b in pairs) / len(pairs)
    assert abs(covariance / 0.25) < 0.03


@given(st.integers(), st.sampled_from([CPU, DEPENDENCY]))
def test_a_draw_is_always_the_same_positive_number(draw: int, stream: int) -> None:
    assert erlang(draw, stream) == erlang(draw, stream) >= 0.0
