"""A hand-over with everything real: Envoy, discovery, the loop, and a service behind a socket."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.slots import CHECKOUT, Stage, Trial, fire, stage

from foreshard.adapters.cells.handover import WebhookSlotMover
from foreshard.adapters.clock import SystemClock
from foreshard.controller.loop import Loop
from foreshard.controller.process import start
from foreshard.controller.world import World
from foreshard.engine import Engine
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.routing import ClassRoute, RoutingTable
from foreshard.model.telemetry import CellMetrics, ClassTraffic, Gauge
from foreshard.model.topology import Cell, Fleet
from foreshard.model.workload import Flow, Needs, OwnedData
from foreshard.planning.budget import Budget
from foreshard.planning.exact import ExactSolver
from foreshard.planning.policy import Policy
from foreshard.planning.slots import assign_slots, owners_of, slot_of
from foreshard.ports import BalancerReading
from foreshard.testing import FakeCellSource, FakeEventSource, FakeTrafficSource, MemoryStore
from tests.architecture.source import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SLOTS = 4_096
NAMES = tuple(f"cell-{n}" for n in range(4))
REPLICAS = {"cell-0": ("cell-1",), "cell-1": ("cell-2", "cell-3"), "cell-2": ("cell-1",)}
CLASS = replace(
    CHECKOUT,
    declared=Needs(per_request={"cpu": 0.01}),
    data=OwnedData(replicas=REPLICAS, handover_s=20.0),
)
TICK_S = 0.25
RATE = 250.0


@asynccontextmanager
async def service(directory: Path, *, takes_s: float) -> AsyncIterator[tuple[str, Path]]:
    """The example of the how-to, as a process; its address and what it says."""
    log = directory / "service.log"
    argv = [sys.executable, str(ROOT / "examples" / "hand_over.py"), "--port", "0"]
    child = await start([*argv, "--takes-s", str(takes_s)], name="service", log=log)
    try:
        async with asyncio.timeout(20):
            while not (log.exists() and log.read_text().count("\n")):
                assert child.is_running, child.tail()
                await asyncio.sleep(0.02)
        port = json.loads(log.read_text().splitlines()[0])["listens"]
        yield f"http://127.0.0.1:{port}/", log
    finally:
        await child.terminate()


def said(log: Path) -> list[dict[str, Any]]:
    return [line for text in log.read_text().splitlines() if "did" in (line := json.loads(text))]


def first_table(cells: tuple[Cell, ...]) -> RoutingTable:
    row = assign_slots(None, dict.fromkeys(NAMES, 0.25), SLOTS)
    route = ClassRoute(request_class=CLASS, rows={"eu": row}, backups={})
    return RoutingTable(version=1, cells=cells, classes=(route,), default_class="checkout")


def loop_of(running: Stage, mover: WebhookSlotMover, events: FakeEventSource) -> Loop:
    cells, traffic = FakeCellSource(), FakeTrafficSource()
    for name in NAMES:
        cells.tell(
            name,
            CellMetrics(
                gauges={"cpu": Gauge(used=0.6, limit=3.0, scales_with_load=True)},
                capacity={"cpu": 3.0},
            ),
        )
    each = {"checkout": ClassTraffic(rate_rps=RATE / 4, latency_mean_s=0.01)}
    traffic.tell(
        BalancerReading(
            interval_s=TICK_S,
            traffic=dict.fromkeys(NAMES, each),
            demand_rps={Flow("eu", "checkout"): RATE},
            in_flight={},
        )
    )
    fleet = Fleet(cells=running.cells)
    engine = Engine(
        fleet=fleet,
        classes=(CLASS,),
        origins=("eu",),
        default_class="checkout",
        solver=ExactSolver(),
        policy=Policy(drain_ahead_s=60.0, stride_s=1.0),
        budget=Budget(),
    )
    world = World(
        clock=SystemClock(),
        cells=cells,
        traffic=traffic,
        events=events,
        sink=running.sink,
        driver=None,
        store=MemoryStore(),
        mover=mover,
    )
    return Loop(engine, fleet, world, foresight=None, tick_s=TICK_S)


async def turn_until(loop: Loop, log: Path, what: str, cell: str) -> None:
    """Turn the loop until so much was said of everything that a cell had."""
    async with asyncio.timeout(60):
        while sum(line["slots"]["length"] for line in said(log) if line["did"] == what) < 1024:
            await loop.tick()
            await asyncio.sleep(TICK_S)
    assert {line["from"] for line in said(log)} == {cell}


def windows(log: Path, what: str, slot: int) -> Sequence[tuple[float, str]]:
    return [
        (line["at_s"], line["to"])
        for line in said(log)
        if line["did"] == what
        and line["slots"]["first"] <= slot < line["slots"]["first"] + line["slots"]["length"]
    ]


async def test_no_request_reaches_a_cell_before_its_data_is_ready(tmp_path: Path) -> None:
    events = FakeEventSource()
    async with (
        service(tmp_path, takes_s=1.5) as (url, log),
        WebhookSlotMover({"checkout": url}, clock=SystemClock()) as mover,
        stage(tmp_path, first_table) as running,
    ):
        loop = loop_of(running, mover, events)
        for _ in range(12):
            await loop.tick()
        now_s = SystemClock().now_s()
        events.announce(
            SystemEvent(
                id="work",
                kind=EventKind.MAINTENANCE,
                cells=frozenset({"cell-1"}),
                known_at_s=now_s - 1.0,
                starts_at_s=now_s + 30.0,
                ends_at_s=now_s + 600.0,
            )
        )
        keys = np.random.default_rng(3).integers(0, 20_000, round(RATE * 15.0))
        firing = asyncio.create_task(fire(keys, Trial(rate=RATE), running))
        await turn_until(loop, log, "moved", "cell-1")
        last_moved_s = max(line["at_s"] for line in said(log))
        seen = await firing
        live = await running.sink.live()
    there = ~np.isnan(seen["sent_s"])
    assert set(seen["status"][there].tolist()) == {200.0}, "no request failed"
    index = {name: n for n, name in enumerate(NAMES)}
    row = assign_slots(None, dict.fromkeys(NAMES, 0.25), SLOTS)
    before = owners_of(row, index)
    followed = 0
    for request in np.flatnonzero(there).tolist():
        slot = slot_of(f"key-{int(seen['key'][request])}", SLOTS)
        cell = int(seen["cell"][request])
        if cell != before[slot]:
            ready = [at_s for at_s, to in windows(log, "ready", slot) if index[to] == cell]
            assert ready, f"slot {slot} went to {NAMES[cell]}, which was never asked"
            assert seen["answered_s"][request] > min(ready), "traffic preceded its data"
            assert NAMES[cell] in REPLICAS[NAMES[before[slot]]]
            followed += 1
        elif NAMES[cell] == "cell-1":
            assert seen["sent_s"][request] < last_moved_s, "the old cell is still asked"
    assert followed > 50
    assert live is not None
    assert live.classes[0].holders is not None
    assert "cell-1" not in live.classes[0].holders.counts()
