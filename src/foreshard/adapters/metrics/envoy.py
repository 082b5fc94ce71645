"""This module is the balancer's view of every cell, read from Envoy's own counters.

A try is counted at the node that it was made on, so a retry that saved the request does not
make the node that failed it look perfect. Demand is counted at the edge, as it comes in: it
contains what was shed, what found no node and what is not answered yet. One silent proxy makes
the whole reading `Missing`: its share of the traffic is unknown, and a sum without it would look
like falling demand.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from foreshard.adapters.metrics.envoy_counts import (
    STATS_FILTER,
    Counts,
    Tally,
    parse_in_flight,
    parse_stats,
)
from foreshard.model.errors import InvalidValueError, SourceError
from foreshard.model.telemetry import ClassTraffic, Missing
from foreshard.model.topology import Cell
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading

__all__ = ["EnvoyAdmin", "EnvoyTrafficSource"]

# Envoy tells requests in flight per node only on a page that lists everything about every node,
# some 20 lines each: beyond this many nodes the page costs more than it tells.
MOST_NODES_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyAdmin:
    """Where one proxy tells its counters.

    Attributes:
        origin: Region whose requests it takes.
        address: `host:port` of its admin page.
    """

    origin: str
    address: str

    def __post_init__(self) -> None:
        if ":" not in self.address or "/" in self.address:
            raise InvalidValueError(f"envoy admin: address is {self.address!r}, must be host:port")


class EnvoyTrafficSource:
    """`TrafficSource` over any number of proxies; call `close` when done.

    The first reading is `Missing`: a rate needs two pages.
    """

    def __init__(
        self,
        admins: Sequence[EnvoyAdmin],
        cells: Sequence[Cell],
        *,
        now_s: Callable[[], float],
        timeout_s: float = 0.8,
    ) -> None:
        """Prepare to read.

        Args:
            admins: One for each proxy, at least one.
            cells: Whose nodes are looked for; a node of no cell counts in demand only.
            now_s: The clock that intervals are measured on.
            timeout_s: For one page; all are asked at once.

        Raises:
            InvalidValueError: There is no proxy.
        """
        if not admins:
            raise InvalidValueError("envoy traffic: there is no proxy, name at least one")
        self._admins = tuple(admins)
        self._cells = tuple(cells)
        self._cell_of = {f"{n.host}:{n.port}": c.name for c in cells for n in c.nodes}
        self._now_s = now_s
        self._timeout_s = timeout_s
        self._last: tuple[float, tuple[Counts, ...]] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back; a later reading opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self) -> BalancerReading | Missing:
        """Counts since the last good reading; see the port."""
        now_s = self._now_s()
        try:
            pages = await self._pages("/stats", {"usedonly": "", "filter": STATS_FILTER})
            in_flight = await self._in_flight()
        except SourceError as error:
            return Missing(str(error))
        counts = tuple(parse_stats(page) for page in pages)
        last, self._last = self._last, (now_s, counts)
        if last is None:
            return Missing("first reading of the balancers: a rate needs a second one")
        interval_s = now_s - last[0]
        grown = [new.since(old) for new, old in zip(counts, last[1], strict=True)]
        growth = [one for one in grown if one is not None]
        restarted = [a.address for a, g in zip(self._admins, grown, strict=True) if g is None]
        if restarted:
            return Missing(f"envoy {', '.join(restarted)} restarted: its counters fell")
        for admin, growth_of in zip(self._admins, growth, strict=True):
            if growth_of.uncounted:
                return Missing(
                    f"envoy {admin.address} serves {', '.join(growth_of.uncounted)} and counts no "
                    "arrivals of it: its listener is not the one that is rendered here; let it "
                    "take that one, or restart it"
                )
        if not interval_s > 0.0:
            return Missing(f"the clock stood still between two readings ({interval_s} s)")
        return BalancerReading(
            interval_s=interval_s,
            traffic=self._traffic(growth, interval_s),
            demand_rps=self._by_flow([counts.arrived for counts in growth], interval_s),
            shed_rps=self._by_flow([counts.shed for counts in growth], interval_s),
            in_flight=in_flight,
        )

    def _traffic(
        self, growth: Sequence[Counts], interval_s: float
    ) -> Mapping[str, Mapping[str, ClassTraffic]]:
        tallies: dict[str, dict[str, Tally]] = {cell.name: {} for cell in self._cells}
        for counts in growth:
            for (host, of_class), tally in counts.tries.items():
                cell = self._cell_of.get(host)
                if cell is not None and tally.tries:
                    tallies[cell].setdefault(of_class, Tally()).add(tally)
        return {
            cell: {name: tally.traffic(interval_s) for name, tally in sorted(by_class.items())}
            for cell, by_class in tallies.items()
        }

    def _by_flow(self, growth: Sequence[Counter[str]], interval_s: float) -> Mapping[Flow, float]:
        rates: dict[Flow, float] = {}
        for admin, counts in zip(self._admins, growth, strict=True):
            for name, count in sorted(counts.items()):
                flow = Flow(admin.origin, name)
                rates[flow] = rates.get(flow, 0.0) + count / interval_s
        return rates

    async def _in_flight(self) -> Mapping[str, float]:
        if len(self._cell_of) > MOST_NODES_IN_FLIGHT:
            return {}
        nodes = parse_in_flight(await self._pages("/clusters", {}))
        cells: Counter[str] = Counter({cell.name: 0 for cell in self._cells})
        for host, count in nodes.items():
            if host in self._cell_of:
                cells[self._cell_of[host]] += count
        return {cell: float(count) for cell, count in cells.items()}

    async def _pages(self, path: str, query: Mapping[str, str]) -> list[str]:
        """The same page of every proxy.

        Raises:
            SourceError: One of them did not answer.
        """
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout)
        session = self._session
        asked = [self._page(session, admin, path, query) for admin in self._admins]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        pages = [answer for answer in answers if isinstance(answer, str)]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return pages

    async def _page(
        self,
        session: aiohttp.ClientSession,
        admin: EnvoyAdmin,
        path: str,
        query: Mapping[str, str],
    ) -> str:
        url = f"http://{admin.address}{path}"
        try:
            async with session.get(url, params=query) as answer:
                if answer.status != 200:
                    raise SourceError(f"envoy {admin.address}: answered {answer.status}")
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            why = str(error) or type(error).__name__
            raise SourceError(f"envoy {admin.address}: does not answer: {why}") from error
