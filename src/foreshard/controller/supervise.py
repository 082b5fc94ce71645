"""This module is the parent of Foreshard's processes: it starts them and starts them again.

Each survives the others: a hung engine does not keep `serve` from answering balancers, nor does
one that cannot start, and a dead `serve` does not keep the engine from watching.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from foreshard.controller import process
from foreshard.controller.follow import FILE_VARIABLE, FORMAT_VARIABLE, follow
from foreshard.controller.last_words import SPARE_VARIABLE, has_room
from foreshard.controller.process import STDERR, Child
from foreshard.model.errors import ProcessError

__all__ = ["supervise"]

log = structlog.get_logger(__name__)

# A process that dies at once is not started again in a tight loop; one that ran well is.
FIRST_PAUSE_S = 0.2
# A start costs seconds of cpu, which the others need.
LONGEST_PAUSE_S = 15.0
RAN_WELL_S = 10.0
# One that was killed from outside did nothing wrong: while it is away nobody fails over.
KILLED_PAUSE_S = 1.0


async def supervise(
    commands: Mapping[str, Sequence[str]],
    *,
    vital: AbstractSet[str],
    log_dir: Path,
    stop: asyncio.Event,
) -> None:
    """Keep every command running until `stop` is set, then end them all.

    A vital process that ends with an error before it ever ran well is not one that died but one
    that cannot run: then all end. Any other is tried again and again.

    Args:
        commands: Program and arguments by name, in the order of starting.
        vital: Names of those without which the others are of no use.
        log_dir: Gets one log file per process.
        stop: Set it to end all.

    Raises:
        ProcessError: A vital process cannot run; the others were ended.
    """
    with _spare() as spare:
        keepers = {
            name: _Keeper(
                name=name,
                argv=argv,
                is_vital=name in vital,
                log_file=log_dir / f"{name}.log",
                spare=spare,
            )
            for name, argv in commands.items()
        }
        await _supervise(keepers, stop)


async def _supervise(keepers: Mapping[str, _Keeper], stop: asyncio.Event) -> None:
    work = {name: asyncio.create_task(keeper.keep()) for name, keeper in keepers.items()}
    ears = [
        asyncio.create_task(follow(keeper.log_file, process=name))
        for name, keeper in keepers.items()
    ]
    stopped = asyncio.create_task(stop.wait())
    # A keeper that ends by itself could not start its process at all.
    await asyncio.wait({stopped, *work.values()}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for name in reversed(work):
        keepers[name].stop.set()
        await asyncio.wait({work[name]})
    for ear in ears:
        ear.cancel()
    await asyncio.gather(*ears, return_exceptions=True)
    errors = [error for task in work.values() if (error := task.exception()) is not None]
    if errors:
        raise errors[0]


@dataclass(slots=True, kw_only=True)
class _Keeper:
    name: str
    argv: Sequence[str]
    is_vital: bool
    log_file: Path
    spare: int | None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    pause_s: float = FIRST_PAUSE_S
    in_a_row: int = 0
    has_run_well: bool = False

    async def keep(self) -> None:
        """Start it, and again whenever it ended, until `stop` is set.

        Raises:
            ProcessError: It is vital and cannot run.
        """
        clock = asyncio.get_running_loop()
        while not self.stop.is_set():
            try:
                child = await self._started()
            except ProcessError as error:
                if self.is_vital and not self.has_run_well:
                    raise
                self._lengthen(LONGEST_PAUSE_S)
                log.error(  # noqa: TRY400 - said whole
                    "process.unstartable",
                    process=self.name,
                    error=str(error),
                    in_a_row=self.in_a_row,
                    again_in_s=self.pause_s,
                )
                await self._rest()
                continue
            began_s = clock.time()
            status = await self._ended(child)
            if status is None:
                return
            if clock.time() - began_s > RAN_WELL_S:
                self.has_run_well, self.in_a_row = True, 0
                # The first pause is the first one.
                self.pause_s = FIRST_PAUSE_S / 2.0
            if status > 0 and self.is_vital and not self.has_run_well:
                raise ProcessError(f"{self.name} cannot run: {self._last_of(child, 1)}")
            self._lengthen(KILLED_PAUSE_S if status < 0 else LONGEST_PAUSE_S)
            log.error(
                "process.died",
                process=self.name,
                status=status,
                said=self._last_of(child, 2),
                in_a_row=self.in_a_row,
                again_in_s=self.pause_s,
                log=str(self.log_file),
            )
            await self._rest()

    async def _started(self) -> Child:
        env = {FORMAT_VARIABLE: "json", FILE_VARIABLE: str(self.log_file)}
        keeps: tuple[int, ...] = ()
        out = None
        if self.spare is not None:
            if has_room(self.log_file):
                env[SPARE_VARIABLE], keeps = str(self.spare), (self.spare,)
            else:
                log.error("process.log_full", process=self.name, log=str(self.log_file))
                env, out = {FILE_VARIABLE: ""}, self.spare
        child = await process.start(
            self.argv, name=self.name, log=self.log_file, out=out, env=env, keeps=keeps
        )
        log.info("process.started", process=self.name, pid=child.pid, log=str(self.log_file))
        return child

    async def _ended(self, child: Child) -> int | None:
        """Its exit status; None when it was asked to end."""
        ended = asyncio.create_task(child.wait())
        stopped = asyncio.create_task(self.stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self.stop.is_set():
            await child.terminate()
            await ended
            return None
        return ended.result()

    def _last_of(self, child: Child, lines: int) -> str:
        if not has_room(child.log):
            return "(its log is full; what it said last stands on our own standard error)"
        return child.tail(lines)

    def _lengthen(self, longest_s: float) -> None:
        self.in_a_row += 1
        self.pause_s = min(2.0 * self.pause_s, longest_s)

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self.stop.wait(), timeout=self.pause_s)
        except TimeoutError:
            return


@contextmanager
def _spare() -> Iterator[int | None]:
    """A second name of our standard error, for children whose own is a log."""
    try:
        spare = os.dup(STDERR)
    except OSError:
        # It is closed: there is nobody to speak to.
        yield None
        return
    try:
        yield spare
    finally:
        os.close(spare)
