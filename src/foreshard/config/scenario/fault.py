"""This module is what may be said of a fault in a scenario file."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from foreshard.config.field import Count, Name, NotNegative, Number, Part, Positive, Ratio, Strict
from foreshard.config.scenario.topology import MOST_CELLS, Placed, chosen
from foreshard.lab.scenario.fault import FaultLine, Kind, Recovery, Shape

__all__ = ["MEANINGLESS", "FaultSettings"]

# Kinds whose magnitude of 1 is no fault, or hardly the one that was meant.
MEANINGLESS = frozenset(
    {
        Kind.CREEP,
        Kind.THROTTLE,
        Kind.SLOW_DEPENDENCY,
        Kind.PACKET_LOSS,
        Kind.LATENCY,
        Kind.ERRORS,
        Kind.DEPLOY,
        Kind.SURGE,
        Kind.HOT_KEY,
        Kind.SCALED_METRICS,
        Kind.CLOCK_SKEW,
    }
)


class FaultSettings(Strict):
    """One fault: what, whom, when, how it grows and what ends it; faults compose.

    Whom is said by `cells`, or by any of `zone`, `region` and `version`, of which `count` or
    `share` takes the first; a surge and a hot key befall the demand and no cell.
    """

    kind: Kind = Field(
        description="leak, pool, descriptors, threads, disk_fill: a resource runs out. creep, "
        "throttle: cpus slow down, from inside or outside. slow_dependency, latency, "
        "packet_loss, errors, deploy: requests suffer. crash, outage, maintenance: the process "
        "ends. partition, flapping: it is not reached. surge, hot_key: of demand. The rest: "
        "what is measured lies."
    )
    cells: list[Name] = Field(default=[], description="By name, in the order of a roll-out.")
    zone: str = Field(default="", description="All cells of this zone.")
    region: str = Field(default="", description="All cells of this region.")
    version: str = Field(default="", description="All cells with this version.")
    count: Count | None = Field(
        default=None, le=MOST_CELLS, description="Only the first so many of them."
    )
    share: Part | None = Field(
        default=None, description="Only the first of them, this share; rounded up."
    )
    at_s: NotNegative = Field(description="Seconds from the start at which it begins.")
    grows_s: NotNegative = Field(
        default=0.0, description="Seconds until it is whole; 0 = at once."
    )
    holds_s: NotNegative | None = Field(
        default=None,
        description="Seconds for which it stays whole; null = until a restart, or the end. Of "
        "an outage or maintenance: how many seconds the host is off.",
    )
    magnitude: Number | None = Field(
        default=None,
        description="What it is when whole; null = 1. leak, disk_fill, pool, descriptors, "
        "threads: share that is gone. creep, throttle: speed of the cpus. slow_dependency, "
        "latency: seconds that requests wait longer. packet_loss, errors, deploy: share of "
        "requests. surge: factor on demand. hot_key: share of keyed requests with one key. "
        "scaled_metrics: factor on gauges. clock_skew: seconds ahead.",
    )
    shape: Shape = Field(
        default=Shape.LINEAR,
        description="step = at once; linear; exponential = slow, then fast; sawtooth = teeth on "
        "a rising floor; load = as fast as the cell serves; pulse = on and off by turns.",
    )
    recovery: Recovery = Field(
        default=Recovery.HEALS,
        description="heals = over after holds_s; restart = also cured by a restart of the "
        "process, as leak, creep, pool, descriptors and threads always are; never = goes on, "
        "and what lives in the process begins anew with the next one.",
    )
    period_s: Positive = Field(default=60.0, description="Seconds of a tooth, or of a turn.")
    collected: Ratio = Field(
        default=0.5,
        description="Of a saw-tooth: share that collections give back; 1 = all, so that "
        "nothing is left to grow.",
    )
    stagger_s: NotNegative = Field(
        default=0.0, description="Seconds by which each further cell begins later: a roll-out."
    )
    request_class: str = Field(
        default="", description='The only class that suffers; "" = all that can.'
    )
    origin: str = Field(default="", description='Of a surge: where it comes from; "" = all.')
    known_s: NotNegative | None = Field(
        default=None,
        description="Seconds from the start at which it is announced; null = never. Only "
        "maintenance and deploys are.",
    )

    def noun(self, cells: Sequence[Placed]) -> FaultLine:
        """The fault in the lab's words.

        Args:
            cells: That there are.
        """
        told = self.model_dump(
            include={
                *("kind", "at_s", "grows_s", "shape", "recovery", "period_s", "collected"),
                *("stagger_s", "request_class", "origin", "known_s"),
            }
        )
        return FaultLine(
            **told,
            cells=() if self.kind.is_of_demand else chosen(self.model_dump(), cells),
            holds_s=math.inf if self.holds_s is None else self.holds_s,
            magnitude=1.0 if self.magnitude is None else self.magnitude,
        )
