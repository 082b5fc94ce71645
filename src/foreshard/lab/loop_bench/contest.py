"""This module is the loop bench itself: a day's seconds through one loop, on the clock.

What cells and proxies say is made before each turn and is no part of it. The first turns are not
measured: estimates are not trusted yet, kernels are compiled, proxies take everything for the
first time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from foreshard.lab.loop_bench.day import Day
from foreshard.lab.loop_bench.estate import Estate
from foreshard.lab.loop_bench.figures import Done
from foreshard.lab.loop_bench.stopwatch import Stopwatch
from foreshard.lab.loop_bench.subscriber import Sent
from foreshard.lab.loop_bench.telemetry import Exporters, Reporters
from foreshard.model.plan import Plan
from foreshard.model.topology import Node

__all__ = ["START_S", "WARM_TURNS", "Heard", "Turning", "measured"]

START_S = 1_000_000.0
WARM_TURNS = 15

Progress = Callable[[float], None]


@dataclass(slots=True)
class Heard:
    """The newest that cells and proxies said, raw.

    Attributes:
        pages: By node of a cell.
        reports: Of every proxy, in the estate's order.
        arrivals: Of every proxy, likewise.
    """

    pages: dict[Node, bytes]
    reports: Sequence[bytes] = ()
    arrivals: Sequence[str] = ()


class Turning(Protocol):
    """A loop that can be turned."""

    heard: Heard
    sent: Sent
    watch: Stopwatch

    @property
    def plan(self) -> Plan:
        """What is live."""

    @property
    def plans(self) -> int:
        """Applied so far."""

    @property
    def synced(self) -> int:
        """Proxies that hold what is live."""

    async def turn(self) -> float:
        """One turn, a second after the one before; gives the moment after it."""


async def measured(
    estate: Estate, loop: Turning, *, turns: int, seed: int, progress: Progress
) -> tuple[Sequence[dict[str, float]], Done]:
    """The turns that count, in milliseconds by stage, and what was done in them.

    Args:
        estate: The fleet.
        loop: Is turned.
        turns: That are measured.
        seed: Of the day.
        progress: Told which part is over.
    """
    day = Day(estate, seconds=WARM_TURNS + turns, seed=seed)
    exporters = Exporters(estate, start_s=START_S - 86_400.0)
    reporters = Reporters(estate, seed=seed)
    now_s, pages, reports = START_S, 0, 0
    sent, plans = Sent(), 0
    for turn in range(WARM_TURNS + turns):
        if turn == WARM_TURNS:
            loop.watch.turns.clear()
            sent = Sent(loop.sent.messages, loop.sent.resources, loop.sent.size_bytes)
            plans, pages, reports = loop.plans, 0, 0
        moment = day.next(loop.plan, now_s=now_s)
        heard = loop.heard
        heard.pages, heard.arrivals = exporters.pages(moment), reporters.pages(moment)
        heard.reports = reporters.reports(moment)
        now_s = await loop.turn()
        pages += len(heard.pages)
        reports += len(heard.reports)
        progress((turn + 1) / (WARM_TURNS + turns))
    done = Done(
        pages=pages,
        reports=reports,
        plans=loop.plans - plans,
        resources=loop.sent.resources - sent.resources,
        sent_mb=round((loop.sent.size_bytes - sent.size_bytes) / 1e6, 3),
        synced=loop.synced,
    )
    return loop.watch.turns, done
