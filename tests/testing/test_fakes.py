from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import DriverError, SinkError, SourceError, StoreError
from foreshard.model.plan import Decision, Hold, Plan, Reason, Split
from foreshard.model.telemetry import Missing
from foreshard.model.workload import Flow
from foreshard.testing import (
    FakeCellDriver,
    FakeClock,
    FakeEventSource,
    FakeRouteSink,
    FakeTrafficSource,
    MemoryStore,
)


@given(
    st.lists(
        st.lists(st.floats(min_value=0.0, max_value=100.0), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_sleepers_wake_in_the_order_of_time_and_on_the_minute(naps: list[list[float]]) -> None:
    clock = FakeClock(start_s=0.0)
    woken: list[float] = []

    async def sleeper(mine: list[float]) -> None:
        due_s = 0.0
        for nap_s in mine:
            due_s += nap_s
            await clock.sleep(due_s - clock.now_s())
            assert clock.now_s() == pytest.approx(due_s)
            woken.append(clock.now_s())

    async def all_of_them() -> None:
        await asyncio.gather(*(sleeper(mine) for mine in naps))

    asyncio.run(all_of_them())
    assert woken == sorted(woken)


async def test_time_waits_for_work_that_takes_a_few_turns_of_the_loop() -> None:
    clock = FakeClock(start_s=0.0)
    seen: list[float] = []

    async def busy() -> None:
        await clock.sleep(1.0)
        for _ in range(10):
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        seen.append(clock.now_s())

    await asyncio.gather(busy(), clock.sleep(60.0))
    assert seen == [1.0]


async def test_a_sleeper_that_is_cancelled_holds_nobody_up() -> None:
    clock = FakeClock(start_s=0.0)
    early = asyncio.create_task(clock.sleep(1.0))
    late = asyncio.create_task(clock.sleep(2.0))
    await asyncio.sleep(0)
    early.cancel()
    await late
    assert clock.now_s() == 2.0


def test_time_does_not_run_backwards() -> None:
    clock = FakeClock()
    with pytest.raises(ValueError, match="cannot advance by -1"):
        clock.advance(-1.0)


async def test_a_fake_that_was_told_to_fail_fails_as_its_port_says() -> None:
    events, sink, driver, store = (
        FakeEventSource(),
        FakeRouteSink(),
        FakeCellDriver(),
        MemoryStore(),
    )
    events.fail("gone")
    sink.cut("gone")
    driver.refuse("gone")
    store.fail("gone")
    with pytest.raises(SourceError, match="gone"):
        await events.read()
    with pytest.raises(SinkError, match="gone"):
        await sink.live()
    with pytest.raises(DriverError, match="gone"):
        await driver.recycle("a")
    with pytest.raises(StoreError, match="gone"):
        store.put("cells", {})


async def test_silence_is_not_the_absence_of_traffic() -> None:
    source = FakeTrafficSource()
    source.silence("balancer restarted")
    assert await source.read() == Missing("balancer restarted")


def test_the_store_finds_the_newest_decision_about_a_cell() -> None:
    store = MemoryStore()
    for now_s, cell in [(1.0, "a"), (2.0, "a"), (3.0, "b")]:
        store.record(decision(now_s, cell), {"p": float("inf")})
    found = store.latest("a")
    assert found is not None
    assert found["decision"]["now_s"] == 2.0
    assert found["decision"]["routing"]["kind"] == "hold"
    assert found["decision"]["plan"]["splits"] == {"eu/search": {"shares": {"a": 1.0}, "shed": 0}}
    assert found["inputs"] == {"p": "Infinity"}
    assert store.latest("c") is None


def test_the_store_keeps_values_as_json_would() -> None:
    store = MemoryStore()
    store.put("cells", {"a": (1, 2)})
    assert store.get("cells") == {"a": [1, 2]}
    assert store.get("status") is None


def decision(now_s: float, cell: str) -> Decision:
    reason = Reason(subject=cell, code="memory.exhausts", text="memory reaches its limit")
    return Decision(
        now_s=now_s,
        routing=Hold(because=(reason,)),
        plan=Plan(splits={Flow("eu", "search"): Split(shares={"a": 1.0})}),
    )
