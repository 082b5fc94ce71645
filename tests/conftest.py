"""This module is what every test stands on: golden files, and an event loop nobody may block."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is nothing that a test asserts: a busy machine proves nothing.
settings.register_profile("foreshard", deadline=None)
settings.load_profile("foreshard")

GOLDEN = Path(__file__).parent / "golden"

# Half a tick of the real loop. A loop that answers nobody for so long delays acknowledgements.
BLOCKED_S = 0.5
BEAT_S = 0.05
# A beat that comes later than this says that the machine was busy, not that the loop was.
ON_TIME_S = 2 * BEAT_S


IS_REWRITING = os.environ.get("FORESHARD_GOLDEN") == "rewrite"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare text with a file in tests/golden; `make golden` rewrites the file instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if IS_REWRITING:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} does not exist: write it with `make golden`"
        assert text == path.read_text(encoding="utf-8"), (
            f"{path} differs: if the change is meant, rewrite it with `make golden`"
        )

    return compare


class LoopGuard:
    """Asks the event loop for a sign of life from a thread of its own.

    Only beats that came on time count, so a starved machine is not taken for a blocked loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._done = threading.Event()
        self._alive = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-guard", daemon=True)
        self.blocked_at: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        silent_s = 0.0
        self._loop.call_soon_threadsafe(self._alive.set)
        while not self._done.is_set():
            began = time.monotonic()
            self._done.wait(BEAT_S)
            beat_s = time.monotonic() - began
            if self._alive.is_set():
                self._alive.clear()
                silent_s = 0.0
                self._loop.call_soon_threadsafe(self._alive.set)
            elif beat_s <= ON_TIME_S:
                silent_s += beat_s
            if silent_s >= BLOCKED_S:
                frame = sys._current_frames().get(self._loop_thread)
                self.blocked_at.append("".join(traceback.format_stack(frame, limit=6)))
                return


@pytest.fixture
async def loop_guard() -> AsyncIterator[LoopGuard]:
    """Watch the event loop of this test."""
    guard = LoopGuard(asyncio.get_running_loop())
    guard.start()
    try:
        yield guard
    finally:
        guard.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every asyncio test is watched, unless it is marked `may_block`."""
    for item in items:
        if not isinstance(item, pytest.Function) or item.get_closest_marker("may_block"):
            continue
        # A property runs its loop anew for each example: in between nobody would answer.
        if inspect.iscoroutinefunction(item.function):
            item.fixturenames.append("loop_guard")
    if IS_REWRITING:
        # Whoever rewrites golden files wants no other test.
        asked = [item for item in items if "golden" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(asked)])
        items[:] = asked


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that blocked its event loop fails, however well it went."""
    result = yield
    guard = pyfuncitem.funcargs.get("loop_guard")
    if isinstance(guard, LoopGuard) and guard.blocked_at:
        pytest.fail(f"the event loop was blocked for {BLOCKED_S} s:\n{guard.blocked_at[0]}")
    return result
