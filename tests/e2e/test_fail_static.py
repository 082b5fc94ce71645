"""Foreshard dead, frozen, blind or refused: the balancers keep the last good plan.

Every test compares the steered fleet with a reactive twin that gets the very same requests.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from foreshard import app
from foreshard.cli.explain import explain
from foreshard.lab import service
from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.records import Run
from foreshard.model.routing import ClassRoute, RoutingTable, WeightRow
from foreshard.model.safety_net import SafetyNet
from foreshard.ports import Rejected
from tests.e2e.stage import STEERED, TWIN, Stage, failed, staged, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

CELLS = ("eu-1", "eu-2", "us-1")
CHECKOUT = [c.name for c in service.CLASSES].index("checkout")
# Mostly what belongs to a cell: only that is lost when a cell dies.
KEYED_MIX = (0.8, 0.15, 0.05)
KEYED_RPS = 100.0
# Three failed checks, one a second, and a slow moment.
FAILED_OVER_S = 5.0


def failures(run: Run, fleet: str) -> int:
    return int(np.count_nonzero(failed(run, fleet).failed))


def assert_nothing_failed_because_of_it(run: Run) -> None:
    assert failures(run, STEERED) <= failures(run, TWIN)
    assert not np.any(failed(run, STEERED).shed)


def allowance(kills: int, errors: int) -> float:
    """Three standard deviations of what chance alone does to the difference of two fleets.

    Requests and moments are the same, but keys live in other cells (hash ring, slots), so the
    number of requests that meet the dead cell is Poisson's in each. And health checks of the two
    Envoys do not tick together: the moments of the third failed check differ by the difference
    of two uniform variables over one interval, of variance interval^2 / 6.
    """
    at_dead_rps = KEYED_RPS * KEYED_MIX[CHECKOUT] / 4
    phase = kills * (at_dead_rps * SafetyNet().check_interval_s) ** 2 / 6.0
    return 3.0 * math.sqrt(errors + phase)


async def test_a_cell_that_is_killed_while_foreshard_is_frozen_costs_what_it_costs_the_twin() -> (
    None
):
    async with staged((*CELLS, "us-2")) as stage:

        async def kill(cell: str) -> None:
            for fleet in stage.cells.values():
                fleet.kill(cell)
            await asyncio.sleep(FAILED_OVER_S)

        async def act() -> None:
            await stage.sink.freeze("an end-to-end test")
            live = await stage.live()
            await kill("eu-1")
            members = stage.processes().values()
            for member in members:
                member.suspend()
            await kill("us-1")
            for member in members:
                member.resume()
            assert await stage.live() == live
            await stage.sink.thaw()
            await until(lambda: is_newer(stage, live), "thawed, it steers again")

        run = await stage.play(act, rate_rps=KEYED_RPS, mix=KEYED_MIX)
    twin, steered = failures(run, TWIN), failures(run, STEERED)
    print(twin, steered, allowance(2, twin + steered))
    assert twin > 0
    assert steered <= 1.1 * twin + allowance(2, twin + steered)


async def is_drained(stage: Stage, cell: str) -> bool:
    rows = (row for route in (await stage.live()).classes for row in route.rows.values())
    return not any(
        cell in (row.weights if isinstance(row, WeightRow) else row.counts()) for row in rows
    )


async def is_newer(stage: Stage, table: RoutingTable) -> bool:
    return (await stage.live()).version > table.version


async def test_killed_foreshard_harms_nobody_and_goes_on_where_it_was() -> None:
    async with staged(CELLS) as stage:

        async def act() -> None:
            stage.announce("eu-1")
            await until(lambda: is_drained(stage, "eu-1"), "eu-1 is drained ahead of its window")
            await stage.ticks(2)
            live, updates = await stage.live(), await stage.updates()
            for role in ("engine", "serve"):
                member = stage.processes()[role]
                member.kill()
                await stage.whole(without=member.pid)
            await stage.kill_foreshard()
            await asyncio.sleep(1.0)
            await stage.start_foreshard()
            await stage.whole()
            await stage.ticks(4)
            print(rows_of(live)); print(rows_of(await stage.live())); print(stage.foreshard.log.read_text()[-6000:])
            print((stage.settings.data_dir/"logs"/"engine.log").read_text()[-6000:])
            assert await stage.live() == live
            assert await stage.updates() == updates

        run = await stage.play(act)
    assert_nothing_failed_because_of_it(run)


async def test_blind_foreshard_holds_the_plan_and_says_so() -> None:
    async with staged(CELLS) as stage:

        async def is_blind() -> bool:
            return "telemetry.stale" in now_said(stage)

        async def sees() -> bool:
            return "telemetry.stale" not in now_said(stage)

        async def act() -> None:
            await stage.ticks(10)
            live, shares = await stage.live(), shares_of(stage)
            await stage.inject(FaultKind.MUTE)
            await until(is_blind, "it says that the cells are silent")
            await stage.ticks(3)
            print(explain("eu-1", app.latest_decision(stage.settings, "eu-1"), stage.status()))
            assert await stage.live() == live
            assert shares_of(stage) == shares
            await stage.clear()
            await until(sees, "it hears the cells again")
            live, shares = await stage.live(), shares_of(stage)
            stage.gate.is_shut = True
            await until(is_blind, "it says that the balancers are silent")
            await stage.ticks(3)
            assert await stage.live() == live
            assert shares_of(stage) == shares
            stage.gate.is_shut = False
            await until(sees, "it hears the balancers again")

        run = await stage.play(act)
    assert_nothing_failed_because_of_it(run)


def now_said(stage: Stage) -> frozenset[str]:
    """Codes of the reasons about the fleet, as far as the newest decision had any."""
    status = stage.status()
    record = app.latest_decision(stage.settings, "fleet")
    print(record and record["kept"], status and status["now_s"], record and record["decision"]["routing"]["because"])
    if status is None or record is None or record["kept"]["last_s"] < status["now_s"]:
        return frozenset()
    return frozenset(r["code"] for r in record["decision"]["routing"]["because"])


def shares_of(stage: Stage) -> Mapping[str, Any]:
    status = stage.status()
    assert status is not None
    return {name: cell["shares"] for name, cell in status["cells"].items()}


async def test_a_table_that_envoy_refuses_is_taken_back_and_nobody_notices() -> None:
    async with staged(CELLS) as stage:

        async def act() -> None:
            await stage.ticks(4)
            live, updates = await stage.live(), await stage.updates()
            outcome = await stage.sink.apply(unpalatable(live))
            print(outcome)
            assert isinstance(outcome, Rejected)
            assert outcome.version == live.version + 1
            assert "edge-1" in outcome.because
            assert await stage.live() == live
            after = await stage.updates()
            print({n: (v, after[n]) for n, v in updates.items() if after[n] != v})
            await stage.ticks(4)
            assert await stage.live() == live

        run = await stage.play(act)
    assert_nothing_failed_because_of_it(run)


def unpalatable(live: RoutingTable) -> RoutingTable:
    """A table that looks well, moves all of search to one cell, and holds what no Envoy takes."""
    classes = []
    for route in live.classes:
        if route.request_class.is_keyed:
            spoilt = replace(route.request_class, key_header="x\nkey")
            classes.append(replace(route, request_class=spoilt))
        else:
            rows = dict.fromkeys(route.rows, WeightRow(weights={"eu-1": 1}))
            classes.append(ClassRoute(request_class=route.request_class, rows=rows, backups=route.backups))
    return replace(live, version=live.version + 1, classes=tuple(classes))

def rows_of(t):
    return t.version, [(r.request_class.name, r.rows) for r in t.classes]
