"""This module is cells that speak for themselves, over each node's Prometheus page.

A refused connection is a dead process (DOWN); silence may be the network, the node or this
machine, so it is UNKNOWN, and one missed scrape is bridged with the last sample at its true
age. A lie is never bridged. What it cannot see: a page that is fresh and plausible but false
(a cpu counter that stands still while the balancer counts requests) has to be caught by
comparing it with the balancer's figures.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp

from foreshard.adapters.metrics.exposition import parse_page
from foreshard.adapters.metrics.gauges import GaugeSpec, NodeSample, combine_nodes
from foreshard.adapters.metrics.node_history import INFO, STARTED, Heard, NodeHistory
from foreshard.model.errors import InvalidValueError, SourceError
from foreshard.model.telemetry import Fresh, Health, Missing
from foreshard.model.topology import Cell, Node

__all__ = ["CellScrape", "Fetch", "ScrapeOptions"]

Fetch = Callable[[Node, str], Awaitable[tuple[int, bytes, str]]]
"""Status, body and Date header of a node's page at a path; raises as aiohttp does."""

# A page larger than this is not a cell's: it must not fill our memory.
LARGEST_PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeOptions:
    """How nodes are asked.

    Attributes:
        metrics_path: Of the page.
        health_path: A 2xx answer there means UP; "" = the page itself is the check, and then a
            5xx is UNKNOWN, as a broken page is no broken service.
        ill_answers: So many 5xx of the health check in a row mean DOWN, fewer UNKNOWN: one may be
            a hiccup, and the balancers' own checks want three.
        timeout_s: For a whole cell; its nodes are asked at once.
        bridge_s: The last sample stands in for silence until it is this old.
        frozen_after_s: A page that carries a heartbeat and has not changed for so long is
            stale. The default leaves room for a cpu counter that ticks in 10 ms.
        heartbeats: Metrics that merely answering a scrape moves.
    """

    metrics_path: str = "/metrics"
    health_path: str = ""
    ill_answers: int = 3
    timeout_s: float = 0.8
    bridge_s: float = 3.0
    frozen_after_s: float = 15.0
    heartbeats: frozenset[str] = frozenset({"process_cpu_seconds_total"})

    def __post_init__(self) -> None:
        for what, path in (("metrics_path", self.metrics_path), ("health_path", self.health_path)):
            if path and not path.startswith("/"):
                raise InvalidValueError(f"scrape: {what} is {path!r}, must start with '/'")
        if not self.metrics_path:
            raise InvalidValueError("scrape: metrics_path is empty, name the page")
        if not self.timeout_s > 0.0:
            raise InvalidValueError(f"scrape: timeout_s is {self.timeout_s}, must be > 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeAnswer:
    health: Health
    sample: NodeSample | None = None
    because: str = ""


class CellScrape:
    """`CellSource` over HTTP; call `close` (or use it as a context manager) when done.

    A cell is UP when one node is, DOWN when all are. Nodes that are down leave the sums, with
    their capacity. Of the others at least half must be heard, else the cell is `Missing`.
    """

    def __init__(
        self,
        specs: Sequence[GaugeSpec],
        *,
        now_s: Callable[[], float],
        options: ScrapeOptions | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        """Prepare to scrape.

        Args:
            specs: Gauges to read, with distinct resources.
            now_s: The clock that ages are counted on.
            options: How nodes are asked.
            fetch: Where pages come from; None = over HTTP.

        Raises:
            InvalidValueError: No gauge, or two for one resource.
        """
        names = [spec.resource for spec in specs]
        if not names or len(set(names)) != len(names):
            raise InvalidValueError(f"scrape: gauges {names} must be distinct and not empty")
        self._specs = tuple(specs)
        self._now_s = now_s
        self._options = options or ScrapeOptions()
        self._wanted = frozenset({STARTED.name, INFO.name}).union(
            self._options.heartbeats, *(spec.metric_names for spec in specs)
        )
        self._nodes: dict[Node, NodeHistory] = {}
        # 5xx answers of the health check in a row.
        self._ill: dict[Node, int] = {}
        self._session: aiohttp.ClientSession | None = None
        self._fetch = fetch or self._get

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
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self, cells: tuple[Cell, ...]) -> Mapping[str, tuple[Health, Fresh | Missing]]:
        """See `CellSource.read`."""
        asked = {node for cell in cells for node in cell.nodes}
        self._nodes = {node: kept for node, kept in self._nodes.items() if node in asked}
        read = await asyncio.gather(*(self._read_cell(cell) for cell in cells))
        return {cell.name: said for cell, said in zip(cells, read, strict=True)}

    async def _read_cell(self, cell: Cell) -> tuple[Health, Fresh | Missing]:
        # A task costs more than a page of a hundred lines: only what waits beside others has one.
        if len(cell.nodes) == 1:
            answers = [await self._ask(cell.nodes[0])]
        else:
            answers = await asyncio.gather(*(self._ask(node) for node in cell.nodes))
        states = {answer.health for answer in answers}
        health = Health.UP if Health.UP in states else Health.UNKNOWN
        if states == {Health.DOWN}:
            health = Health.DOWN
        standing = [a for a in answers if a.health is not Health.DOWN] or answers
        samples = [a.sample for a in standing if a.sample is not None]
        if not samples or 2 * len(samples) < len(standing):
            return health, Missing("; ".join(a.because for a in standing if a.because))
        metrics = combine_nodes(samples, self._specs)
        if not metrics.gauges and not metrics.capacity:
            wanted = ", ".join(str(spec.used) for spec in self._specs)
            return health, Missing(f"cell {cell.name}: the page has none of {wanted}")
        oldest_s = min(sample.taken_at_s for sample in samples)
        return health, Fresh(metrics=metrics, age_s=max(0.0, self._now_s() - oldest_s))

    async def _ask(self, node: Node) -> _NodeAnswer:
        if not self._options.health_path:
            return await self._scrape(node)
        page, health = await asyncio.gather(self._scrape(node), self._check(node))
        return _NodeAnswer(health=health, sample=page.sample, because=page.because)

    async def _scrape(self, node: Node) -> _NodeAnswer:
        where = f"{node.host}:{node.port}"
        history = self._nodes.get(node)
        if history is None:
            history = NodeHistory(specs=self._specs, frozen_after_s=self._options.frozen_after_s)
            self._nodes[node] = history
        try:
            status, body, date = await self._fetch(node, self._options.metrics_path)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if _is_refusal(error):
                history.forget()
                return _NodeAnswer(health=Health.DOWN, because=f"{where} refuses connections")
            last = history.last
            if last is not None and self._now_s() - last.taken_at_s > self._options.bridge_s:
                last = None
            silent = f"no answer in {self._options.timeout_s} s"
            said = silent if isinstance(error, TimeoutError) else str(error) or repr(error)
            return _NodeAnswer(health=Health.UNKNOWN, sample=last, because=f"{where}: {said}")
        if status != 200:
            return _NodeAnswer(
                health=Health.UNKNOWN,
                because=f"{where}{self._options.metrics_path} answers {status}, not 200",
            )
        try:
            page = parse_page(body.decode(errors="replace"), wanted=self._wanted)
            heard = Heard(
                page=page,
                fingerprint=hash(body),
                at_s=self._now_s(),
                node_clock_s=_clock_of(date),
                has_heartbeat=not self._options.heartbeats.isdisjoint(page),
            )
            return _NodeAnswer(health=Health.UP, sample=history.take(heard))
        except SourceError as error:
            return _NodeAnswer(health=Health.UP, because=f"{where}: {error}")

    async def _check(self, node: Node) -> Health:
        try:
            status, _, _ = await self._fetch(node, self._options.health_path)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Health.DOWN if _is_refusal(error) else Health.UNKNOWN
        ill = self._ill.pop(node, 0)
        if 200 <= status < 300:
            return Health.UP
        if status < 500:
            return Health.UNKNOWN
        self._ill[node] = ill + 1
        return Health.DOWN if ill + 1 >= self._options.ill_answers else Health.UNKNOWN

    async def _get(self, node: Node, path: str) -> tuple[int, bytes, str]:
        if self._session is None:
            # No bound on connections: waiting for one would look like a silent cell.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._options.timeout_s),
            )
        host = f"[{node.host}]" if ":" in node.host else node.host
        url = f"http://{host}:{node.port}{path}"
        async with self._session.get(url, allow_redirects=False) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > LARGEST_PAGE_BYTES:
                    raise aiohttp.ClientPayloadError(
                        f"{path} is larger than {LARGEST_PAGE_BYTES} bytes"
                    )
            return answer.status, bytes(body), answer.headers.get("Date", "")


def _is_refusal(error: Exception) -> bool:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED


def _clock_of(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
