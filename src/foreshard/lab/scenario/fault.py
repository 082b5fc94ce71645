"""This module is what befalls cells or demand, as values; `lab.simulation.weather` plays it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from foreshard.model.errors import InvalidValueError

__all__ = ["FAULT_RANGES", "FaultLine", "Kind", "Range", "Recovery", "Shape"]


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

    @property
    def is_of_demand(self) -> bool:
        """Whether it befalls what is asked rather than a cell."""
        return self in {Kind.SURGE, Kind.HOT_KEY}

    @property
    def is_of_process(self) -> bool:
        """Whether its cause lives and dies with the process, so that any restart cures it."""
        return self in {Kind.LEAK, Kind.CREEP, Kind.POOL, Kind.DESCRIPTORS, Kind.THREADS}

    @property
    def takes_down(self) -> bool:
        """Whether it ends the process, at once and from outside."""
        return self in {Kind.CRASH, Kind.OUTAGE, Kind.MAINTENANCE}

    @property
    def is_of_classes(self) -> bool:
        """Whether it may befall the requests of one class alone."""
        return self in CLASSED

    @property
    def is_sudden(self) -> bool:
        """Whether there is no half of it, so that it cannot grow."""
        return self.takes_down or self in SUDDEN


SUDDEN: Final = frozenset(
    {
        Kind.PARTITION,
        Kind.FLAPPING,
        Kind.FROZEN_METRICS,
        Kind.ZERO_METRICS,
        Kind.MISSING_METRICS,
    }
)


CLASSED: Final = frozenset(
    {Kind.SLOW_DEPENDENCY, Kind.LATENCY, Kind.ERRORS, Kind.DEPLOY, Kind.SURGE}
)


class Shape(StrEnum):
    """How it grows over `grows_s`; x is the part of that time that is over, at most 1.

    | shape       | share of the magnitude                                                  |
    |-------------|-------------------------------------------------------------------------|
    | step        | all of it from the beginning                                            |
    | linear      | x                                                                       |
    | exponential | (e^4x - 1) / (e^4 - 1): a tenth at half time, then fast                 |
    | sawtooth    | (1 - collected) x + collected t: teeth t rise from 0 to 1 in `period_s`, |
    |             | on a floor that rises (garbage collection, rotation of logs)            |
    | load        | x, of a time that runs as fast as the cell serves, compared with its    |
    |             | even share of the mean demand: who serves nothing does not age          |
    | pulse       | all and nothing by turns of `period_s`, beginning with all              |
    """

    STEP = "step"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    SAWTOOTH = "sawtooth"
    LOAD = "load"
    PULSE = "pulse"


class Recovery(StrEnum):
    """What ends it.

    Whatever takes a process down cures what lives in it (`Kind.is_of_process`), by any
    recovery but NEVER: then it begins again from nothing with the next process, as a leak in
    the code does. What has its cause outside goes on through restarts.

    | recovery | over after `holds_s` | cured by a restart                                 |
    |----------|----------------------|----------------------------------------------------|
    | heals    | yes                  | if it is of the process                            |
    | restart  | yes                  | yes, also if it is not                             |
    | never    | no                   | no; if it is of the process, it begins anew        |
    """

    HEALS = "heals"
    RESTART = "restart"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which magnitudes mean something.

    Attributes:
        above: They are greater than this.
        most: They are at most this.
    """

    above: float = 0.0
    most: float = 1.0

    def holds(self, magnitude: float) -> bool:
        """Whether it is one."""
        return self.above < magnitude <= self.most

    def __str__(self) -> str:
        above = "0 or more" if self.above < 0.0 else f"over {self.above:g}"
        return f"{above} and at most {self.most:g}"


LONGEST_WAIT_S: Final = 60.0
# A deploy that breaks nothing is one, too; a clock may be behind.
FAULT_RANGES: Final[Mapping[Kind, Range]] = MappingProxyType(
    {kind: Range() for kind in Kind}
    | {
        Kind.SLOW_DEPENDENCY: Range(most=LONGEST_WAIT_S),
        Kind.LATENCY: Range(most=LONGEST_WAIT_S),
        Kind.DEPLOY: Range(above=-1e-12),
        Kind.SURGE: Range(most=1_000.0),
        Kind.SCALED_METRICS: Range(most=1_000.0),
        Kind.CLOCK_SKEW: Range(above=-1e6, most=1e6),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLine:
    """One fault; faults compose: speeds multiply, waits add, shares do as 1 - prod(1 - p).

    | kind            | magnitude at full growth                                     |
    |-----------------|--------------------------------------------------------------|
    | leak            | share of the memory left that is gone; 1 = until the kill    |
    | creep           | cpu speed, in (0, 1]; a restart cures it                     |
    | throttle        | cpu speed, in (0, 1]; a restart does not                     |
    | disk_fill       | share of the room left that is full; at 1 writes fail        |
    | pool            | share of the connections that is gone, in (0, 1]             |
    | descriptors     | share of the free ones that is gone; a request inside holds  |
    |                 | one, and when none is left all are refused                   |
    | threads         | share of the free ones that is gone; a request inside holds  |
    |                 | one, and when none is left all wait in line                  |
    | slow_dependency | seconds that requests wait longer (of `request_class` only)  |
    | packet_loss     | share of requests that stall for a retransmission, in (0, 1] |
    | latency         | seconds added to each request                                |
    | errors          | share of requests answered 503 at once, in (0, 1]            |
    | crash           | none: the process is killed, and started again               |
    | outage          | none: gone for `holds_s`                                     |
    | partition       | none: unreachable for `holds_s`, though alive                |
    | deploy          | share of requests of the new version that fail               |
    | maintenance     | none: off for `holds_s`                                      |
    | surge           | factor on demand (of `request_class`, or all; of `origin`)   |
    | hot_key         | share of the keyed demand that one key has                   |
    | scaled_metrics  | factor on what gauges say                                    |
    | clock_skew      | seconds that the cell's clock is ahead                       |
    | flapping        | none: unreachable and back, `period_s` each turn             |
    | the other metrics kinds | none                                                 |

    Attributes:
        kind: What sort.
        cells: Whom it befalls; empty only for `surge` and `hot_key`.
        at_s: When it begins, seconds from the start; >= 0.
        grows_s: Until it is whole; 0 = at once, as it is for kinds without a half.
        holds_s: How long it stays whole; inf = until a restart, or the end.
        magnitude: See the table.
        shape: How it grows.
        recovery: What ends it.
        period_s: Of a saw-tooth's teeth, or of turns; > 0.
        collected: Of a saw-tooth, the share that collections give back; in [0, 1], 1 = all.
        stagger_s: A roll-out: each further cell begins so much later.
        request_class: The only one that suffers, or by which the shape `load` goes; "" = all
            that can.
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
    collected: float = 0.5
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
        if not 0.0 <= self.collected <= 1.0:
            raise InvalidValueError(
                f"fault {self.kind}: collected is {self.collected}, must lie in [0, 1]"
            )
        if problems := self._problems():
            raise InvalidValueError(f"fault {self.kind}: {'; '.join(problems)}")

    def _problems(self) -> list[str]:
        """What does not fit together."""
        kind, of_demand = self.kind, self.kind.is_of_demand
        right = FAULT_RANGES[kind]
        checks = (
            (
                bool(self.cells) is of_demand,
                f"cells are {list(self.cells)}, "
                + ("must be none: it befalls demand" if of_demand else "name at least one"),
            ),
            (len(set(self.cells)) < len(self.cells), "a cell is named twice, name it once"),
            (not right.holds(self.magnitude), f"magnitude is {self.magnitude}, must be {right}"),
            (
                kind.is_sudden and self.grows_s > 0.0,
                f"grows_s is {self.grows_s}, must be 0: there is no half of it",
            ),
            (
                kind is Kind.MAINTENANCE and not 0.0 < self.holds_s < math.inf,
                f"holds_s is {self.holds_s}, must be over 0 and finite: how long the host is off",
            ),
            (
                self.known_s is not None and kind not in {Kind.MAINTENANCE, Kind.DEPLOY},
                "known_s is set, but only maintenance and deploys are announced",
            ),
            (
                self.known_s is not None and not 0.0 <= self.known_s <= self.at_s,
                f"known_s is {self.known_s}, must be 0 or more and at most at_s ({self.at_s})",
            ),
            (
                bool(self.origin) and kind is not Kind.SURGE,
                "origin is set, but only a surge comes from somewhere",
            ),
            (
                of_demand and self.shape is Shape.LOAD,
                "shape is load, but demand serves nothing",
            ),
            (
                bool(self.request_class) and not (kind.is_of_classes or self.shape is Shape.LOAD),
                "request_class is set, but it befalls all classes alike",
            ),
        )
        return [says for is_wrong, says in checks if is_wrong]

    def begins_s(self, position: int) -> float:
        """When it begins for the cell at that position of `cells`."""
        return self.at_s + self.stagger_s * position

    @property
    def lasts_s(self) -> float:
        """From beginning to end in one cell, were nobody to restart anything; may be infinite.

        A crash is over at once, a leak until the kill ends with it.
        """
        if self.kind is Kind.CRASH:
            return 0.0
        is_never = self.recovery is Recovery.NEVER and not self.kind.takes_down
        if is_never:
            return math.inf
        is_kill = self.kind is Kind.LEAK and self.magnitude >= 1.0 and self.shape in PUNCTUAL
        return self.grows_s + (0.0 if is_kill else self.holds_s)

    @property
    def ends_s(self) -> float:
        """When it is over for the last cell, were nobody to restart anything."""
        return self.begins_s(max(0, len(self.cells) - 1)) + self.lasts_s

    @property
    def noticed_s(self) -> float:
        """The first moment at which anybody could act on it with reason."""
        return self.at_s if self.known_s is None else min(self.known_s, self.at_s)


# Whole at the very end of their growth, whatever is served.
PUNCTUAL: Final = frozenset({Shape.LINEAR, Shape.EXPONENTIAL, Shape.STEP})
