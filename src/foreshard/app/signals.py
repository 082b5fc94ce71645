"""This module is how a process of ours ends: at a signal, in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

__all__ = ["stop_on_signals"]


def stop_on_signals(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `work(stop)`; Ctrl-C and SIGTERM set `stop`, so that everything is ended in order."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sent in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sent, stop.set)
        await work(stop)

    asyncio.run(main())
