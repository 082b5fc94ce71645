import asyncio
import contextlib
import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.cell.disk import Disk
from foreshard.lab.cell.faults import Fault, FaultKind, Faults
from foreshard.lab.cell.memory import Heap, rss_bytes
from foreshard.lab.cell.metrics import LoadReport, Metrics, Resource, Snapshot
from foreshard.lab.cell.pool import Pool
from foreshard.model.errors import InvalidValueError

MEBIBYTE = 1024 * 1024


async def test_who_finds_no_connection_waits_in_line_and_gives_up_in_the_end() -> None:
    pool = Pool(size=1)
    assert await pool.acquire(timeout_s=1.0)
    assert not await pool.acquire(timeout_s=0.01)
    order: list[str] = []

    async def take(name: str) -> None:
        assert await pool.acquire(timeout_s=5.0)
        order.append(name)
        pool.release()

    async with asyncio.TaskGroup() as tasks:
        for name in ("first", "second", "third"):
            tasks.create_task(take(name))
        await asyncio.sleep(0)
        assert pool.waiting == 3
        pool.release()
    assert order == ["first", "second", "third"]
    assert (pool.used, pool.waiting) == (0, 0)


async def test_a_waiter_who_is_cancelled_takes_no_connection_with_him() -> None:
    pool = Pool(size=1)
    assert pool.try_acquire()
    waiter = asyncio.create_task(pool.acquire(timeout_s=5.0))
    await asyncio.sleep(0)
    pool.release()
    waiter.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiter
    assert pool.used == 0
    assert pool.try_acquire()


async def test_lost_connections_count_as_used_and_come_back() -> None:
    pool = Pool(size=3)
    pool.lose(3)
    assert pool.used == 3
    waiter = asyncio.create_task(pool.acquire(timeout_s=5.0))
    await asyncio.sleep(0)
    assert pool.waiting == 1
    pool.lose(0)
    assert await waiter
    assert pool.used == 1


@given(st.lists(st.sampled_from(["take", "give", "lose", "find"]), max_size=60))
def test_a_pool_never_gives_out_more_than_it_has(steps: list[str]) -> None:
    pool, held, lost = Pool(size=4), 0, 0
    for step in steps:
        if step == "take" and pool.try_acquire():
            held += 1
            assert held + lost <= 4
        elif step == "give" and held:
            pool.release()
            held -= 1
        elif step in {"lose", "find"}:
            lost = max(0, min(4, lost + (1 if step == "lose" else -1)))
            pool.lose(lost)
        assert pool.used == min(4, held + lost)


def test_logs_grow_with_requests_and_rotate_long_before_the_disk_is_full() -> None:
    disk = Disk()
    seen = []
    for _ in range(20_000):
        disk.log_request()
        seen.append(disk.used_bytes)
    assert any(later < earlier for earlier, later in pairwise(seen))
    assert max(seen) < disk.limit_bytes / 2
    assert not disk.is_full


def test_a_filled_disk_is_full_until_it_is_cleared() -> None:
    disk = Disk()
    disk.fill(0.5)
    assert not disk.is_full
    disk.fill(1.0)
    assert disk.used_bytes == disk.limit_bytes
    disk.fill(0.0)
    assert disk.used_bytes < disk.limit_bytes


def test_leaked_memory_is_resident_memory() -> None:
    heap = Heap(room_bytes=64 * MEBIBYTE, seed="eu-1")
    before = rss_bytes()
    while heap.leaked_bytes < 30 * MEBIBYTE:
        heap.leak_to(32 * MEBIBYTE)
    assert rss_bytes() - before > 25 * MEBIBYTE
    assert heap.limit_bytes - rss_bytes() == pytest.approx(heap.room_bytes, abs=MEBIBYTE)
    heap.forgive()
    assert heap.leaked_bytes == 0


def test_a_leak_follows_its_target_in_uneven_steps() -> None:
    heap = Heap(room_bytes=MEBIBYTE, seed="eu-1", measure=lambda: 0)
    behind = []
    for step in range(1, 101):
        heap.leak_to(step * MEBIBYTE / 4)
        behind.append(step * MEBIBYTE / 4 - heap.leaked_bytes)
    assert 0 <= min(behind) < max(behind) < MEBIBYTE
    assert len(set(behind)) > 50


def test_a_quiet_heap_wobbles_alike_on_both_fleets() -> None:
    def wobble(seed: str) -> list[int]:
        heap, sizes = Heap(room_bytes=MEBIBYTE, seed=seed, measure=lambda: 0), []
        for _ in range(300):
            heap.breathe()
            sizes.append(heap._garbage_bytes)
        return sizes

    first = wobble("eu-1")
    assert first == wobble("eu-1") != wobble("eu-2")
    assert 0 < max(first) < 4_000_000
    assert any(later < earlier for earlier, later in pairwise(first))


def test_a_fault_grows_over_its_duration_and_stays() -> None:
    faults = Faults()
    faults.inject(Fault(kind=FaultKind.POOL, magnitude=0.5, duration_s=10.0), now_s=100.0)
    grown = [faults.growth(FaultKind.POOL, now_s=now_s) for now_s in (100.0, 105.0, 110.0, 999.0)]
    assert grown == [0.0, 0.25, 0.5, 0.5]
    assert faults.growth(FaultKind.DISK_FILL, now_s=105.0) == 0.0
    faults.clear()
    assert faults.growth(FaultKind.POOL, now_s=110.0) == 0.0


def test_a_fault_that_began_earlier_goes_on_where_it_was() -> None:
    fault = Fault.of(FaultKind.SLOW_DEPENDENCY, duration_s=10.0)
    fresh, resumed = Faults(), Faults()
    fresh.inject(fault, now_s=100.0)
    resumed.inject(fault.older(4.0), now_s=104.0)
    for now_s in (104.0, 107.0, 120.0):
        kind = FaultKind.SLOW_DEPENDENCY
        assert fresh.growth(kind, now_s=now_s) == resumed.growth(kind, now_s=now_s)


def test_creep_slows_the_cpus_in_a_line() -> None:
    faults = Faults()
    assert faults.speed(now_s=0.0) == 1.0
    faults.inject(Fault(kind=FaultKind.CREEP, magnitude=0.4, duration_s=10.0), now_s=0.0)
    speeds = [faults.speed(now_s=now_s) for now_s in (0.0, 5.0, 10.0, 50.0)]
    assert speeds == pytest.approx([1.0, 0.7, 0.4, 0.4])


def test_a_whole_leak_goes_on_past_its_duration_and_a_part_does_not() -> None:
    for magnitude, later in ((1.0, 1.5), (0.5, 0.5)):
        faults = Faults()
        leak = Fault(kind=FaultKind.LEAK, magnitude=magnitude, duration_s=10.0)
        faults.inject(leak, now_s=0.0)
        assert faults.unbounded_growth(FaultKind.LEAK, now_s=15.0) == later


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_survives_json(kind: FaultKind) -> None:
    fault = Fault.of(kind, duration_s=12.0).older(3.0)
    assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault


@pytest.mark.parametrize(
    ("body", "because"),
    [
        ([], "must be an object"),
        ({}, "kind is None, must be one of leak"),
        ({"kind": "gremlin"}, "kind is 'gremlin'"),
        ({"kind": "leak", "speed": 2}, "speed is unknown"),
        ({"kind": "leak", "duration_s": "long"}, "duration_s is 'long', must be a number"),
        ({"kind": "leak", "duration_s": True}, "duration_s is True, must be a number"),
        ({"kind": "leak", "duration_s": 0}, "duration_s is 0"),
        ({"kind": "leak", "duration_s": float("nan")}, "duration_s is nan"),
        ({"kind": "creep", "magnitude": 1.5}, "magnitude is 1.5"),
        ({"kind": "creep", "elapsed_s": -1}, "elapsed_s is -1"),
    ],
)
def test_a_fault_without_meaning_is_refused_in_words(body: object, because: str) -> None:
    with pytest.raises(InvalidValueError, match=because):
        Fault.from_json(body)


def _snapshot(busy_s: float) -> Callable[[], Snapshot]:
    resources = {
        "cpu": Resource(used=None, limit=3.0),
        "connections": Resource(used=12.0, limit=48.0),
    }
    return lambda: Snapshot(cpu_busy_s=busy_s, in_flight=2, resources=resources)


def test_the_metrics_page_speaks_the_agreed_names() -> None:
    metrics = Metrics(cell="eu-1", version="7", read=_snapshot(1.5))
    metrics.count("search", 200, 0.02)
    page = metrics.page().decode()
    for line in (
        'cell_info{cell="eu-1",version="7"} 1.0',
        "cell_cpu_seconds_total 1.5",
        "cell_in_flight 2.0",
        'cell_resource_limit{resource="cpu"} 3.0',
        'cell_resource_used{resource="connections"} 12.0',
        'cell_requests_total{class="search",code="200"} 1.0',
        'cell_request_duration_seconds_bucket{class="search",le="0.02"} 1.0',
        'cell_request_duration_seconds_count{class="search"} 1.0',
    ):
        assert line in page
    assert 'cell_resource_used{resource="cpu"}' not in page


def test_the_load_header_speaks_of_the_last_second() -> None:
    report, said = LoadReport(cpus=3.0), []
    for tenth in range(31):
        # Two thirds busy for two seconds, idle after that.
        busy_s = min(tenth, 20) * 0.1 * 2.0
        report.advance(
            tenth * 0.1,
            finished=min(tenth, 20) * 5,
            memory_ratio=0.5,
            snapshot=_snapshot(busy_s)(),
        )
        said.append(report.header(0.0123))
    busy, idle = said[20], said[30]
    assert busy == (
        "TEXT cpu_utilization=0.6667,mem_utilization=0.5000,application_utilization=0.6667,"
        "rps_fractional=50.00,named_metrics.cost.cpu=0.012300"
    )
    assert "cpu_utilization=0.0000" in idle
    assert "application_utilization=0.2500" in idle
