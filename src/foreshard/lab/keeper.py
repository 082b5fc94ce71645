"""This module is whoever keeps one cell alive: start, watch, start again after a while."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from foreshard.controller import process
from foreshard.lab import service
from foreshard.lab.cell.app import CellSettings
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.cell.memory import HEAP_ENVIRONMENT
from foreshard.model.errors import InvalidValueError, LabError, ProcessError

__all__ = ["CellState", "CellStatus", "Keeper", "Patience"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

POLL_S: Final = 0.05
ASK_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)


class CellState(StrEnum):
    """What a cell's process is doing, as its keeper sees it."""

    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStatus:
    """One cell at one moment.

    Attributes:
        cell: Its name.
        state: See `CellState`.
        port: Where it listens, in all its lives.
        pid: Of its process; None while there is none.
        restarts: Lives before this one.
        since_s: When it entered the state, seconds since the epoch.
    """

    cell: str
    state: CellState
    port: int
    pid: int | None
    restarts: int
    since_s: float

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        return self.state is CellState.UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a keeper waits for what.

    Attributes:
        restart_delay_s: From a death to the next start, as a container's restart takes: more
            than the 3-5 s in which a reactive failover moves the keys away.
        start_timeout_s: From a start to the first answer.
        grace_s: From SIGTERM to SIGKILL; longer than a cell drains.
    """

    restart_delay_s: float = 6.0
    start_timeout_s: float = 20.0
    grace_s: float = 9.0

    def __post_init__(self) -> None:
        if not (self.restart_delay_s >= 0.0 and self.start_timeout_s > 0.0 < self.grace_s):
            raise InvalidValueError(f"patience: {self} must hold positive times")


class Keeper:
    """Keeps one cell alive on one port."""

    def __init__(
        self,
        settings: CellSettings,
        *,
        patience: Patience,
        log: Path,
        session: aiohttp.ClientSession,
    ) -> None:
        self._settings = settings
        self._patience = patience
        self._log = log
        self._session = session
        self._url = f"http://{service.HOST}:{settings.port}"
        self._child: process.Child | None = None
        self._state = CellState.OFF
        self._since_s = time.time()
        self._lives = 0
        self._powered = asyncio.Event()
        self._powered.set()
        # Faults whose cause is outside the process, and when (monotonic) they were injected.
        self._outside: dict[FaultKind, tuple[Fault, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def status(self) -> CellStatus:
        """The present state."""
        running = self._child is not None and self._child.is_running
        return CellStatus(
            cell=self._settings.name,
            state=self._state,
            port=self._settings.port,
            pid=self._child.pid if running and self._child else None,
            restarts=max(0, self._lives - 1),
            since_s=self._since_s,
        )

    async def first_up(self) -> None:
        """Return when the cell has answered for the first time.

        Raises:
            LabError: Its first life ended before it answered.
        """
        await self._first

    async def run(self) -> None:
        """Keep the cell alive until cancelled; then nothing of it is left."""
        try:
            while True:
                await self._powered.wait()
                await self._try_to_live()
                if self._powered.is_set():
                    self._enter(CellState.RESTARTING)
                    await asyncio.sleep(self._patience.restart_delay_s)
                else:
                    self._enter(CellState.OFF)
        finally:
            for task in self._tasks:
                task.cancel()
            if not self._first.done():
                self._first.cancel()

    def kill(self) -> None:
        """End the process as a crash does (SIGKILL); it is started again."""
        if self._child is not None:
            self._child.kill()

    def recycle(self) -> None:
        """Let the cell finish what it has, then start it again.

        Nothing happens when it is already on its way down or up, or switched off.
        """
        if self._state is CellState.UP:
            self._stop()

    def power_off(self) -> None:
        """Let the cell finish what it has and stay down."""
        self._powered.clear()
        if self._state is CellState.RESTARTING:
            self._enter(CellState.OFF)
        elif self._state in {CellState.UP, CellState.STARTING}:
            self._stop()

    def power_on(self) -> None:
        """Start the cell again; nothing happens when its host is on."""
        self._powered.set()

    async def inject(self, fault: Fault) -> None:
        """Begin a fault inside the process.

        Raises:
            LabError: The cell is not up, or refuses.
        """
        if fault.kind.is_outside:
            self._outside[fault.kind] = (fault, time.monotonic())
        elif self._state is not CellState.UP:
            raise LabError(
                f"cell {self._settings.name} is {self._state}: it must be up for {fault.kind}"
            )
        if self._state is CellState.UP:
            await self._post("/-/fault", fault.to_json())

    async def clear(self) -> None:
        """End all faults of the cell.

        Raises:
            LabError: It is up and does not answer.
        """
        self._outside.clear()
        if self._state is CellState.UP:
            await self._post("/-/clear", {})

    def _enter(self, state: CellState) -> None:
        self._state = state
        self._since_s = time.time()

    def _stop(self) -> None:
        self._enter(CellState.STOPPING)
        if self._child is not None:
            self._spawn(self._terminate(self._child))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _terminate(self, child: process.Child) -> None:
        await child.terminate(grace_s=self._patience.grace_s)

    async def _try_to_live(self) -> None:
        try:
            await self._live()
        except (LabError, ProcessError) as error:
            log.warning("cell.life_failed", cell=self._settings.name, because=str(error))
            if not self._first.done():
                self._first.set_exception(error)

    async def _live(self) -> None:
        """One life: from the start of the process to its end."""
        self._enter(CellState.STARTING)
        name = self._settings.name
        argv = [sys.executable, "-m", "foreshard.lab.cell", "--name", name]
        argv += ["--port", str(self._settings.port), "--version", self._settings.version]
        argv += ["--memory-room-bytes", str(self._settings.memory_room_bytes)]
        child = await process.start(argv, name=f"cell {name}", log=self._log, env=HEAP_ENVIRONMENT)
        self._child = child
        self._lives += 1
        try:
            if self._state is not CellState.STARTING or not self._powered.is_set():
                self._stop()
            elif await self._answers(child):
                self._enter(CellState.UP)
                await self._resume_outside_faults()
                if not self._first.done():
                    self._first.set_result(None)
            elif self._state is CellState.STARTING:
                raise LabError(f"cell {name} does not answer at {self._url}: {child.tail()}")
            await child.wait()
        finally:
            child.kill()
            await child.wait()
            self._child = None

    async def _answers(self, child: process.Child) -> bool:
        """Wait for the first answer; a process that stays silent is ended."""
        deadline_s = time.monotonic() + self._patience.start_timeout_s
        while child.is_running and time.monotonic() < deadline_s:
            try:
                async with self._session.get(f"{self._url}/health") as answer:
                    told = await answer.json()
                if told.get("pid") == child.pid:
                    return self._state is CellState.STARTING
            except (aiohttp.ClientError, TimeoutError, ValueError):
                pass
            await asyncio.sleep(POLL_S)
        child.kill()
        return False

    async def _resume_outside_faults(self) -> None:
        now_s = time.monotonic()
        for fault, injected_s in tuple(self._outside.values()):
            await self._post("/-/fault", fault.older(now_s - injected_s).to_json())

    async def _post(self, path: str, body: dict[str, str | float]) -> None:
        name = self._settings.name
        try:
            async with self._session.post(
                f"{self._url}{path}", json=body, timeout=ASK_TIMEOUT
            ) as answer:
                if answer.status != 200:
                    raise LabError(f"cell {name} refuses {body}: {await answer.text()}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LabError(f"cell {name} does not answer {path}: {error!r}") from error
