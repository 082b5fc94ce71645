from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.scenario.scenario import Load
from foreshard.lab.simulation.actuators import (
    Proxies,
    WorldCellDriver,
    WorldRouteSink,
    shares_of,
)
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.routing import NOBODY, Pick
from foreshard.lab.simulation.world import Life
from foreshard.model.errors import DriverError, LabError
from foreshard.model.plan import Plan, Split
from foreshard.model.routing import RoutingTable
from foreshard.model.workload import Flow
from foreshard.planning.table import table_of
from foreshard.ports import Applied
from tests.lab.simulation.small import Scene, even_routing, scenario_of


def table_for(scene: Scene, *, version: int = 1, shed: float = 0.0) -> RoutingTable:
    scenario, fleet = scene.scenario, scene.scenario.fleet()
    splits = {}
    for origin in scenario.origins:
        for each in scenario.classes:
            able = [cell.name for cell in fleet.cells if cell.region == origin]
            kept = dict.fromkeys(able, (1.0 - shed) / len(able))
            splits[Flow(origin, each.name)] = Split(shares=kept, shed=shed)
    return table_of(
        Plan(splits=splits),
        version=version,
        fleet=fleet,
        classes=scenario.classes,
        default_class=scenario.default_class,
        previous=None,
    )


def sink_of(scene: Scene) -> tuple[WorldRouteSink, list[tuple[float, Floats]]]:
    noted: list[tuple[float, Floats]] = []
    proxies = Proxies(scene.world, scene.clock, note=lambda at_s, s: noted.append((at_s, s)))
    return WorldRouteSink(proxies, scene.world, scene.clock), noted


def test_a_table_is_live_after_the_control_delay_and_every_proxy_acknowledged() -> None:
    scene = Scene.of(
        scenario_of(control_delay_s=0.3, proxies=4, load=Load(origins={"eu": 0.5, "us": 0.5}))
    )
    sink, noted = sink_of(scene)
    table = table_for(scene, version=7, shed=0.25)

    async def work() -> Applied:
        assert await sink.live() is None
        await scene.clock.sleep(1.0)
        outcome = await sink.apply(table)
        assert await sink.live() is table
        return outcome

    outcome = scene.play(work)
    assert (outcome.version, outcome.acks) == (7, 8)
    assert outcome.push_to_ack_s == pytest.approx(0.3)
    assert len(scene.plant.routed) == 2
    ((at_s, shares),) = noted
    assert at_s == 1.0
    assert shares[..., -1] == pytest.approx(0.25, abs=0.01)
    eu, us = shares[0, :, :3].sum(axis=1), shares[1, :, :3].sum(axis=1)
    assert eu == pytest.approx(0.75, abs=0.01), "each region keeps to its own cells"
    assert us == pytest.approx(0.0)


def test_a_table_of_other_classes_is_refused() -> None:
    scene = Scene.of(scenario_of())
    sink, _ = sink_of(scene)
    table = table_for(scene)
    wrong = replace(table, classes=table.classes[::-1])
    with pytest.raises(LabError, match="table 1: classes are"):
        scene.play(lambda: sink.apply(wrong))


@given(
    weights=st.lists(st.floats(0.1, 10.0), min_size=6, max_size=6),
    shed=st.floats(0.0, 1.0),
    owners=st.lists(st.integers(NOBODY, 5), min_size=16, max_size=16),
)
def test_shares_of_any_program_sum_to_one(
    weights: list[float], shed: float, owners: list[int]
) -> None:
    even = even_routing(scenario_of())
    pick = even.pick.copy()
    pick[0, 0] = Pick.SLOTS
    shares = shares_of(
        replace(
            even,
            pick=pick,
            weight=np.broadcast_to(np.array(weights), even.weight.shape),
            shed=np.full(even.shed.shape, shed),
            slots=np.broadcast_to(np.array(owners, dtype=np.int32), (*even.shed.shape, 16)),
        )
    )
    assert shares.sum(axis=2) == pytest.approx(1.0)
    assert shares[0, 0, -1] == owners.count(NOBODY) / 16
    assert shares[0, 1, -1] == pytest.approx(shed)


def test_a_restart_takes_a_moment_to_be_accepted_and_then_happens() -> None:
    scene = Scene.of(scenario_of())
    driver = WorldCellDriver(scene.world, scene.clock)

    async def work() -> None:
        await scene.clock.sleep(2.0)
        await driver.recycle("eu-3")
        await scene.clock.sleep(10.0)

    scene.play(work)
    assert [(each.cell, each.what) for each in scene.world.lives] == [
        ("eu-3", Life.ASKED),
        ("eu-3", Life.DIED),
        ("eu-3", Life.STARTED),
    ]
    assert scene.world.lives[0].at_s == pytest.approx(2.1)


def test_nobody_restarts_a_cell_that_cannot_be_reached() -> None:
    scene = Scene.of(scenario_of())
    driver = WorldCellDriver(scene.world, scene.clock)

    async def work() -> None:
        scene.sky.tell(is_reachable=np.zeros(6, dtype=np.bool_))
        await scene.clock.sleep(1.0)
        with pytest.raises(DriverError, match="eu-3 cannot be reached"):
            await driver.recycle("eu-3")

    scene.play(work)
    assert scene.world.lives == []
