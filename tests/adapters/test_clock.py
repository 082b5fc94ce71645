from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.clock import InlineExecutor, SystemClock, ThreadExecutor


def test_the_clock_tells_wall_time() -> None:
    before = time.time()
    now = SystemClock().now_s()
    assert before - 1.0 < now < time.time() + 1.0


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(-1e4, 1e4))))
def test_a_wall_clock_that_is_set_back_never_takes_time_back(
    steps: list[tuple[float, float]],
) -> None:
    now = {"wall": 1e9, "mono": 50.0}
    clock = SystemClock(wall_s=lambda: now["wall"], monotonic_s=lambda: now["mono"])
    last = clock.now_s()
    for elapsed, jump in steps:
        now["mono"] += elapsed
        now["wall"] += elapsed + jump
        assert clock.now_s() >= last + elapsed - 1e-3
        last = clock.now_s()
        assert last >= now["wall"] - 1e-3


async def test_sleeping_takes_that_long() -> None:
    clock = SystemClock()
    before = clock.now_s()
    await clock.sleep(0.02)
    await clock.sleep(-1.0)
    assert clock.now_s() - before >= 0.019


async def test_work_runs_on_one_other_thread_in_order() -> None:
    executor, seen = ThreadExecutor(), list[int]()
    names = {await executor.run(threading.get_ident) for _ in range(5)}
    for i in range(5):
        await executor.run(lambda i=i: seen.append(i))  # type: ignore[misc]
    executor.close()
    executor.close()
    assert len(names) == 1
    assert names != {threading.get_ident()}
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("executor", [ThreadExecutor(), InlineExecutor()])
async def test_what_work_raises_comes_back(executor: ThreadExecutor | InlineExecutor) -> None:
    with pytest.raises(ZeroDivisionError):
        await executor.run(lambda: 1 // 0)
    executor.close()


async def test_a_closed_executor_leaves_no_thread() -> None:
    executor = ThreadExecutor(name="leaver")
    await executor.run(lambda: None)
    executor.close()
    assert not [thread for thread in threading.enumerate() if "leaver" in thread.name]
