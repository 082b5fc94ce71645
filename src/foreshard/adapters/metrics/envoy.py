"""This module is the balancer's view of every cell, read from Envoy's own counters.

A try is counted at the node that it was made on, so a retry that saved the request does not
make the node that failed it look perfect. Demand is counted at the edge, as it comes in: it
contains what was shed, what found no node and what is not answered yet. One silent proxy makes
the whole reading `Missing`: its share of the traffic is unknown, and a sum without it would look
like falling demand. Two silences end after a while: where connections are refused there is no
proxy any more, and where all proxies of a region are silent the others are heard without them, for
whoever knows more of that region to decide.
"""

from __future__ import annotations

import asyncio
import errno
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
# So long is everybody waited for; as long as telemetry is acted upon, by default.
LOST_AFTER_S = 10.0
# Envoy tells of its uptime every five seconds only. Beyond this the interval is not what it lived
# through: our clock was put forward, and the rates would be next to nothing.
CLOCK_SLACK_S = 15.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """One page, or why there is none."""

    text: str = ""
    because: str = ""
    is_refused: bool = False


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
        self._last: tuple[float, Mapping[str, Counts]] | None = None
        # Since when each proxy has not answered.
        self._silent_s: dict[str, float] = {}
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
        query = {"usedonly": "", "filter": STATS_FILTER}
        answers = await self._pages(self._admins, "/stats", query)
        try:
            heard, silent_origins = self._told_apart(answers, now_s)
            in_flight = await self._in_flight(heard)
            counts = {a.address: parse_stats(answers[a.address].text) for a in heard}
            last, self._last = self._last, (now_s, counts)
            interval_s, growth = _growth(counts, last, now_s)
        except SourceError as error:
            return Missing(str(error))
        return BalancerReading(
            interval_s=interval_s,
            traffic=self._traffic([growth[a.address] for a in heard], interval_s),
            demand_rps=_by_flow(heard, [growth[a.address].arrived for a in heard], interval_s),
            shed_rps=_by_flow(heard, [growth[a.address].shed for a in heard], interval_s),
            in_flight=in_flight,
            silent_origins=silent_origins,
        )

    def _told_apart(
        self, answers: Mapping[str, _Answer], now_s: float
    ) -> tuple[tuple[EnvoyAdmin, ...], frozenset[str]]:
        """The proxies that are heard, and origins of which none is, nor is known to be gone.

        Raises:
            SourceError: A proxy is silent that has to be waited for, or all are.
        """
        silent = {address: one for address, one in answers.items() if one.because}
        self._silent_s = {a: self._silent_s.get(a, now_s) for a in silent}
        heard = tuple(a for a in self._admins if a.address not in silent)
        origins = {a.origin for a in heard}
        lost = set()
        for admin in self._admins:
            one = silent.get(admin.address)
            if one is None:
                continue
            is_young = now_s - self._silent_s[admin.address] < LOST_AFTER_S
            if is_young or not heard or (admin.origin in origins and not one.is_refused):
                raise SourceError(one.because)
            if not one.is_refused:
                lost.add(admin.origin)
        return heard, frozenset(lost)

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

    async def _in_flight(self, admins: Sequence[EnvoyAdmin]) -> Mapping[str, float]:
        if len(self._cell_of) > MOST_NODES_IN_FLIGHT:
            return {}
        answers = await self._pages(admins, "/clusters", {})
        for answer in answers.values():
            if answer.because:
                raise SourceError(answer.because)
        nodes = parse_in_flight([answer.text for answer in answers.values()])
        cells: Counter[str] = Counter({cell.name: 0 for cell in self._cells})
        for host, count in nodes.items():
            if host in self._cell_of:
                cells[self._cell_of[host]] += count
        return {cell: float(count) for cell, count in cells.items()}

    async def _pages(
        self, admins: Sequence[EnvoyAdmin], path: str, query: Mapping[str, str]
    ) -> Mapping[str, _Answer]:
        """The same page of every proxy, by address."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout)
        session = self._session
        asked = [self._page(session, admin, path, query) for admin in admins]
        answers = await asyncio.gather(*asked)
        return {a.address: answer for a, answer in zip(admins, answers, strict=True)}

    async def _page(
        self,
        session: aiohttp.ClientSession,
        admin: EnvoyAdmin,
        path: str,
        query: Mapping[str, str],
    ) -> _Answer:
        url = f"http://{admin.address}{path}"
        try:
            async with session.get(url, params=query) as answer:
                if answer.status != 200:
                    return _Answer(because=f"envoy {admin.address}: answered {answer.status}")
                return _Answer(text=await answer.text())
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            why = str(error) or type(error).__name__
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            return _Answer(
                because=f"envoy {admin.address}: does not answer: {why}",
                is_refused=isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED,
            )


def _by_flow(
    admins: Sequence[EnvoyAdmin], growth: Sequence[Counter[str]], interval_s: float
) -> Mapping[Flow, float]:
    rates: dict[Flow, float] = {}
    for admin, counts in zip(admins, growth, strict=True):
        for name, count in sorted(counts.items()):
            flow = Flow(admin.origin, name)
            rates[flow] = rates.get(flow, 0.0) + count / interval_s
    return rates


def _growth(
    counts: Mapping[str, Counts], last: tuple[float, Mapping[str, Counts]] | None, now_s: float
) -> tuple[float, Mapping[str, Counts]]:
    """How long ago the pages before were read, and what each proxy has counted since.

    Raises:
        SourceError: It cannot be told.
    """
    if last is None:
        raise SourceError("first reading of the balancers: a rate needs a second one")
    interval_s, before = now_s - last[0], last[1]
    if not interval_s > 0.0:
        raise SourceError(f"the clock stood still between two readings ({interval_s} s)")
    strange = sorted(counts.keys() - before.keys())
    if strange:
        raise SourceError(f"envoy {', '.join(strange)} is heard again: a rate needs two pages")
    grown = {address: new.since(before[address]) for address, new in counts.items()}
    growth = {address: one for address, one in grown.items() if one is not None}
    if len(growth) < len(grown):
        restarted = ", ".join(address for address, one in grown.items() if one is None)
        raise SourceError(f"envoy {restarted} restarted: its counters fell")
    for address, one in growth.items():
        if one.uncounted:
            raise SourceError(
                f"envoy {address} serves {', '.join(one.uncounted)} and counts no arrivals of "
                "it: its listener is not the one that is rendered here; let it take that one, or "
                "restart it"
            )
    lived_s = max(new.uptime_s - before[address].uptime_s for address, new in counts.items())
    if interval_s > lived_s + CLOCK_SLACK_S:
        raise SourceError(
            f"the clock here went on by {interval_s:.0f} s, that of the balancers by {lived_s} s: "
            "it was put forward"
        )
    return interval_s, growth
