"""This module is a cell on the command line: `python -m foreshard.lab.cell --name N --port P`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys

import prometheus_client
import uvloop

from foreshard.lab import service
from foreshard.lab.cell.app import CellSettings, run
from foreshard.model.errors import ForeshardError

__all__ = ["main"]


async def _serve(settings: CellSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sent in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sent, stop.set)
    await run(settings, stop=stop)


def main() -> int:
    """Run one cell until SIGTERM."""
    parser = argparse.ArgumentParser(prog="foreshard.lab.cell", description="One cell.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--version", default="1.0")
    parser.add_argument("--memory-room-bytes", type=int, default=service.MEMORY_ROOM_BYTES)
    options = parser.parse_args()
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # no types there
    # What the imports left behind never becomes garbage: collections need not look at it.
    gc.collect()
    gc.freeze()
    try:
        settings = CellSettings(
            name=options.name,
            port=options.port,
            version=options.version,
            memory_room_bytes=options.memory_room_bytes,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except ForeshardError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
