"""This module is traffic as proxies report it: differences of the last second, cell by cell.

A proxy's page of counters lists every pair of class and node that it ever sent a request to, also
when nothing was sent since: 50 classes and 200 near cells are 30,000 lines, from every proxy,
every second. A load report lists only pairs with requests since the last one. What it cannot say
is what was shed or never found a route; for that the short page of arrivals is read.

What it cannot see either: how long answers took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from google.protobuf.message import DecodeError

from foreshard.adapters.metrics.envoy_counts import Counts, parse_stats
from foreshard.model.telemetry import ClassTraffic, Missing
from foreshard.model.topology import Cell
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading

__all__ = ["ReportedTraffic", "Told"]

# Clusters that carry requests to cells, as the renderer names them.
TO_CELLS = frozenset({"free", "keyed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one proxy said since it was last asked.

    Attributes:
        proxy: Its name.
        origin: Region it stands in.
        reports: `LoadStatsRequest` messages.
        page: Its counters of arrivals, as `/stats` has them.
    """

    proxy: str
    origin: str
    reports: Sequence[bytes]
    page: str


class ReportedTraffic:
    """`TrafficSource` over load reports; the first reading is `Missing`, for arrivals need two.

    Args:
        cells: Whose requests are counted.
        told: What proxies said since the last call.
        now_s: The clock that intervals are measured on.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        told: Callable[[], Sequence[Told]],
        *,
        now_s: Callable[[], float],
    ) -> None:
        self._cells = tuple(cell.name for cell in cells)
        self._told = told
        self._now_s = now_s
        self._last: tuple[float, Mapping[str, Counts]] | None = None
        self._classes: dict[str, str] = {}

    async def read(self) -> BalancerReading | Missing:
        """See the port."""
        now_s, told = self._now_s(), self._told()
        counts = {each.proxy: parse_stats(each.page) for each in told}
        last, self._last = self._last, (now_s, counts)
        tries: dict[str, dict[str, list[int]]] = {cell: {} for cell in self._cells}
        in_flight = dict.fromkeys(self._cells, 0)
        for each in told:
            for body in each.reports:
                try:
                    self._add(LoadStatsRequest.FromString(body).cluster_stats, tries, in_flight)
                except DecodeError as error:
                    return Missing(f"proxy {each.proxy}: its load report is none ({error})")
        if last is None or not now_s > last[0]:
            return Missing("first reading of the proxies: a rate needs a second one")
        interval_s = now_s - last[0]
        arrived, shed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for each in told:
            before = last[1].get(each.proxy)
            grown = counts[each.proxy].since(before) if before is not None else None
            if grown is None:
                return Missing(f"proxy {each.proxy} is new, or its counters fell")
            for name, count in grown.arrived.items():
                arrived[each.origin, name] += count
            for name, count in grown.shed.items():
                shed[each.origin, name] += count
        said = _Said(interval_s)
        return BalancerReading(
            interval_s=interval_s,
            traffic={
                cell: {name: said.of(*tally) for name, tally in by_class.items()}
                for cell, by_class in tries.items()
            },
            demand_rps={Flow(*by): count / interval_s for by, count in arrived.items()},
            shed_rps={Flow(*by): count / interval_s for by, count in shed.items()},
            in_flight={cell: float(count) for cell, count in in_flight.items()},
        )

    def _add(
        self,
        stats: Iterable[ClusterStats],
        tries: Mapping[str, dict[str, list[int]]],
        in_flight: dict[str, int],
    ) -> None:
        for cluster in stats:
            of_class = self._class_of(cluster.cluster_name)
            if not of_class:
                continue
            for row in cluster.upstream_locality_stats:
                cell = row.locality.sub_zone
                by_class = tries.get(cell)
                if by_class is None:
                    continue
                in_flight[cell] += row.total_requests_in_progress
                failed = row.total_error_requests
                sent = failed + row.total_successful_requests
                if sent:
                    tally = by_class.setdefault(of_class, [0, 0])
                    tally[0] += sent
                    tally[1] += failed

    def _class_of(self, cluster: str) -> str:
        """The class whose requests a cluster carries; "" = it carries none to cells."""
        known = self._classes.get(cluster)
        if known is None:
            kind, _, rest = cluster.partition("/")
            known = rest.partition("/")[0] if kind in TO_CELLS else ""
            self._classes[cluster] = known
        return known


class _Said:
    """Counts as rates; of one second there are few, and each of them many thousand times."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._known: dict[tuple[int, int], ClassTraffic] = {}

    def of(self, sent: int, failed: int) -> ClassTraffic:
        """What so many requests, and failed ones among them, say."""
        known = self._known.get((sent, failed))
        if known is None:
            known = ClassTraffic(rate_rps=sent / self._interval_s, failed_ratio=failed / sent)
            self._known[sent, failed] = known
        return known
