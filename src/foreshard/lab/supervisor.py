"""This module is the owner of one fleet: it starts the cells, and whatever it started it ends."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from foreshard.controller.process import PortHold, hold_port
from foreshard.lab import service
from foreshard.lab.cell.app import CellSettings
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.keeper import CellStatus, Keeper, Patience
from foreshard.model.errors import LabError
from foreshard.model.topology import Fleet

__all__ = ["Supervisor"]

HEALTH_TIMEOUT: Final = aiohttp.ClientTimeout(total=1.0)


class Supervisor:
    """One fleet of cell processes; use it with `async with`.

    Args:
        cells: Names out of `sites`; None = all of them.
        sites: Where cells stand.
        logs: Directory for one log file a cell; None = a temporary one, removed at the end.
        patience: How long restarts take.
        versions: Of the service by cell; "1.0" where nothing is said.
        memory_room_bytes: Growth after which a cell is killed.
    """

    def __init__(
        self,
        *,
        cells: Sequence[str] | None = None,
        sites: Sequence[service.Site] = service.SITES,
        logs: Path | None = None,
        patience: Patience | None = None,
        versions: Mapping[str, str] | None = None,
        memory_room_bytes: int = service.MEMORY_ROOM_BYTES,
    ) -> None:
        known = [site.name for site in sites]
        names = known if cells is None else list(cells)
        strangers = sorted(set(names) - set(known))
        if strangers or not names:
            raise LabError(
                f"fleet: cells {strangers} are unknown; name at least one of {', '.join(known)}"
            )
        self._names = tuple(names)
        self._sites = tuple(sites)
        self._logs = logs
        self._patience = patience or Patience()
        self._versions = dict(versions or {})
        self._memory_room_bytes = memory_room_bytes
        self._holds: dict[str, PortHold] = {}
        self._keepers: dict[str, Keeper] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._maintenance: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Start all cells at once and return when every one answers.

        Raises:
            LabError: One does not; nothing is left running then.
        """
        try:
            self._prepare()
            for keeper in self._keepers.values():
                self._tasks.add(asyncio.create_task(keeper.run()))
            await asyncio.gather(*(keeper.first_up() for keeper in self._keepers.values()))
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End every cell at once; may be called again."""
        tasks = (*self._tasks, *self._maintenance.values())
        for keeper in self._keepers.values():
            keeper.kill()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        for hold in self._holds.values():
            hold.release()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def ports(self) -> Mapping[str, int]:
        """Where each cell listens, also while it is down.

        Raises:
            LabError: The fleet was not started.
        """
        if not self._holds:
            raise LabError("fleet: it has no ports before it is started")
        return {name: hold.port for name, hold in self._holds.items()}

    @property
    def fleet(self) -> Fleet:
        """The topology that this supervisor runs."""
        return service.fleet(self.ports, sites=self._sites)

    def status(self) -> Mapping[str, CellStatus]:
        """Every cell at this moment."""
        return {name: keeper.status for name, keeper in self._keepers.items()}

    def kill(self, cell: str) -> None:
        """Crash a cell (SIGKILL); it is started again after the restart delay."""
        self._keeper(cell).kill()

    def recycle(self, cell: str) -> None:
        """Restart a cell gently; one that is down or on its way is left alone."""
        self._keeper(cell).recycle()

    def power_off(self, cell: str) -> None:
        """Switch a cell's host off: it finishes what it has and stays down."""
        self._keeper(cell).power_off()

    def power_on(self, cell: str) -> None:
        """Switch a cell's host on again."""
        self._keeper(cell).power_on()

    async def inject(self, cell: str, fault: Fault) -> None:
        """Begin a fault.

        A leak, creep, full disk or empty pool ends with the process; a slow dependency goes on
        through restarts; maintenance switches the host off now and on after `duration_s`.

        Raises:
            LabError: The cell is unknown, not up, or does not answer.
        """
        keeper = self._keeper(cell)
        match fault.kind:
            case FaultKind.CRASH:
                keeper.kill()
            case FaultKind.MAINTENANCE:
                self._end_maintenance(cell)
                off_s = fault.duration_s - fault.elapsed_s
                self._maintenance[cell] = asyncio.create_task(self._maintain(keeper, off_s))
            case _:
                await keeper.inject(fault)

    async def clear(self, cell: str) -> None:
        """End a cell's faults, maintenance too.

        Raises:
            LabError: The cell is unknown, or is up and does not answer.
        """
        keeper = self._keeper(cell)
        self._end_maintenance(cell)
        keeper.power_on()
        await keeper.clear()

    def _prepare(self) -> None:
        if self._keepers:
            raise LabError("fleet: it was started already")
        if self._logs is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="foreshard-cells-")
            self._logs = Path(self._temporary.name)
        self._session = aiohttp.ClientSession(
            timeout=HEALTH_TIMEOUT, connector=aiohttp.TCPConnector(force_close=True)
        )
        for name in self._names:
            self._holds[name] = hold_port()
            settings = CellSettings(
                name=name,
                port=self._holds[name].port,
                version=self._versions.get(name, "1.0"),
                memory_room_bytes=self._memory_room_bytes,
            )
            self._keepers[name] = Keeper(
                settings,
                patience=self._patience,
                log=self._logs / f"{name}.log",
                session=self._session,
            )

    def _keeper(self, cell: str) -> Keeper:
        keeper = self._keepers.get(cell)
        if keeper is None:
            raise LabError(f"cell {cell!r} is unknown; there are {', '.join(self._keepers)}")
        return keeper

    async def _maintain(self, keeper: Keeper, for_s: float) -> None:
        keeper.power_off()
        await asyncio.sleep(for_s)
        keeper.power_on()

    def _end_maintenance(self, cell: str) -> None:
        task = self._maintenance.pop(cell, None)
        if task is not None:
            task.cancel()
