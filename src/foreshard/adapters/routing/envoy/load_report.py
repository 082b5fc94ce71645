"""This module is the load reporting service: what the proxies say of each cell, every second.

Envoy sends differences since its last report. Totals are kept beside the newest report,
because whoever reads at another rhythm would count some twice and miss others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

import grpc
from envoy.config.endpoint.v3.load_report_pb2 import (
    ClusterStats,
    EndpointLoadMetricStats,
    UpstreamEndpointStats,
    UpstreamLocalityStats,
)
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest, LoadStatsResponse
from google.protobuf.duration_pb2 import Duration

from foreshard.adapters.routing.envoy.clusters import class_of

__all__ = ["COSTS", "REPORT_INTERVAL_S", "LoadReports"]

REPORT_INTERVAL_S = 1
"""How often proxies report: the rhythm of the loop's fast tick."""
COSTS = ("request_cost.", "named_metrics.cost.")
"""What a cost begins with among ORCA's metrics; the resource follows. The first one counts."""


@dataclass(slots=True)
class _Totals:
    success: int = 0
    error: int = 0
    issued: int = 0
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def add(self, stats: UpstreamLocalityStats) -> None:
        self.success += stats.total_successful_requests
        self.error += stats.total_error_requests
        self.issued += stats.total_issued_requests
        for metric in stats.load_metric_stats:
            total = self.metrics.setdefault(metric.metric_name, [0, 0.0])
            total[0] += metric.num_requests_finished_with_metric
            total[1] += metric.total_metric_value

    def as_json(self) -> Mapping[str, object]:
        metrics = {name: {"requests": n, "sum": s} for name, (n, s) in self.metrics.items()}
        return {
            "success": self.success,
            "error": self.error,
            "issued": self.issued,
            "metrics": metrics,
        }


class _Reporter:
    """One connected proxy."""

    def __init__(self, node: str, region: str, costs: dict[str, _Totals]) -> None:
        self.node = node
        self.region = region
        self._costs = costs
        self.reports = 0
        self._reported_at_s = time.time()
        self._newest: Mapping[str, object] = {}
        self._totals: dict[str, _Totals] = {}

    async def listen(self, requests: AsyncIterator[LoadStatsRequest]) -> None:
        async for request in requests:
            self._take(request)

    def _take(self, request: LoadStatsRequest) -> None:
        self.reports += 1
        self._reported_at_s = time.time()
        self._newest = {one.cluster_name: _cluster(one) for one in request.cluster_stats}
        for one in request.cluster_stats:
            totals = self._totals.setdefault(one.cluster_name, _Totals())
            for locality in one.upstream_locality_stats:
                totals.add(locality)
                self._charge(one.cluster_name, locality)

    def _charge(self, cluster: str, stats: UpstreamLocalityStats) -> None:
        """Add what requests said that they cost to the account of all proxies."""
        request_class = class_of(cluster)
        told = any(metric.metric_name.startswith(COSTS) for metric in stats.load_metric_stats)
        if request_class and told:
            self._costs.setdefault(request_class, _Totals()).add(stats)

    def as_json(self) -> Mapping[str, object]:
        return {
            "node": self.node,
            "region": self.region,
            "reports": self.reports,
            "reported_at_s": self._reported_at_s,
            "clusters": self._newest,
            "totals": {name: totals.as_json() for name, totals in self._totals.items()},
        }


class LoadReports:
    """The gRPC servicer, and the newest report of every connected proxy."""

    def __init__(self) -> None:
        self._reporters: list[_Reporter] = []
        self._costs: dict[str, _Totals] = {}
        self._posted: dict[str, dict[str, tuple[int, float]]] = {}
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End every stream, and those that are opened from now on."""
        self._closed.set()

    async def StreamLoadStats(  # noqa: N802 - the protocol's name
        self,
        requests: AsyncIterator[LoadStatsRequest],
        context: grpc.aio.ServicerContext[LoadStatsRequest, LoadStatsResponse],
    ) -> None:
        """Ask for all clusters, then listen."""
        first = await anext(requests, None)
        if first is None:
            return
        name, region = first.node.id or context.peer(), first.node.locality.region
        reporter = _Reporter(name, region, self._costs)
        await context.write(
            LoadStatsResponse(
                send_all_clusters=True,
                load_reporting_interval=Duration(seconds=REPORT_INTERVAL_S),
                report_endpoint_granularity=True,
            )
        )
        self._reporters.append(reporter)
        tasks = [
            asyncio.create_task(reporter.listen(requests)),
            asyncio.create_task(self._closed.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._reporters.remove(reporter)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def as_json(self) -> list[Mapping[str, object]]:
        """Newest report and totals of every connected proxy, as JSON values.

        Counts are of requests in the newest interval (`clusters`) or since the proxy connected
        (`totals`); `metrics` are ORCA sums with the number of requests that carried them.
        """
        return [reporter.as_json() for reporter in self._reporters]

    def charge(self, request_class: str, resource: str, requests: int, total: float) -> None:
        """Add what requests cost that was told by somebody else than a proxy."""
        account = self._posted.setdefault(request_class, {})
        before = account.get(resource, (0, 0.0))
        account[resource] = before[0] + requests, before[1] + total

    def costs(self) -> Mapping[str, Mapping[str, tuple[int, float]]]:
        """What requests said that they cost, since the start, over all who ever told it.

        Returns:
            By class, then resource: how many requests said so, and the sum.
        """
        told = {
            request_class: {
                name.removeprefix(prefix): (round(count), total)
                for prefix in reversed(COSTS)
                for name, (count, total) in totals.metrics.items()
                if name.startswith(prefix)
            }
            for request_class, totals in self._costs.items()
        }
        for request_class, account in self._posted.items():
            costs = told.setdefault(request_class, {})
            for resource, (count, total) in account.items():
                before = costs.get(resource, (0, 0.0))
                costs[resource] = before[0] + count, before[1] + total
        return told


def _cluster(stats: ClusterStats) -> Mapping[str, object]:
    interval = stats.load_report_interval
    return {
        "interval_s": interval.seconds + interval.nanos / 1e9,
        "dropped": stats.total_dropped_requests,
        "localities": [_locality(one) for one in stats.upstream_locality_stats],
    }


def _locality(stats: UpstreamLocalityStats) -> Mapping[str, object]:
    return {
        "region": stats.locality.region,
        "zone": stats.locality.zone,
        "sub_zone": stats.locality.sub_zone,
        "priority": stats.priority,
        **_counts(stats),
        "endpoints": [_endpoint(one) for one in stats.upstream_endpoint_stats],
    }


def _endpoint(stats: UpstreamEndpointStats) -> Mapping[str, object]:
    address = stats.address.socket_address
    return {"host": address.address, "port": address.port_value, **_counts(stats)}


def _counts(stats: UpstreamLocalityStats | UpstreamEndpointStats) -> Mapping[str, object]:
    return {
        "success": stats.total_successful_requests,
        "error": stats.total_error_requests,
        "in_progress": stats.total_requests_in_progress,
        "issued": stats.total_issued_requests,
        "metrics": _metrics(stats.load_metric_stats),
    }


def _metrics(stats: Iterable[EndpointLoadMetricStats]) -> Mapping[str, object]:
    return {
        one.metric_name: {
            "requests": one.num_requests_finished_with_metric,
            "sum": one.total_metric_value,
        }
        for one in stats
    }
