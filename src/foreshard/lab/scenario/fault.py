"""This module is what befalls cells or demand, as values; `lab.simulation.weather` plays it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from foreshard.model.errors import InvalidValueError

__all__ = ["FaultLine", "Kind", "Recovery", "Shape"]


class Kind(StrEnum):
    """What sort of fault; magnitude and its unit are in the table of `FaultLine`."""

    LEAK = "leak"
    CREEP = "creep"
    THROTTLE = "throttle"
    DISK_FILL = "disk_fill"
    POOL = "pool"
    DESCRIPTORS = "descriptors"
    THREADS = "threads"
    SLOW_DEPENDENCY = "slow_dependency"
    PACKET_LOSS = "packet_loss"
    LATENCY = "latency"
    ERRORS = "errors"
    CRASH = "crash"
    PARTITION = "partition"
    OUTAGE = "outage"
    DEPLOY = "deploy"
    MAINTENANCE = "maintenance"
    SURGE = "surge"
    HOT_KEY = "hot_key"
    FROZEN_METRICS = "frozen_metrics"
    ZERO_METRICS = "zero_metrics"
    SCALED_METRICS = "scaled_metrics"
    MISSING_METRICS = "missing_metrics"
    CLOCK_SKEW = "clock_skew"
    FLAPPING = "flapping"


class Shape(StrEnum):
    """How it grows over `grows_s`, as a function of the part x of it that is over."""

    STEP = "step"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    SAWTOOTH = "sawtooth"
    LOAD = "load"


class Recovery(StrEnum):
    """What ends it."""

    HEALS = "heals"
    RESTART = "restart"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLine:
    """One fault; faults compose: two on one cell both count.

    | kind            | magnitude at full growth                                     |
    |-----------------|--------------------------------------------------------------|
    | leak            | share of the memory left that is gone; 1 = until the kill    |
    | creep           | cpu speed, in (0, 1); a restart cures it                     |
    | throttle        | cpu speed, in (0, 1); a restart does not                     |
    | disk_fill       | share of the room left that is full; at 1 writes fail        |
    | pool, descriptors, threads | share of them that is gone, in (0, 1]             |
    | slow_dependency | seconds that requests wait longer (of `request_class` only)  |
    | packet_loss     | share of requests that stall for a retransmission, in (0, 1) |
    | latency         | seconds added to each request                                |
    | errors          | share of requests answered 503 at once, in (0, 1]            |
    | crash, outage   | none: the process is killed / gone for `holds_s`             |
    | partition       | none: unreachable for `holds_s`, though alive                |
    | deploy          | share of requests of the new version that fail               |
    | maintenance     | none: off for `holds_s`                                      |
    | surge           | factor on demand (of `request_class`, or all; of `origin`)   |
    | hot_key         | share of the keyed demand that one key has                   |
    | scaled_metrics  | factor on what gauges say                                    |
    | clock_skew      | seconds that the cell's clock is ahead                       |
    | flapping        | none: up and down, `period_s` each turn                      |
    | the other metrics kinds | none                                                 |

    Attributes:
        kind: What sort.
        cells: Whom it befalls; empty only for `surge` and `hot_key`.
        at_s: When it begins, seconds from the start; >= 0.
        grows_s: Until it is whole; 0 = at once.
        holds_s: How long it stays whole; inf = until a restart, or the end.
        magnitude: See the table.
        shape: How it grows.
        recovery: HEALS ends it after `holds_s`; RESTART also by a restart of the process; NEVER.
        period_s: Of a saw-tooth's teeth, of rotation, or of flapping; > 0 where it is used.
        stagger_s: A roll-out: each further cell begins so much later.
        request_class: The only one that suffers; "" = all that can.
        origin: Of a surge; "" = all.
        known_s: When it is announced; None = never. Maintenance and deploys only.
    """

    kind: Kind
    cells: tuple[str, ...] = ()
    at_s: float
    grows_s: float = 0.0
    holds_s: float = math.inf
    magnitude: float = 1.0
    shape: Shape = Shape.LINEAR
    recovery: Recovery = Recovery.HEALS
    period_s: float = 60.0
    stagger_s: float = 0.0
    request_class: str = ""
    origin: str = ""
    known_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("at_s", "grows_s", "holds_s", "stagger_s"):
            if not getattr(self, name) >= 0.0:
                raise InvalidValueError(
                    f"fault {self.kind}: {name} is {getattr(self, name)}, must be 0 or more"
                )
        if not self.period_s > 0.0:
            raise InvalidValueError(f"fault {self.kind}: period_s is {self.period_s}, must be > 0")

    @property
    def ends_s(self) -> float:
        """When it is over for the last cell, were nobody to restart anything."""
        return (
            self.at_s + self.grows_s + self.holds_s + self.stagger_s * max(0, len(self.cells) - 1)
        )

    @property
    def noticed_s(self) -> float:
        """The first moment at which anybody could act on it with reason."""
        return self.at_s if self.known_s is None else min(self.known_s, self.at_s)
