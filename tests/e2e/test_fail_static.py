"""Foreshard dead, frozen, blind or refused: the balancers keep the last good plan.

Every test compares the steered fleet with a reactive twin that gets the very same requests.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

CHECKOUT = [c.name for c in service.CLASSES].index("checkout")
SEARCH = [c.name for c in service.CLASSES].index("search")


def assert_nothing_failed_because_of_it(run: Run) -> None:
    twin, steered = failed(run, TWIN), failed(run, STEERED)
    assert len(twin.failed) == len(steered.failed)
    assert np.count_nonzero(steered.failed) <= np.count_nonzero(twin.failed)
    assert np.count_nonzero(steered.shed) == 0


async def test_killed_foreshard_harms_nobody_and_goes_on_where_it_was() -> None:
    async with staged() as stage:

        async def act() -> None:
            await stage.ticks(3)
            for role in ("engine", "serve"):
                before = stage.processes()[role]
                before.kill()
                await until(
                    lambda before=before: asyncio.sleep(0, not before.is_running()), "it is gone"
                )
                await stage.whole()
            await stage.ticks(2)
            live, updates = await stage.live(), await stage.updates()
            await stage.kill_foreshard()
            await asyncio.sleep(2.0)
            await stage.start_foreshard()
            await stage.whole()
            await stage.ticks(4)
            assert await stage.live() == live
            assert await stage.updates() == updates
            print(updates)

        run = await stage.play(act, duration_s=14.0)
        assert_nothing_failed_because_of_it(run)
