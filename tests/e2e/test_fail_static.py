"""Foreshard dead, frozen, blind or refused: the balancers keep the last good plan.

Every test compares the steered fleet with a reactive twin that gets the very same requests, and
at the end of each the stage looks for requests that met a hole in Envoy's configuration.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from foreshard.app.asking import latest_decision
from foreshard.lab import service
from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.records import Run
from foreshard.model.routing import RoutingTable, WeightRow
from foreshard.model.safety_net import SafetyNet
from foreshard.ports import Rejected
from tests.e2e.stage import STEERED, TWIN, Stage, judged, staged, until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(150)]

CELLS = ("eu-1", "eu-2", "us-1", "us-2")
CHECKOUT = [c.name for c in service.CLASSES].index("checkout")
# Mostly what belongs to a cell: only that is lost when a cell dies.
KEYED_MIX = (0.8, 0.15, 0.05)
KEYED_RPS = 100.0
# Three failed checks, one a second, and a slow moment.
FAILED_OVER_S = 5.0


async def test_a_cell_killed_while_foreshard_is_frozen_costs_what_it_costs_the_twin() -> None:
    async with staged(CELLS) as stage:

        async def kill(cell: str) -> None:
            for fleet in stage.cells.values():
                fleet.kill(cell)
            await asyncio.sleep(FAILED_OVER_S)

        async def is_steered_again() -> bool:
            return (await stage.live()).version > live.version

        async def act() -> None:
            await stage.sink.freeze("an end-to-end test")
            await kill("eu-1")
            members = stage.processes().values()
            for member in members:
                member.suspend()
            await kill("us-1")
            for member in members:
                member.resume()
            assert await stage.live() == live
            await stage.sink.thaw()
            await until(is_steered_again, "thawed, it takes its work off the dead cell")

        live = await stage.live()
        run = await stage.play(act, rate_rps=KEYED_RPS, mix=KEYED_MIX)
    twin, steered = failures(run, TWIN), failures(run, STEERED)
    assert twin > 0
    assert steered <= 1.1 * twin + allowance(twin + steered, kills=2)


def failures(run: Run, fleet: str) -> int:
    return int(np.count_nonzero(judged(run, fleet).failed))


def allowance(errors: int, *, kills: int) -> float:
    """Three standard deviations of what chance alone does to the difference of two fleets.

    Requests and moments are the same, but keys live in other cells (hash ring, slots), so the
    number of requests that meet the dead cell is Poisson's in each. And health checks of the two
    Envoys do not tick together: the moments of the third failed check differ by the difference
    of two uniform variables over one interval, of variance interval^2 / 6.
    """
    at_dead_rps = KEYED_RPS * KEYED_MIX[CHECKOUT] / len(CELLS)
    phase = kills * (at_dead_rps * SafetyNet().check_interval_s) ** 2 / 6.0
    return 3.0 * math.sqrt(errors + phase)


async def test_killed_foreshard_harms_nobody_and_goes_on_where_it_was() -> None:
    async with staged() as stage:

        async def is_drained() -> bool:
            rows = (r for route in (await stage.live()).classes for r in route.rows.values())
            owners = (r.weights if isinstance(r, WeightRow) else r.counts() for r in rows)
            return not any("eu-1" in named for named in owners)

        async def act() -> None:
            # A plan that nobody who forgot it would make again.
            stage.announce("eu-1")
            await until(is_drained, "eu-1 is drained ahead of its window")
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
            assert await stage.live() == live
            assert await stage.updates() == updates, "Envoy was told what it knew already"

        run = await stage.play(act)
    assert_nothing_failed_because_of_it(run)


def assert_nothing_failed_because_of_it(run: Run) -> None:
    assert failures(run, STEERED) <= failures(run, TWIN)
    assert not np.any(judged(run, STEERED).shed)


async def test_blind_foreshard_holds_the_plan_and_says_so() -> None:
    async with staged() as stage:

        async def sees() -> bool:
            return not held_because(stage)

        async def act() -> None:
            await stage.ticks(2)
            await until(sees, "it knows enough to plan")
            live, shares, updates = await stage.live(), shares_of(stage), await stage.updates()
            await stage.inject(FaultKind.MUTE)
            await until_held(stage, "serving cells are silent")
            await stage.ticks(2)
            assert shares_of(stage) == shares
            await stage.clear()
            await until(sees, "it hears the cells again")
            stage.gate.is_shut = True
            await until_held(stage, "the balancers are silent")
            await stage.ticks(2)
            assert shares_of(stage) == shares
            stage.gate.is_shut = False
            await until(sees, "it hears the balancers again")
            assert await stage.live() == live
            assert await stage.updates() == updates

        run = await stage.play(act)
    assert_nothing_failed_because_of_it(run)


async def until_held(stage: Stage, because: str) -> None:
    async def is_said() -> bool:
        return any(because in text and "plan is held" in text for text in held_because(stage))

    await until(is_said, f"it says that {because}")

    async def is_shown() -> bool:
        # Stored at most as often as it costs little: a moment later than the record.
        status = stage.status()
        return status is not None and any(because in e["text"] for e in status["timeline"])

    await until(is_shown, f"its status shows that {because}")


def held_because(stage: Stage) -> tuple[str, ...]:
    """Why the newest decision holds the plan for want of telemetry; empty when it does not."""
    status, record = stage.status(), latest_decision(stage.settings, "fleet")
    if status is None or record is None or record["kept"]["last_s"] < status["now_s"]:
        return ()
    reasons = record["decision"]["routing"]["because"]
    return tuple(r["text"] for r in reasons if r["code"] == "telemetry.stale")


def shares_of(stage: Stage) -> Mapping[str, Any]:
    status = stage.status()
    assert status is not None
    return {name: cell["shares"] for name, cell in status["cells"].items()}


async def test_a_table_that_envoy_refuses_is_taken_back_and_nobody_notices() -> None:
    async with staged() as stage:

        async def act() -> None:
            await stage.ticks(3)
            live, before = await stage.live(), await stage.updates()
            outcome = await stage.sink.apply(unpalatable(live))
            after = await stage.updates()
            assert isinstance(outcome, Rejected)
            assert outcome.version == live.version + 1
            assert "edge-1" in outcome.because
            assert "HeaderName" in outcome.because
            grown = {name: after[name] - before[name] for name in before}
            assert grown["http.edge.rds.checkout.update_rejected"] == 1
            assert grown["cluster.free/search.update_success"] == 2, "there and back"
            assert (await stage.sink.status())["last_rejection"] == outcome.because
            assert await stage.live() == live
            await stage.ticks(3)
            assert await stage.live() == live
            assert await stage.updates() == after

        run = await stage.play(act)
    assert_nothing_failed_because_of_it(run)


def unpalatable(live: RoutingTable) -> RoutingTable:
    """A table that looks well, gives all of search to one cell, and holds what Envoy refuses."""
    classes = []
    for route in live.classes:
        if route.request_class.is_keyed:
            spoilt = replace(route.request_class, key_header="x\nkey")
            classes.append(replace(route, request_class=spoilt))
        else:
            rows = dict.fromkeys(route.rows, WeightRow(weights={"eu-1": 1}))
            classes.append(replace(route, rows=rows))
    return replace(live, version=live.version + 1, classes=tuple(classes))
