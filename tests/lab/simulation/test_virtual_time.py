from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.simulation import virtual_time
from foreshard.lab.simulation.virtual_time import VirtualClock, VirtualExecutor, VirtualLoop
from foreshard.model.errors import LabError

START_S = 1_000_000.0


def play(work: Coroutine[Any, Any, Any], loop: VirtualLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)


def test_a_year_of_sleep_takes_no_time_and_ends_on_the_second() -> None:
    loop = VirtualLoop(start_s=START_S)
    clock = VirtualClock(loop)

    async def work() -> None:
        for _ in range(365):
            await clock.sleep(86_400.0)

    play(work(), loop)
    assert loop.time() == START_S + 365 * 86_400.0


@given(st.lists(st.integers(min_value=0, max_value=50), min_size=1, max_size=20))
def test_sleepers_wake_on_time_and_in_the_same_order_in_every_run(tenths: list[int]) -> None:
    runs = []
    for _ in range(2):
        loop = VirtualLoop(start_s=START_S)
        runs.append(_wake(loop, VirtualClock(loop), tenths))
    assert runs[0] == runs[1]
    times = [now_s for now_s, _ in runs[0]]
    assert times == sorted(times)
    for now_s, number in runs[0]:
        assert now_s == pytest.approx(START_S + 0.1 * tenths[number], abs=1e-9)


def _wake(loop: VirtualLoop, clock: VirtualClock, tenths: list[int]) -> list[tuple[float, int]]:
    woken: list[tuple[float, int]] = []

    async def sleeper(number: int, tenth: int) -> None:
        await clock.sleep(0.1 * tenth)
        woken.append((clock.now_s(), number))

    async def work() -> None:
        await asyncio.gather(*(sleeper(n, tenth) for n, tenth in enumerate(tenths)))

    play(work(), loop)
    return woken


def test_the_plant_moves_before_whoever_wakes_at_that_moment_looks() -> None:
    moved: list[float] = []
    loop = VirtualLoop(start_s=10.0, advance=moved.append)
    clock = VirtualClock(loop)
    seen: list[tuple[float, list[float]]] = []

    async def work() -> None:
        for _ in range(3):
            await clock.sleep(1.5)
            seen.append((clock.now_s(), list(moved)))

    play(work(), loop)
    assert seen == [(11.5, [11.5]), (13.0, [11.5, 13.0]), (14.5, [11.5, 13.0, 14.5])]


def test_who_waits_for_what_never_comes_is_named() -> None:
    async def hopeful() -> None:
        await asyncio.Event().wait()

    with pytest.raises(
        LabError, match=r"nothing will ever happen; waiting: .*hopeful.*Event.wait"
    ):
        play(hopeful(), VirtualLoop())


def test_who_lets_time_stand_still_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "MOST_TURNS", 50)

    async def restless() -> None:
        for _ in range(1_000):
            await asyncio.sleep(0.0)

    with pytest.raises(LabError, match=r"stood still .* 50 turns.*restless"):
        play(restless(), VirtualLoop())


def test_a_thread_is_refused() -> None:
    async def work() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(LabError, match="was to run on a thread"):
        play(work(), VirtualLoop())


def test_a_socket_is_refused() -> None:
    async def work() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(0.0)
            await asyncio.get_running_loop().sock_recv(ours, 1)

    with pytest.raises(LabError, match="waits for a socket"):
        play(work(), VirtualLoop())


def test_what_is_computed_arrives_late_and_in_turn() -> None:
    loop = VirtualLoop(start_s=0.0)
    executor = VirtualExecutor(VirtualClock(loop), delay_s=0.25)
    arrived: list[tuple[float, int]] = []

    async def ask(number: int) -> None:
        result = await executor.run(lambda: number)
        arrived.append((loop.time(), result))

    async def work() -> None:
        await asyncio.gather(ask(1), ask(2))

    play(work(), loop)
    assert arrived == [(0.25, 1), (0.5, 2)]


def test_what_cannot_be_computed_is_said_as_late() -> None:
    loop = VirtualLoop(start_s=0.0)
    executor = VirtualExecutor(VirtualClock(loop), delay_s=0.25)

    def fail() -> None:
        raise ArithmeticError("no")

    async def work() -> None:
        with pytest.raises(ArithmeticError, match="no"):
            await executor.run(fail)

    play(work(), loop)
    assert loop.time() == 0.25


def test_a_delay_that_cannot_be_is_refused() -> None:
    loop = VirtualLoop()
    with pytest.raises(LabError, match="delay_s is -1"):
        VirtualExecutor(VirtualClock(loop), delay_s=-1.0)
    loop.close()
