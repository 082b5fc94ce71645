from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pytest

from foreshard.lab.policy.peer import Peer
from foreshard.lab.policy.policy import Balancer, Stage
from foreshard.lab.policy.program import Draft
from foreshard.lab.policy.setting import Setting, setting_of
from foreshard.lab.policy.sticky import sticky
from foreshard.lab.policy.view import View, look
from foreshard.lab.scenario.scenario import Family, Scenario
from foreshard.lab.simulation.routing import Pick, Routing
from foreshard.model.errors import LabError
from foreshard.model.telemetry import CellMetrics, ClassTraffic, Gauge
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading
from foreshard.testing import (
    FakeCellDriver,
    FakeCellSource,
    FakeClock,
    FakeEventSource,
    FakeRouteSink,
    FakeTrafficSource,
)
from foreshard.testing.store import MemoryStore
from tests.lab.policy.stages import CHECKOUT, SEARCH

T = TypeVar("T")

SCENARIO = Scenario(
    name="calm", family=Family.TRAP, about="Nothing happens.", duration_s=100.0, pace=2.0
)


class Notebook:
    """A `Balancer` that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Routing] = []

    async def route(self, routing: Routing) -> None:
        self.told.append(routing)


class Inline:
    """An `Executor` that computes at once."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


@dataclass
class Props:
    """The fakes of one stage."""

    clock: FakeClock = field(default_factory=FakeClock)
    cells: FakeCellSource = field(default_factory=FakeCellSource)
    traffic: FakeTrafficSource = field(default_factory=FakeTrafficSource)
    sink: FakeRouteSink = field(default_factory=FakeRouteSink)

    def stage(self, balancer: Balancer | None) -> Stage:
        more = {"store": MemoryStore()} if "store" in Stage.__dataclass_fields__ else {}
        return Stage(
            scenario=SCENARIO,
            fleet=SCENARIO.fleet(),
            start_s=self.clock.now_s(),
            clock=self.clock,
            executor=Inline(),
            cells=self.cells,
            traffic=self.traffic,
            events=FakeEventSource(),
            sink=self.sink,
            balancer=balancer,
            driver=FakeCellDriver(),
            truth=None,
            seed=1,
            **more,
        )


@dataclass
class Counting:
    """Changes its mind each third look."""

    setting: Setting
    seen: list[View] = field(default_factory=list)

    def decide(self, view: View) -> Draft:
        self.seen.append(view)
        if len(self.seen) % 3 == 1:
            self.draft = sticky(self.setting).draft
        return self.draft


async def steered(peer: Peer, stage: Stage, clock: FakeClock, *, seconds: float) -> None:
    stop = asyncio.Event()

    async def end() -> None:
        await clock.sleep(seconds)
        stop.set()

    await asyncio.gather(peer.steer(stage, stop), end())


async def test_a_peer_routes_before_it_looks_and_then_only_what_is_new() -> None:
    props, book = Props(), Notebook()
    rules: list[Counting] = []

    def begin(setting: Setting) -> Counting:
        rules.append(Counting(setting))
        return rules[0]

    peer = Peer(name="counting", begin=begin)
    await steered(peer, props.stage(book), props.clock, seconds=6.5)
    assert [round(view.now_s, 6) for view in rules[0].seen] == [0, 1, 2, 3, 4, 5, 6]
    assert np.isnan(rules[0].seen[0].demand_rps).all()
    assert len(book.told) == 3


async def test_without_a_simulated_balancer_tables_are_told() -> None:
    props = Props()
    peer = Peer(name="sticky", begin=sticky)
    await steered(peer, props.stage(None), props.clock, seconds=3.5)
    assert [table.version for table in props.sink.applied] == [1]


async def test_a_refused_table_ends_the_run() -> None:
    props = Props()
    props.sink.refuse("no")
    with pytest.raises(LabError, match="refused: no"):
        await Peer(name="sticky", begin=sticky).steer(props.stage(None), asyncio.Event())


async def test_a_look_says_what_was_measured_and_nan_where_nothing_was() -> None:
    props = Props()
    stage = props.stage(None)
    props.cells.tell("eu-1", CellMetrics(gauges={"cpu": Gauge(used=1.5, limit=3.0)}), age_s=0.4)
    props.cells.kill("eu-2")
    props.traffic.tell(
        BalancerReading(
            interval_s=1.0,
            traffic={
                "eu-1": {
                    "search": ClassTraffic(
                        rate_rps=10.0, failed_ratio=0.1, slow_ratio=0.2, latency_mean_s=0.05
                    )
                }
            },
            demand_rps={Flow("eu", "search"): 60.0},
            in_flight={"eu-1": 3.0},
        )
    )
    view = await look(stage, setting_of(stage))
    assert view.cpu[0] == 0.5
    assert np.isnan(view.cpu[1:]).all()
    assert view.is_down.tolist() == [False, True, False, False, False, False]
    assert view.demand_rps[0].tolist() == [0.0, 60.0, 0.0]
    assert view.bad_ratio[SEARCH, 0] == pytest.approx(0.3)
    assert view.rate_rps[CHECKOUT, 0] == 0.0
    props.traffic.silence()
    silent = await look(stage, setting_of(stage))
    assert np.isnan(silent.demand_rps).all()
    assert np.isnan(silent.rate_rps).all()


def test_a_setting_is_what_the_scenario_says_in_the_open() -> None:
    stage = Props().stage(None)
    setting = setting_of(replace(stage, scenario=replace(SCENARIO, sizes={"us-1": 2.0})))
    assert setting.pace == 2.0
    assert setting.size.tolist() == [3.0, 3.0, 3.0, 6.0, 3.0, 3.0]
    assert setting.home.tolist() == [[True, True, True, False, False, False]]
    assert (
        Pick.SLOTS
        in sticky(setting).draft.routing(setting, np.zeros((3, 6, 3), dtype=np.int32)).pick
    )
