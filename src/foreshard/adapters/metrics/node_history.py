"""This module is what must be remembered of a node between two scrapes.

A rate needs two samples of one process: the first one after a start gives none, and a counter
that fell, or a start time that moved, is a restart. A page that stays the same to the letter,
although it carries a metric that every answer moves, comes from a process (or a cache in
front of it) that is frozen: it ages from its last change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from foreshard.adapters.metrics.exposition import Page
from foreshard.adapters.metrics.gauges import GaugeSpec, MetricRef, NodeSample

__all__ = ["INFO", "STARTED", "Heard", "NodeHistory"]

STARTED = MetricRef(name="process_start_time_seconds")
INFO = MetricRef(name="cell_info")

# Two scrapes closer than this tell more about scheduling than about the rate.
SHORTEST_RATE_S = 0.1
# The Date header has whole seconds, and an answer may wait; less than this is no clock skew.
CLOCK_SKEW_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One answer of a node.

    Attributes:
        page: The wanted metrics.
        fingerprint: Equal for pages that are equal to the letter.
        at_s: When it was heard, on our clock.
        node_clock_s: The node's own clock at that moment (Date header); None when unknown.
        has_heartbeat: The page carries a metric that every answer moves.
    """

    page: Page
    fingerprint: int
    at_s: float
    node_clock_s: float | None = None
    has_heartbeat: bool = False


@dataclass(slots=True, kw_only=True)
class NodeHistory:
    """The memory of one node.

    Attributes:
        specs: Gauges to read.
        frozen_after_s: A page with a heartbeat that has not changed for so long is stale.
    """

    specs: Sequence[GaugeSpec]
    frozen_after_s: float
    last: NodeSample | None = None
    _counters: Mapping[str, float] = field(default_factory=dict)
    _counted_at_s: float = 0.0
    _rates: Mapping[str, float] = field(default_factory=dict)
    _start_on_page_s: float | None = None
    _started_at_s: float = 0.0
    _fingerprint: int | None = None
    _changed_at_s: float = 0.0

    def take(self, heard: Heard) -> NodeSample:
        """The sample that an answer makes, given the answers before it.

        Raises:
            SourceError: A value on the page cannot be; nothing is remembered then.
        """
        used: dict[str, float] = {}
        limits: dict[str, float] = {}
        counters: dict[str, float] = {}
        for spec in self.specs:
            value, limit = spec.used.read(heard.page), spec.read_limit(heard.page)
            if value is not None:
                (counters if spec.is_counter else used)[spec.resource] = value
            if limit is not None:
                limits[spec.resource] = limit
        started_s = STARTED.read(heard.page)
        self._count(counters, started_s, heard.at_s)
        self._date_start(started_s, heard)
        self.last = NodeSample(
            taken_at_s=self._fresh_at_s(heard),
            used=used | {name: self._rates[name] for name in counters if name in self._rates},
            limits=limits,
            version=_version_on(heard.page),
            started_at_s=self._started_at_s,
        )
        return self.last

    def forget(self) -> None:
        """The process is gone: nothing it said holds any longer."""
        self.last = None
        self._counters, self._rates = {}, {}
        self._fingerprint = None

    def _count(self, now: Mapping[str, float], started_s: float | None, at_s: float) -> None:
        before, elapsed_s = self._counters, at_s - self._counted_at_s
        restarted = started_s != self._start_on_page_s or any(
            value < before.get(name, 0.0) for name, value in now.items()
        )
        if restarted:
            self._rates = {}
        elif before and elapsed_s < SHORTEST_RATE_S:
            return
        else:
            self._rates = {
                name: (value - before[name]) / elapsed_s
                for name, value in now.items()
                if name in before
            }
        self._counters, self._counted_at_s = now, at_s

    def _date_start(self, started_s: float | None, heard: Heard) -> None:
        """Put the start on our clock, once per process: the Date header would make it jitter."""
        if started_s == self._start_on_page_s:
            return
        skew_s = 0.0 if heard.node_clock_s is None else heard.at_s - heard.node_clock_s
        if abs(skew_s) < CLOCK_SKEW_S:
            skew_s = 0.0
        self._start_on_page_s = started_s
        self._started_at_s = 0.0 if started_s is None else started_s + skew_s

    def _fresh_at_s(self, heard: Heard) -> float:
        if heard.fingerprint != self._fingerprint:
            self._fingerprint, self._changed_at_s = heard.fingerprint, heard.at_s
        is_frozen = heard.has_heartbeat and heard.at_s - self._changed_at_s >= self.frozen_after_s
        return self._changed_at_s if is_frozen else heard.at_s


def _version_on(page: Page) -> str:
    versions = {sample.labels.get("version", "") for sample in page.get(INFO.name, ())}
    return ",".join(sorted(versions - {""}))
