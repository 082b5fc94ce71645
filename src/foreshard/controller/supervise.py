"""This module is the parent of Foreshard's processes: it starts them and starts them again.

Each survives the others: a hung engine does not keep `serve` from answering balancers, and a
dead `serve` does not keep the engine from watching.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from foreshard.controller import process
from foreshard.controller.follow import FILE_VARIABLE, FORMAT_VARIABLE, follow
from foreshard.model.errors import ProcessError

__all__ = ["supervise"]

log = structlog.get_logger(__name__)

# A process that dies at once is not started again in a tight loop; one that ran well is.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
RAN_WELL_S = 10.0
# One that was killed from outside did nothing wrong: while it is away nobody fails over.
KILLED_PAUSE_S = 1.0


async def supervise(
    commands: Mapping[str, Sequence[str]], *, log_dir: Path, stop: asyncio.Event
) -> None:
    """Keep every command running until `stop` is set, then end them all.

    A process that ends with an error before it ever ran well is not one that died but one that
    cannot run: then all end.

    Args:
        commands: Program and arguments by name, in the order of starting.
        log_dir: Gets one log file per process.
        stop: Set it to end all.

    Raises:
        ProcessError: A process cannot be created; the others were ended.
    """
    ends = {name: asyncio.Event() for name in commands}
    keepers = {
        name: asyncio.create_task(_keep(name, argv, log_dir / f"{name}.log", ends[name]))
        for name, argv in commands.items()
    }
    ears = [
        asyncio.create_task(follow(log_dir / f"{name}.log", process=name)) for name in commands
    ]
    stopped = asyncio.create_task(stop.wait())
    # A keeper that ends by itself could not start its process at all.
    await asyncio.wait({stopped, *keepers.values()}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for name in reversed(keepers):
        ends[name].set()
        await asyncio.wait({keepers[name]})
    for ear in ears:
        ear.cancel()
    await asyncio.gather(*ears, return_exceptions=True)
    errors = [error for keeper in keepers.values() if (error := keeper.exception()) is not None]
    if errors:
        raise errors[0]


async def _keep(name: str, argv: Sequence[str], log_file: Path, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    pause_s, has_run_well = FIRST_PAUSE_S, False
    env = {FORMAT_VARIABLE: "json", FILE_VARIABLE: str(log_file)}
    while not stop.is_set():
        try:
            child = await process.start(argv, name=name, log=log_file, env=env)
        except ProcessError as error:
            if not has_run_well:
                stop.set()
                raise
            log.error("process.unstartable", process=name, error=str(error))  # noqa: TRY400 - said whole
            await asyncio.sleep(LONGEST_PAUSE_S)
            continue
        began = loop.time()
        log.info("process.started", process=name, pid=child.pid, log=str(log_file))
        ended = asyncio.create_task(child.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set():
            await child.terminate()
            await ended
            return
        ran_well = loop.time() - began > RAN_WELL_S
        has_run_well |= ran_well
        if not has_run_well and ended.result() > 0:
            stop.set()
            raise ProcessError(f"{name} cannot run: {child.tail(1)}")
        pause_s = FIRST_PAUSE_S if ran_well else 2.0 * pause_s
        pause_s = min(pause_s, KILLED_PAUSE_S if ended.result() < 0 else LONGEST_PAUSE_S)
        log.error(
            "process.died",
            process=name,
            status=ended.result(),
            again_in_s=pause_s,
            said=child.tail(2),
            log=str(log_file),
        )
        try:
            await asyncio.wait_for(stop.wait(), timeout=pause_s)
        except TimeoutError:
            continue
