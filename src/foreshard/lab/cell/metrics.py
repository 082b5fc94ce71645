"""This module is what a cell says of itself: Prometheus metrics, and a load header on answers.

The header is ORCA's native one (open request cost aggregation, xDS `OrcaLoadReport`) in its
text form: `endpoint-load-metrics: TEXT name=value,...`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["LOAD_HEADER", "LoadReport", "Metrics", "Resource", "Snapshot"]

LOAD_HEADER: Final = "endpoint-load-metrics"
BUCKETS_S: Final = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
    *(1.5, 2.0, 2.5, 4.0, 6.0),
)
# Load headers speak of the last second: long enough to be smooth, short enough to steer by.
WINDOW_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource in its own unit; `used` is None where a counter tells it better."""

    used: float | None
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What changes by itself and is read when somebody asks."""

    cpu_busy_s: float
    in_flight: int
    resources: Mapping[str, Resource]


class Metrics:
    """The metrics page of one cell.

    Args:
        cell: Its name.
        version: Of the service that runs there.
        read: Tells the present state.
    """

    def __init__(self, *, cell: str, version: str, read: Callable[[], Snapshot]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cell_requests",
            "Requests answered.",
            ("class", "code"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "cell_request_duration_seconds",
            "Time from the arrival of a request to its answer.",
            ("class",),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._counters: dict[tuple[str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._registry.register(_Present(cell=cell, version=version, read=read))

    def count(self, request_class: str, code: int, duration_s: float) -> None:
        """Count one answered request."""
        counter = self._counters.get((request_class, code))
        if counter is None:
            counter = self._requests.labels(request_class, str(code))
            self._counters[request_class, code] = counter
        counter.inc()
        histogram = self._histograms.get(request_class)
        if histogram is None:
            histogram = self._durations.labels(request_class)
            self._histograms[request_class] = histogram
        histogram.observe(duration_s)

    def page(self) -> bytes:
        """The page, in Prometheus text format."""
        return generate_latest(self._registry)


class _Present:
    """Metrics that are worked out at the moment of a scrape."""

    def __init__(self, *, cell: str, version: str, read: Callable[[], Snapshot]) -> None:
        self._cell = cell
        self._version = version
        self._read = read
        self._started_at_s = time.time()

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector."""
        now = self._read()
        info = GaugeMetricFamily("cell_info", "Who this is.", labels=("cell", "version"))
        info.add_metric((self._cell, self._version), 1.0)
        yield info
        yield GaugeMetricFamily(
            "process_start_time_seconds",
            "Start of the process, seconds since the epoch.",
            value=self._started_at_s,
        )
        yield CounterMetricFamily(
            "cell_cpu_seconds", "Busy cpu seconds of the cell.", value=now.cpu_busy_s
        )
        yield GaugeMetricFamily("cell_in_flight", "Requests being served.", value=now.in_flight)
        used = GaugeMetricFamily("cell_resource_used", "In use.", labels=("resource",))
        limit = GaugeMetricFamily("cell_resource_limit", "Exhausted here.", labels=("resource",))
        for name, resource in now.resources.items():
            limit.add_metric((name,), resource.limit)
            if resource.used is not None:
                used.add_metric((name,), resource.used)
        yield used
        yield limit


class LoadReport:
    """The load header: the state is put into words now and then, a request's cost each time."""

    def __init__(self, *, cpus: float) -> None:
        self._cpus = cpus
        self._seen: deque[tuple[float, float, int]] = deque()
        self._state = "TEXT cpu_utilization=0,mem_utilization=0,application_utilization=0,"
        self._state += "rps_fractional=0,named_metrics.cost.cpu="

    def advance(
        self, now_s: float, *, finished: int, memory_ratio: float, snapshot: Snapshot
    ) -> None:
        """Put the present state into words.

        Args:
            now_s: Later than in the call before.
            finished: Requests answered since the start.
            memory_ratio: Memory in use over its limit.
            snapshot: The present state.
        """
        self._seen.append((now_s, snapshot.cpu_busy_s, finished))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()
        then_s, busy_s, before = self._seen[0]
        stretch_s = now_s - then_s
        if stretch_s <= 0.0:
            return
        cpu = (snapshot.cpu_busy_s - busy_s) / stretch_s / self._cpus
        pool = snapshot.resources["connections"]
        held = (pool.used or 0.0) / pool.limit
        self._state = (
            f"TEXT cpu_utilization={cpu:.4f},mem_utilization={memory_ratio:.4f},"
            f"application_utilization={max(cpu, held):.4f},"
            f"rps_fractional={(finished - before) / stretch_s:.2f},named_metrics.cost.cpu="
        )

    def header(self, cpu_s: float) -> str:
        """The header's value for one answer.

        Args:
            cpu_s: Cpu seconds that this request took.
        """
        return f"{self._state}{cpu_s:.6f}"
