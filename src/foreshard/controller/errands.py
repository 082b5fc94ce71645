"""This module is what the loop has others do meanwhile: restart cells, tell of slots that move.

A notice is told at most once at a time, in the background, so that a slow service holds up no
tick; what is answered is there for the next look. Whatever fails is told again, for the engine
names it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from foreshard.model.errors import DriverError
from foreshard.model.handover import Notice, Reply, Step
from foreshard.model.plan import Recycle
from foreshard.ports import CellDriver, SlotMover

__all__ = ["Teller", "recycle"]

log = structlog.get_logger(__name__)


async def recycle(driver: CellDriver | None, wanted: Recycle) -> None:
    """Ask for the restart of a cell; never raises for a refusal, but says so."""
    if driver is None:
        log.warning("cell.no_driver", cell=wanted.cell, wanted=wanted.because.text)
        return
    try:
        await driver.recycle(wanted.cell)
    except DriverError as error:
        log.warning("cell.recycle_failed", cell=wanted.cell, error=str(error))
    else:
        log.info("cell.recycled", cell=wanted.cell)


class Teller:
    """Tells notices and keeps the replies until they are taken.

    Args:
        mover: Speaks with the services; None = nobody can be told, so nothing is ever ready.
    """

    def __init__(self, mover: SlotMover | None) -> None:
        self._mover = mover
        self._replies: list[Reply] = []
        self._under_way: dict[tuple[str, Step], asyncio.Task[None]] = {}
        self._said: dict[tuple[str, Step], str] = {}

    def tell(self, notices: Iterable[Notice]) -> None:
        """Begin to tell what is not being told already."""
        due = {(notice.handover, notice.step): notice for notice in notices}
        self._said = {key: text for key, text in self._said.items() if key in due}
        if self._mover is None:
            return
        for key, notice in due.items():
            if key not in self._under_way:
                self._under_way[key] = asyncio.ensure_future(self._tell(self._mover, notice))

    def take(self) -> tuple[Reply, ...]:
        """The replies since the last time."""
        taken, self._replies = tuple(self._replies), []
        return taken

    async def aclose(self) -> None:
        """Give up what is under way; it is told again after a restart."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, mover: SlotMover, notice: Notice) -> None:
        key = notice.handover, notice.step
        try:
            reply = await mover.tell(notice)
            self._replies.append(reply)
        except DriverError as error:
            if self._said.get(key) != str(error):
                self._said[key] = str(error)
                log.warning("handover.untold", step=str(notice.step), error=str(error))
        finally:
            del self._under_way[key]
