import asyncio
import time

from tests.conftest import BLOCKED_S, LoopGuard


async def _watched(seconds: float, *, blocking: bool) -> LoopGuard:
    guard = LoopGuard(asyncio.get_running_loop())
    guard.start()
    if blocking:
        time.sleep(seconds)  # noqa: ASYNC251 - the very thing the guard is for
    else:
        await asyncio.sleep(seconds)
    guard.stop()
    return guard


def test_a_blocked_event_loop_is_seen_with_its_place() -> None:
    # Long enough that a busy machine still has ten beats on time.
    guard = asyncio.run(_watched(4 * BLOCKED_S, blocking=True))
    assert guard.blocked_at
    assert "time.sleep" in guard.blocked_at[0]


def test_an_event_loop_that_only_waits_is_left_alone() -> None:
    guard = asyncio.run(_watched(2 * BLOCKED_S, blocking=False))
    assert not guard.blocked_at


async def test_asyncio_tests_are_watched(loop_guard: LoopGuard) -> None:
    await asyncio.sleep(0)
    assert not loop_guard.blocked_at
