from __future__ import annotations

import numpy as np
import pytest

from foreshard.lab.scenario.scenario import Load, Telemetry
from foreshard.lab.service import Site
from foreshard.lab.simulation.sources import WorldEventSource, WorldTrafficSource
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.telemetry import Missing
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading
from tests.lab.simulation.small import START_S, Scene, scenario_of


def readings(scene: Scene, seconds: int) -> list[BalancerReading | Missing]:
    source = WorldTrafficSource(scene.world, scene.clock, rng=np.random.default_rng(1))

    async def work() -> list[BalancerReading | Missing]:
        said = []
        for _ in range(seconds):
            said.append(await source.read())
            await scene.clock.sleep(1.0)
        return said

    return scene.play(work)


def test_the_first_reading_is_missing_and_the_next_ones_say_who_got_what() -> None:
    scene = Scene.of(scenario_of())
    first, second, third = readings(scene, 3)
    assert first == Missing("first reading of the balancers: a rate needs a second one")
    assert isinstance(second, BalancerReading)
    assert isinstance(third, BalancerReading)
    rate = scene.scenario.rate_rps()
    assert third.interval_s == pytest.approx(1.0)
    assert sum(third.demand_rps.values()) == pytest.approx(rate)
    assert set(third.demand_rps) == {Flow("eu", c.name) for c in scene.scenario.classes}
    served = sum(t.rate_rps for by in third.traffic.values() for t in by.values())
    assert served == pytest.approx(rate)
    assert third.traffic["us-3"]["report"].latency_mean_s == pytest.approx(0.03)
    assert third.in_flight["eu-1"] == pytest.approx(rate / 6 * 0.03)


def test_failures_are_counted_at_the_cell_that_failed() -> None:
    scene = Scene.of(scenario_of(), gone={"eu-2": (1.0, 30.0)})
    said = readings(scene, 5)[-1]
    assert isinstance(said, BalancerReading)
    assert said.traffic["eu-2"]["search"].failed_ratio == pytest.approx(1.0)
    assert said.traffic["eu-1"]["search"].failed_ratio == pytest.approx(0.0)


def test_before_any_traffic_nothing_was_counted_and_that_is_no_silence() -> None:
    scene = Scene.of(scenario_of())
    scene.loop._virtual_s = START_S - 3.0
    said = readings(scene, 3)[-1]
    assert isinstance(said, BalancerReading)
    assert said.interval_s == pytest.approx(1.0)
    assert dict(said.demand_rps) == {}
    assert dict(said.traffic) == {site.name: {} for site in scene.scenario.sites}


def test_a_reading_that_is_lost_is_in_the_next_one() -> None:
    told = Telemetry(lag_s=0.0, noise_ratio=0.0, gap_ratio=0.3)
    scene = Scene.of(scenario_of(telemetry=told))
    said = readings(scene, 40)
    lost = [each for each in said if isinstance(each, Missing)]
    heard = [each for each in said if isinstance(each, BalancerReading)]
    assert len(lost) > 5
    counted = sum(each.interval_s * sum(each.demand_rps.values()) for each in heard)
    assert max(each.interval_s for each in heard) > 1.5
    assert counted == pytest.approx(
        sum(each.interval_s for each in heard) * scene.scenario.rate_rps()
    )


def test_origins_are_flows_of_their_own() -> None:
    load = Load(origins={"eu": 0.25, "us": 0.75})
    said = readings(Scene.of(scenario_of(load=load)), 3)[-1]
    assert isinstance(said, BalancerReading)
    rates = said.demand_rps
    assert rates[Flow("us", "search")] == pytest.approx(3.0 * rates[Flow("eu", "search")])


def test_requests_in_flight_are_not_told_of_many_cells() -> None:
    sites = tuple(Site(name=f"c{n}", region="eu", zone="a") for n in range(65))
    said = readings(Scene.of(scenario_of(sites=sites)), 3)[-1]
    assert isinstance(said, BalancerReading)
    assert dict(said.in_flight) == {}


def test_events_are_told_on_the_clock_once_they_are_known() -> None:
    event = SystemEvent(
        id="m",
        kind=EventKind.MAINTENANCE,
        cells=frozenset({"eu-1"}),
        known_at_s=5.0,
        starts_at_s=20.0,
        ends_at_s=30.0,
    )
    scene = Scene.of(scenario_of(), events=(event,))
    source = WorldEventSource(scene.world)

    async def work() -> list[tuple[SystemEvent, ...]]:
        said = []
        for _ in range(7):
            said.append(await source.read())
            await scene.clock.sleep(5.0)
        return said

    said = scene.play(work)
    assert [len(each) for each in said] == [0, 1, 1, 1, 1, 1, 0]
    assert (said[1][0].known_at_s, said[1][0].starts_at_s, said[1][0].ends_at_s) == (
        START_S + 5.0,
        START_S + 20.0,
        START_S + 30.0,
    )
