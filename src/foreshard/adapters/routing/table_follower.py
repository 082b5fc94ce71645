"""This module is an application's ear: it holds the committed table, and outlives who gave it.

What it heard last stands until something newer comes: the feed that dies changes nothing. With a
directory the table also outlives the application, as a file that is replaced whole, the one before
beside it; a damaged one is refused and said.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from foreshard.adapters.routing.committed import CommittedTable
from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.stream import Say, Stream
from foreshard.adapters.routing.table_frame import Frame, frame_of, unpack_frame
from foreshard.adapters.routing.table_service import TABLES
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable

__all__ = ["TableFollower"]


class TableFollower:
    """Follows the committed table of a Foreshard.

    Args:
        target: Host and port of its discovery service.
        seal: What tables must carry.
        heard: Called with a table that is new, from the event loop.
        say: Told how it goes: "heard", "unheard", "planless", "refused", and "unkept" when the
            directory does not take a table; and why.
        keep: Directory of the last table; None = it is not kept.
    """

    def __init__(
        self,
        target: str,
        seal: Seal,
        *,
        heard: Callable[[RoutingTable], None],
        say: Say,
        keep: Path | None = None,
    ) -> None:
        self._seal = seal
        self._heard = heard
        self._say = say
        self._directory = keep
        self._kept = None if keep is None else CommittedTable(keep)
        self._held: Frame | None = None
        self._confirmed_at_s: float | None = None
        self._stream = Stream(target, TABLES, ask=self._ask, hear=self._hear, say=say)

    @property
    def is_answering(self) -> bool:
        """Whether the control plane answers now, with a plan."""
        return self._stream.is_answering

    @property
    def unconfirmed_s(self) -> float | None:
        """How long ago it was last heard that the table is the live one; None = never here."""
        at_s = self._confirmed_at_s
        return None if at_s is None else time.monotonic() - at_s

    async def run(self) -> None:
        """Take what was kept, then follow until cancelled."""
        await self._load()
        await self._stream.run()

    async def _load(self) -> None:
        if self._kept is None:
            return
        found = await asyncio.to_thread(self._kept.load)
        for problem in found.problems:
            self._say("refused", problem)
        if found.table is not None:
            self._held = await asyncio.to_thread(frame_of, found.table)
            self._heard(found.table)

    def _ask(self) -> bytes:
        return json.dumps({"held": "" if self._held is None else self._held.digest}).encode()

    async def _hear(self, content: bytes) -> None:
        try:
            one = await asyncio.to_thread(unpack_frame, content, self._seal, held=self._held)
        except SinkError:
            # Next time all of it, and what was heard before stands.
            self._held = None
            raise
        is_new = self._held is None or one.digest != self._held.digest
        self._held = one
        if is_new:
            self._heard(one.table)
        self._confirmed_at_s = time.monotonic()
        if is_new and self._kept is not None and self._directory is not None:
            try:
                await asyncio.to_thread(self._keep, self._kept, self._directory, one.table)
            except SinkError as error:
                # The application has it all the same.
                self._say("unkept", str(error))

    def _keep(self, kept: CommittedTable, directory: Path, table: RoutingTable) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SinkError(f"{directory}: cannot be made ({error})") from error
        kept.save(table)
