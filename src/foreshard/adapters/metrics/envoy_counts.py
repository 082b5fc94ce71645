"""This module is what Envoy counted, read from its text page and subtracted from the last one.

The names are those that the renderer's access logs define (`adapters.routing.envoy.access_log`);
an end-to-end test on the real Envoy holds the two together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from foreshard.model.telemetry import ClassTraffic

__all__ = ["STATS_FILTER", "Counts", "Tally", "parse_in_flight", "parse_stats"]

STATS_FILTER = r"^(foreshard\.|server\.uptime$)"
"""What to ask the page for; the rest costs Envoy more than it tells."""

CLASS = r"class\.(?P<class>[\w-]+)"
LINE = re.compile(
    rf"foreshard\.(?:arrived\.{CLASS}"
    rf"|edge\.{CLASS.replace('class>', 'ended>')}\.code\.(?P<end>\d+\.flags\.\S+)"
    rf"|(?P<kind>try_ms|try|slow)\.{CLASS.replace('class>', 'of>')}"
    r"\.host\.(?P<host>\S+?)(?:\.code\.(?P<code>\d+))?): (?P<count>\d+)"
)
UPTIME = re.compile(r"^server\.uptime: (\d+)$", re.MULTILINE)
IN_FLIGHT = re.compile(
    r"^(?P<cluster>.+?)::(?P<host>\S+)::rq_active::(?P<count>\d+)$", re.MULTILINE
)
# Clusters that carry requests to cells; others (the control plane) have hosts as well.
TO_CELLS = ("free/", "keyed/")
FIRST_FAILURE = 500
SHED_END = "429.flags.FI"


@dataclass(slots=True)
class Tally:
    """Tries of one class at one node.

    Attributes:
        tries: All of them.
        failed: Answered with 500 or above, or not at all (a client that hung up counts).
        slow: Answered well, but over the class's objective.
        time_ms: Sum of their durations.
    """

    tries: int = 0
    failed: int = 0
    slow: int = 0
    time_ms: int = 0

    def add(self, other: Tally) -> None:
        """Count the other's tries too."""
        self.tries += other.tries
        self.failed += other.failed
        self.slow += other.slow
        self.time_ms += other.time_ms

    def less(self, earlier: Tally) -> Tally:
        """What came since the earlier tally of the same counters."""
        return Tally(
            tries=self.tries - earlier.tries,
            failed=self.failed - earlier.failed,
            slow=self.slow - earlier.slow,
            time_ms=self.time_ms - earlier.time_ms,
        )

    @property
    def is_negative(self) -> bool:
        """Whether a counter fell, which only a restart does."""
        return min(self.tries, self.failed, self.slow, self.time_ms) < 0

    def traffic(self, interval_s: float) -> ClassTraffic:
        """The tally as rates and ratios over an interval > 0."""
        if not self.tries:
            return ClassTraffic(rate_rps=0.0)
        return ClassTraffic(
            rate_rps=self.tries / interval_s,
            failed_ratio=self.failed / self.tries,
            slow_ratio=self.slow / self.tries,
            latency_mean_s=self.time_ms / self.tries / 1000.0,
        )


@dataclass(slots=True)
class Counts:
    """One proxy's counters at one moment, or their growth between two.

    Attributes:
        arrived: Requests by class as they came in, shed ones and those without a route too.
        shed: Requests by class that the shed entry refused.
        ended: Requests by class that were answered, refused or given up at the edge.
        tries: By node (`host:port`) and class.
        uptime_s: Since the proxy started.
    """

    arrived: Counter[str] = field(default_factory=Counter)
    shed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    tries: dict[tuple[str, str], Tally] = field(default_factory=dict)
    uptime_s: int = 0

    def since(self, earlier: Counts) -> Counts | None:
        """Growth since an earlier page; None when the proxy restarted in between."""
        if self.uptime_s < earlier.uptime_s:
            return None
        arrived, shed, ended = Counter(self.arrived), Counter(self.shed), Counter(self.ended)
        arrived.subtract(earlier.arrived)
        shed.subtract(earlier.shed)
        ended.subtract(earlier.ended)
        nothing = Tally()
        tries = {
            key: self.tries.get(key, nothing).less(earlier.tries.get(key, nothing))
            for key in self.tries.keys() | earlier.tries.keys()
        }
        fell = min((*arrived.values(), *shed.values(), *ended.values()), default=0) < 0
        if fell or any(t.is_negative for t in tries.values()):
            return None
        return Counts(arrived=arrived, shed=shed, ended=ended, tries=tries, uptime_s=self.uptime_s)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Of a growth: classes that are served though none of them was ever seen to arrive."""
        served = {name for (_, name), tally in self.tries.items() if tally.tries}
        served |= {name for name, count in self.ended.items() if count}
        return tuple(sorted(served - self.arrived.keys()))


def parse_stats(page: str) -> Counts:
    """Counters of a `/stats` page in text form; lines of other counters are passed over."""
    counts = Counts()
    uptime = UPTIME.search(page)
    counts.uptime_s = int(uptime[1]) if uptime else 0
    for line in LINE.finditer(page):
        count = int(line["count"])
        if line["kind"] is None:
            if line["class"]:
                counts.arrived[line["class"]] += count
                continue
            counts.ended[line["ended"]] += count
            if line["end"] == SHED_END:
                counts.shed[line["ended"]] += count
            continue
        tally = counts.tries.setdefault((line["host"], line["of"]), Tally())
        match line["kind"]:
            case "try":
                tally.tries += count
                if not 0 < int(line["code"]) < FIRST_FAILURE:
                    tally.failed += count
            case "slow":
                tally.slow += count
            case _:
                tally.time_ms += count
    return counts


def parse_in_flight(pages: Iterable[str]) -> Mapping[str, int]:
    """Open requests by node, summed over proxies and clusters, from `/clusters` pages."""
    open_requests: Counter[str] = Counter()
    for page in pages:
        for line in IN_FLIGHT.finditer(page):
            if line["cluster"].startswith(TO_CELLS):
                open_requests[line["host"]] += int(line["count"])
    return open_requests
