"""This module is what cells and proxies say of a second, to the letter: pages and messages.

A cell's page is as long as a real one: what an exporter of a process tells unasked, histograms of
its classes, and among a hundred lines the few that somebody wants. A proxy tells what arrived,
and reports of each cluster and cell what it sent there since the last report; where nothing was
sent, it says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats, UpstreamLocalityStats
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from google.protobuf.duration_pb2 import Duration

from foreshard.lab.loop_bench.day import Moment
from foreshard.lab.loop_bench.estate import CPUS, Estate
from foreshard.model.topology import Node

__all__ = ["LIMIT_BYTES", "Exporters", "Reporters"]

LIMIT_BYTES = 4e9
BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "+Inf")
HISTOGRAMS = 6
# Little's law with a mean of 40 ms.
OPEN_PER_RPS = 0.04


class Exporters:
    """The pages of all cells; counters rise from second to second."""

    def __init__(self, estate: Estate, *, start_s: float) -> None:
        self._cells = estate.fleet.cells
        self._cpu_s = np.zeros(len(self._cells))
        self._start_s = start_s
        self._rest = "".join(
            f'request_seconds_bucket{{endpoint="/{k:03}",le="{le}"}} %d\n'
            for k in range(HISTOGRAMS)
            for le in BUCKETS
        )

    def pages(self, moment: Moment) -> dict[Node, bytes]:
        """By node."""
        self._cpu_s += moment.cpu_s
        served = moment.served.sum(axis=0)
        rest = self._rest % tuple([int(moment.now_s)] * (HISTOGRAMS * len(BUCKETS)))
        return {
            cell.nodes[0]: (
                "# HELP process_cpu_seconds_total Total user and system CPU time in seconds.\n"
                "# TYPE process_cpu_seconds_total counter\n"
                f"process_cpu_seconds_total {self._cpu_s[c]:.3f}\n"
                "# TYPE process_start_time_seconds gauge\n"
                f"process_start_time_seconds {self._start_s}\n"
                "# TYPE process_resident_memory_bytes gauge\n"
                f"process_resident_memory_bytes {LIMIT_BYTES * moment.memory[c]:.0f}\n"
                "# TYPE cell_cpu_limit gauge\n"
                f"cell_cpu_limit {CPUS}\n"
                "# TYPE cell_info gauge\n"
                'cell_info{version="1.4.2"} 1\n'
                "# TYPE open_connections gauge\n"
                f"open_connections {served[c] // 8 + 12}\n"
                "# TYPE request_seconds histogram\n"
                f"{rest}"
            ).encode()
            for c, cell in enumerate(self._cells)
        }


class Reporters:
    """What all proxies say; each of a region sees its part of what came from there."""

    def __init__(self, estate: Estate, *, seed: int) -> None:
        self._estate = estate
        self._draw = np.random.default_rng((seed, 2))
        self._of = {
            region: [p for p, (_, r) in enumerate(estate.proxies) if r == region]
            for region in estate.origins
        }
        keyed = {c.name for c in estate.classes if c.is_keyed}
        self._keyed = [flow.request_class in keyed for flow in estate.flows]
        self._localities = [
            Locality(region=c.region, zone=c.zone, sub_zone=c.name) for c in estate.fleet.cells
        ]
        self._arrived = np.zeros((len(estate.proxies), len(estate.flows)), dtype=np.int64)
        self._uptime_s = 0

    def reports(self, moment: Moment) -> list[bytes]:
        """One `LoadStatsRequest` of every proxy."""
        stats: list[list[ClusterStats]] = [[] for _ in self._estate.proxies]
        for f, flow in enumerate(self._estate.flows):
            proxies = self._of[flow.origin]
            cells = np.flatnonzero(moment.served[f])
            split = self._draw.multinomial(
                moment.served[f, cells], np.full(len(proxies), 1.0 / len(proxies))
            )
            failed = self._draw.binomial(split, moment.failed_ratio[cells][:, None])
            for p, proxy in enumerate(proxies):
                there = np.flatnonzero(split[:, p])
                stats[proxy] += self._clusters(
                    f, cells[there].tolist(), split[there, p].tolist(), failed[there, p].tolist()
                )
        return [
            LoadStatsRequest(cluster_stats=each).SerializeToString() if each else b""
            for each in stats
        ]

    def pages(self, moment: Moment) -> list[str]:
        """The arrivals page of every proxy."""
        self._uptime_s += 1
        for region, proxies in self._of.items():
            mine = [f for f, flow in enumerate(self._estate.flows) if flow.origin == region]
            even = np.full(len(proxies), 1.0 / len(proxies))
            self._arrived[np.ix_(proxies, mine)] += self._draw.multinomial(
                moment.arrived[mine], even
            ).T
        return [self._page(p) for p in range(len(self._estate.proxies))]

    def _page(self, proxy: int) -> str:
        lines = [
            f"foreshard.arrived.class.{self._estate.flows[f].request_class}: {count}\n"
            for f, count in enumerate(self._arrived[proxy].tolist())
            if count
        ]
        return "".join([*lines, f"server.uptime: {self._uptime_s}\n"])

    def _clusters(
        self, f: int, cells: Sequence[int], issued: Sequence[int], failed: Sequence[int]
    ) -> list[ClusterStats]:
        name = self._estate.flows[f].request_class
        rows = [
            UpstreamLocalityStats(
                locality=self._localities[c],
                total_successful_requests=n - bad,
                total_error_requests=bad,
                total_issued_requests=n,
                total_requests_in_progress=round(n * OPEN_PER_RPS),
            )
            for c, n, bad in zip(cells, issued, failed, strict=True)
        ]
        if not rows:
            return []
        second = Duration(seconds=1)
        if not self._keyed[f]:
            return [
                ClusterStats(
                    cluster_name=f"free/{name}",
                    upstream_locality_stats=rows,
                    load_report_interval=second,
                )
            ]
        return [
            ClusterStats(
                cluster_name=f"keyed/{name}/{row.locality.sub_zone}",
                upstream_locality_stats=[row],
                load_report_interval=second,
            )
            for row in rows
        ]
