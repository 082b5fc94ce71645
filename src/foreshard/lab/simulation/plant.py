"""This module is the contract of a core: requests, queues and balancers under one routing.

Two cores keep it: `requests` follows every single one (up to about 50 cells), `fluid` follows
amounts (thousands). A test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.routing import Routing

__all__ = ["LATENCY_EDGES_S", "Counts", "Fate", "Ledger", "Plant"]


class Fate(IntEnum):
    """What became of a request as its caller sees it, after all retries."""

    GOOD = 0
    FAILED = 1
    SLOW = 2
    SHED = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """What was seen since the last look; amounts may be fractions in the fluid core.

    Attributes:
        arrived: [O, K] requests, retries of clients included, shed ones too.
        shed: [O, K] of them refused by the routing.
        tries: [O, C, K] tries that ended at each cell (answers, refusals, time-outs).
        failed: [O, C, K] of them that failed.
        slow: [O, C, K] of them that were slower than the class's objective.
        latency_s: [O, C, K] summed time of all tries, seconds.
        in_flight: [O, C, K] open now.
        busy_s: [C] cpu seconds spent.
        inside: [C] connections in use now.
        waiting: [C] requests in line for one now.
        is_noticed: [O, C] share of the origin's proxies whose health checks hold the cell for
            alive.
    """

    arrived: Floats
    shed: Floats
    tries: Floats
    failed: Floats
    slow: Floats
    latency_s: Floats
    in_flight: Floats
    busy_s: Floats
    inside: Floats
    waiting: Floats
    is_noticed: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ledger:
    """What became of all requests.

    There are `ceil(duration_s)` seconds; what ends later counts in the last one.

    Attributes:
        fates: [second of arrival, O, K, Fate] requests (a client's retries are no new ones).
        served: [second, C, K] tries that ended well at each cell, by second of their end.
        latency: [K, B] histogram of the latency of GOOD and SLOW requests that arrived after
            the warm-up, between the `LATENCY_EDGES_S`; what lies outside counts at the edge.
        crossed: [second] tries that ended well in another region than their origin, by second
            of their end.
    """

    fates: Floats
    served: Floats
    latency: Floats
    crossed: Floats


# Fifteen a decade from 1 ms to 100 s: percentiles within 8 %.
LATENCY_EDGES_S = tuple(10.0 ** (-3.0 + i / 15.0) for i in range(76))


class Plant(Protocol):
    """Cells, requests and balancers; time is told to it, seeded, deterministic to the bit."""

    def route(self, routing: Routing) -> None:
        """What arrives from now on is routed like this, once the control delay has passed."""

    def advance(self, to_s: float, effects: Effects) -> None:
        """Let everything happen until then, under these effects."""

    def count(self) -> Counts:
        """What was seen since the last call."""

    def ledger(self) -> Ledger:
        """What became of all requests so far; those still open are not in it."""

    def close(self) -> Ledger:
        """Let what is open end (nothing arrives any more), and return the whole ledger."""
