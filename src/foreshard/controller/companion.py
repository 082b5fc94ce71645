"""This module is a process beside the engine: started when it is wanted, and again when it dies.

It runs on a leash (see `process`): however the engine ends, it ends. Its death costs what it does
and nothing else, and is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from foreshard.controller import process
from foreshard.controller.follow import FILE_VARIABLE, FORMAT_VARIABLE
from foreshard.controller.process import Child
from foreshard.model.errors import ProcessError

__all__ = ["accompany", "run_once", "surroundings"]

log = structlog.get_logger(__name__)

LOOK_S = 1.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
# One that ran so long did not die of its beginning.
RAN_WELL_S = 60.0


async def accompany(
    name: str, argv: Sequence[str], *, log_file: Path, is_wanted: Callable[[], bool]
) -> None:
    """Keep a process running while it is wanted, until cancelled.

    Args:
        name: For messages.
        argv: Program and arguments.
        log_file: Gets what it says.
        is_wanted: Asked every second; must not block.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        if not is_wanted():
            await asyncio.sleep(LOOK_S)
            continue
        began_s = asyncio.get_running_loop().time()
        try:
            child = await process.start(argv, name=name, log=log_file, env=surroundings(log_file))
        except ProcessError as error:
            log.error("companion.unstartable", process=name, error=str(error))  # noqa: TRY400 - said whole
            await asyncio.sleep(LONGEST_PAUSE_S)
            continue
        log.info("companion.started", process=name, pid=child.pid, log=str(log_file))
        try:
            ended = await _watched(child, is_wanted)
        finally:
            child.kill()
        if not ended:
            log.info("companion.ended", process=name, because="it is not wanted any more")
            continue
        ran_well = asyncio.get_running_loop().time() - began_s > RAN_WELL_S
        pause_s = FIRST_PAUSE_S if ran_well else min(2.0 * pause_s, LONGEST_PAUSE_S)
        log.error(
            "companion.died",
            process=name,
            status=child.returncode,
            again_in_s=pause_s,
            said=child.tail(2),
        )
        await asyncio.sleep(pause_s)


async def run_once(
    name: str, argv: Sequence[str], *, log_file: Path, most_s: float
) -> tuple[int, str]:
    """Run a program to its end, or to the end of its time; its status, and what it said last.

    Raises:
        ProcessError: It cannot be started.
    """
    child = await process.start(argv, name=name, log=log_file, env=surroundings(log_file))
    try:
        async with asyncio.timeout(most_s):
            status = await child.wait()
    except TimeoutError:
        return -1, f"it was ended after {most_s:g} s"
    finally:
        child.kill()
    return status, child.tail(2)


def surroundings(log_file: Path) -> Mapping[str, str]:
    """What a child has to know of where it speaks."""
    return {FORMAT_VARIABLE: "json", FILE_VARIABLE: str(log_file)}


async def _watched(child: Child, is_wanted: Callable[[], bool]) -> bool:
    """Whether it ended by itself; a child that is not wanted any more is ended."""
    while True:
        try:
            async with asyncio.timeout(LOOK_S):
                await child.wait()
        except TimeoutError:
            if is_wanted():
                continue
            await child.terminate()
            return False
        return True
