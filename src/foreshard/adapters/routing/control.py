"""This module is who may change the live table: one rising line of versions, unless frozen.

It needs nothing of the engine's process and asks nothing of it: freezing works when the engine
hangs, and whoever has a table with a higher version is the engine.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from foreshard import __version__
from foreshard.adapters.routing.committed import CommittedTable, Freeze, FreezeFile
from foreshard.adapters.routing.envoy.discovery import Discovery
from foreshard.adapters.routing.table_json import checksum, encode_table
from foreshard.adapters.routing.tally import Tally
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from foreshard.ports import Applied, Rejected

__all__ = ["PlanControl"]

log = structlog.get_logger()


class PlanControl:
    """The live table of one `serve` process.

    Args:
        discovery: Brings tables to proxies.
        data_dir: Keeps the committed table and the freeze.
    """

    def __init__(self, discovery: Discovery, data_dir: Path) -> None:
        self._discovery = discovery
        self.tally = Tally()
        """Paths that match no class, as proxies and others tell them."""
        self._committed_file = CommittedTable(data_dir)
        self._freeze_file = FreezeFile(data_dir)
        self._table: RoutingTable | None = None
        self._freeze: Freeze | None = None
        self._problems: tuple[str, ...] = ()
        self._adopts = True
        self._started_s = time.monotonic()
        self._counts = {"applied": 0, "rejected": 0}
        self._last_rejection = ""
        self._one_at_a_time = asyncio.Lock()
        self._news = asyncio.Event()

    async def restore(self) -> None:
        """Serve what was live before the restart, at once.

        A file that cannot be used is said loudly and skipped; proxies that are connected keep
        what they have until the next table.

        Raises:
            SinkError: The newest file is a newer Foreshard's. To serve the one before, or none,
                would put an old plan in the place of the one that proxies hold.
        """
        self._freeze = await asyncio.to_thread(self._freeze_file.load)
        committed = await asyncio.to_thread(self._committed_file.load)
        self._problems = committed.problems
        for problem in committed.problems:
            log.error("committed.refused", problem=problem)
        if committed.is_newer:
            raise SinkError(
                f"{committed.problems[0]}; run a Foreshard that is as new, or move the file away "
                "to begin without it. Proxies keep what they have meanwhile"
            )
        if committed.table is None:
            return
        try:
            await self._discovery.restore(committed.table, committed_at_s=committed.saved_at_s)
        except SinkError as error:
            self._problems += (f"committed table {committed.table.version}: {error}",)
            log.exception("committed.unrenderable", version=committed.table.version)
            return
        self._table = committed.table
        log.info("committed.restored", version=committed.table.version)

    def table(self) -> RoutingTable | None:
        """The live table."""
        return self._table

    def news(self) -> asyncio.Event:
        """Set when another table is committed than the one that is now."""
        return self._news

    def load(self) -> Sequence[Mapping[str, object]]:
        """What the proxies report of the cells, see `LoadReports.as_json`."""
        return self._discovery.load_reports.as_json()

    def costs(self) -> Mapping[str, Mapping[str, tuple[int, float]]]:
        """What requests said that they cost, see `LoadReports.costs`."""
        return self._discovery.load_reports.costs()

    def charge(self, request_class: str, resource: str, requests: int, total: float) -> None:
        """See `LoadReports.charge`."""
        self._discovery.load_reports.charge(request_class, resource, requests, total)

    async def apply(self, table: RoutingTable) -> Applied | Rejected:
        """Make a table live, or leave the live one untouched."""
        async with self._one_at_a_time:
            outcome = self._refusal(table) or await self._discovery.publish(table)
            match outcome:
                case Applied():
                    self._counts["applied"] += 1
                    self._adopts = False
                    await self._commit(table)
                case Rejected(because=because):
                    self._counts["rejected"] += 1
                    self._last_rejection = because
                    log.warning("table.rejected", version=table.version, because=because)
            return outcome

    async def freeze(self, reason: str) -> str:
        """Refuse every table from now on; also waits for one that is on its way.

        Returns:
            What is wrong with it although it is in force, for people; "" = nothing.
        """
        self._freeze = Freeze(reason=reason, since_s=time.time())
        log.warning("plan.frozen", reason=reason)
        async with self._one_at_a_time:
            try:
                await asyncio.to_thread(self._freeze_file.save, self._freeze)
            except SinkError as error:
                # It holds all the same; whoever asked must not believe otherwise.
                log.exception("freeze.unkept", reason=reason)
                return f"frozen, but not kept: a restart of serve undoes it ({error})"
        return ""

    async def thaw(self) -> None:
        """Accept tables again.

        Raises:
            SinkError: It is still frozen: the file cannot be removed.
        """
        async with self._one_at_a_time:
            await asyncio.to_thread(self._freeze_file.save, None)
            self._freeze = None
        log.warning("plan.thawed")

    def status(self) -> dict[str, object]:
        """How it goes, as JSON values."""
        push_s, build_s = self._discovery.push_to_ack_s(), self._discovery.build_s()
        freeze = self._freeze
        return {
            "foreshard": __version__,
            "version": None if self._table is None else self._table.version,
            "frozen": None
            if freeze is None
            else {"reason": freeze.reason, "since_s": freeze.since_s},
            "uptime_s": time.monotonic() - self._started_s,
            "nodes": self._discovery.nodes(),
            **self._counts,
            "last_rejection": self._last_rejection,
            "problems": list(self._problems),
            "push_to_ack_s": {"p50": _quantile(push_s, 0.5), "p99": _quantile(push_s, 0.99)},
            "build_s": {"p50": _quantile(build_s, 0.5), "p99": _quantile(build_s, 0.99)},
        }

    def _refusal(self, table: RoutingTable) -> Rejected | None:
        if self._freeze is not None:
            return Rejected(version=table.version, because=f"frozen: {self._freeze.reason}")
        live = self._table
        # After a restart of this process the engine's own memory may be the older one.
        if live is None or self._adopts or table.version > live.version:
            return None
        if table.version == live.version and _digest(table) == _digest(live):
            return None
        return Rejected(
            version=table.version,
            because=f"version {table.version} is not newer than the live {live.version}; are two "
            "engines running? Read the live table and go on from its version",
        )

    async def _commit(self, table: RoutingTable) -> None:
        # First kept, then told: what anyone has read here is there after a kill, too.
        try:
            await asyncio.to_thread(self._committed_file.save, table)
        except SinkError as error:
            # The proxies have it. A full disk must not stop the next failover.
            self._problems = (str(error),)
            log.exception("committed.unwritable", version=table.version)
        else:
            self._problems = ()
        self._table = table
        told, self._news = self._news, asyncio.Event()
        told.set()


def _digest(table: RoutingTable) -> str:
    return checksum(encode_table(table))


def _quantile(values: Sequence[float], q: float) -> float | None:
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, math.ceil(q * len(values)) - 1)]
