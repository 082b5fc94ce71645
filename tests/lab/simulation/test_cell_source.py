from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import CellMake, Telemetry
from foreshard.lab.simulation.cell_source import MEASURED, WorldCellSource, deploys_of
from foreshard.model.telemetry import CellMetrics, Fresh, Health, Missing
from tests.lab.simulation.small import START_S, Scene, scenario_of

Said = Mapping[str, tuple[Health, Fresh | Missing]]
CELLS = 6
EU_1 = np.array([True, False, False, False, False, False])


def looks(scene: Scene, seconds: int, *, seed: int = 1) -> list[Said]:
    """What is read once a second, from the first on."""
    fleet = scene.scenario.fleet()
    source = WorldCellSource(scene.world, scene.clock, rng=np.random.default_rng(seed))

    async def work() -> list[Said]:
        said = []
        for _ in range(seconds):
            said.append(await source.read(fleet.cells))
            await scene.clock.sleep(1.0)
        return said

    return scene.play(work)


def metrics_of(said: Said, cell: str = "eu-1") -> CellMetrics:
    reading = said[cell][1]
    assert isinstance(reading, Fresh), reading
    return reading.metrics


def test_a_rate_needs_two_looks_and_is_what_the_cell_is_busy() -> None:
    scene = Scene.of(scenario_of())
    first, second, *_ = looks(scene, 3)
    assert "cpu" not in metrics_of(first).gauges
    gauge = metrics_of(second).gauges["cpu"]
    assert gauge.utilisation == pytest.approx(scene.scenario.load.utilisation)
    assert gauge.scales_with_load
    assert metrics_of(second).capacity == {"cpu": 3.0}
    assert set(metrics_of(second).gauges) == set(MEASURED)


def test_gauges_are_in_their_own_units() -> None:
    scene = Scene.of(scenario_of(make=CellMake(descriptors=1_000, threads=200)))
    gauges = metrics_of(looks(scene, 2)[-1]).gauges
    assert (gauges["memory"].used, gauges["memory"].limit) == (0.5, 1.0)
    assert (gauges["descriptors"].used, gauges["descriptors"].limit) == (100.0, 1_000.0)
    assert (gauges["threads"].used, gauges["threads"].limit) == (20.0, 200.0)
    assert gauges["connections"].limit == 48.0


def test_connections_that_leaked_away_are_in_use() -> None:
    scene = Scene.of(scenario_of())
    before = metrics_of(looks(scene, 2)[-1]).gauges["connections"].used
    scene = Scene.of(scenario_of())
    scene.sky.tell(connections=np.full(CELLS, 40.0))
    assert metrics_of(looks(scene, 2)[-1]).gauges["connections"].used == pytest.approx(before + 8)


def test_a_dead_cell_refuses_and_a_new_process_begins_its_rate_anew() -> None:
    scene = Scene.of(scenario_of(), gone={"eu-1": (1.5, 3.5)})
    said = looks(scene, 6)
    assert [each["eu-1"][0] for each in said] == [
        *[Health.UP] * 2,
        *[Health.DOWN] * 2,
        *[Health.UP] * 2,
    ]
    assert said[2]["eu-1"][1] == Missing("127.0.0.1:1 refuses connections")
    assert "cpu" not in metrics_of(said[4]).gauges
    assert "cpu" in metrics_of(said[5]).gauges
    assert metrics_of(said[5]).started_at_s == pytest.approx(START_S + 3.5)
    assert metrics_of(said[1]).started_at_s < START_S


def test_a_cell_that_cannot_be_reached_costs_time_and_is_bridged_for_a_moment() -> None:
    scene = Scene.of(scenario_of())
    fleet = scene.scenario.fleet()
    source = WorldCellSource(scene.world, scene.clock, rng=np.random.default_rng(1))

    async def work() -> list[tuple[float, Health, Fresh | Missing]]:
        await scene.clock.sleep(1.0)
        await source.read(fleet.cells)
        scene.sky.tell(is_reachable=~EU_1)
        await scene.clock.sleep(1.0)
        said = []
        for _ in range(3):
            asked_s = scene.clock.now_s()
            health, reading = (await source.read(fleet.cells))["eu-1"]
            said.append((scene.clock.now_s() - asked_s, health, reading))
            await scene.clock.sleep(0.2)
        return said

    (took_s, health, bridged), _, (_, still, gone) = scene.play(work)
    assert took_s == pytest.approx(0.8)
    assert health is still is Health.UNKNOWN
    assert isinstance(bridged, Fresh)
    assert bridged.age_s == pytest.approx(1.8)
    assert gone == Missing("127.0.0.1:1: no answer in 0.8 s")


def test_a_cell_whose_metrics_do_not_arrive_is_up_and_missing() -> None:
    scene = Scene.of(scenario_of())
    scene.sky.tell(is_heard=~EU_1)
    health, reading = looks(scene, 6)[-1]["eu-1"]
    assert health is Health.UP
    assert isinstance(reading, Missing)


def test_single_readings_get_lost_as_often_as_told_and_are_bridged() -> None:
    scene = Scene.of(
        scenario_of(
            duration_s=400.0,
            telemetry=Telemetry(lag_s=0.0, noise_ratio=0.0, gap_ratio=0.1),
        )
    )
    said = looks(scene, 400)
    ages = [r.age_s for each in said for _, r in each.values() if isinstance(r, Fresh)]
    bridged = sum(age >= 1.0 for age in ages)
    assert 0.07 < bridged / (400 * CELLS) < 0.13


def test_lag_is_one_per_cell_and_is_the_age() -> None:
    told = Telemetry(lag_s=2.0, noise_ratio=0.0, gap_ratio=0.0)
    scene = Scene.of(scenario_of(telemetry=told))
    said = looks(scene, 20)
    ages = {
        cell: {round(r.age_s, 6) for each in said[5:] if isinstance(r := each[cell][1], Fresh)}
        for cell in said[0]
    }
    assert all(len(of_cell) == 1 for of_cell in ages.values())
    every = [age for of_cell in ages.values() for age in of_cell]
    assert 1.0 <= min(every) < max(every) <= 3.0


def test_noise_is_relative_and_the_same_for_the_same_seed() -> None:
    told = Telemetry(lag_s=0.0, noise_ratio=0.05, gap_ratio=0.0)
    runs = [
        [
            metrics_of(s).gauges["memory"].used
            for s in looks(Scene.of(scenario_of(telemetry=told)), 50)
        ]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert np.std(runs[0]) == pytest.approx(0.05 * 0.5, rel=0.4)


def test_a_frozen_page_says_the_same_without_a_rate_and_grows_old_after_a_while() -> None:
    scene = Scene.of(scenario_of())
    fleet = scene.scenario.fleet()
    source = WorldCellSource(scene.world, scene.clock, rng=np.random.default_rng(1))

    async def work() -> list[Fresh]:
        for _ in range(3):
            await source.read(fleet.cells)
            await scene.clock.sleep(1.0)
        scene.sky.tell(is_frozen=EU_1, used=np.full((CELLS, 4), 0.9))
        await scene.clock.sleep(1.0)
        said = []
        for _ in range(20):
            reading = (await source.read(fleet.cells))["eu-1"][1]
            assert isinstance(reading, Fresh)
            said.append(reading)
            await scene.clock.sleep(1.0)
        return said

    said = scene.play(work)
    assert {each.metrics.gauges["memory"].used for each in said} == {0.5}
    assert {each.metrics.gauges["cpu"].used for each in said} == {0.0}
    assert said[5].age_s == 0.0
    assert said[-1].age_s == pytest.approx(21.0)


def test_gauges_lie_by_the_factor_told() -> None:
    scene = Scene.of(scenario_of())
    scene.sky.tell(scale=np.where(EU_1, 0.0, 2.0))
    said = looks(scene, 3)[-1]
    assert {gauge.used for gauge in metrics_of(said).gauges.values()} == {0.0}
    assert metrics_of(said, "eu-2").gauges["memory"].used == 1.0
    assert metrics_of(said, "eu-2").gauges["memory"].limit == 1.0


def test_a_clock_behind_makes_readings_old_and_one_ahead_makes_no_age_negative() -> None:
    scene = Scene.of(scenario_of())
    scene.sky.tell(skew_s=np.where(EU_1, -30.0, 30.0))
    said = looks(scene, 3)[-1]
    ages = [r.age_s for _, r in (said["eu-1"], said["eu-2"]) if isinstance(r, Fresh)]
    assert ages == [30.0, 0.0]


def test_a_version_is_the_scenario_s_and_a_deploy_changes_it_cell_by_cell() -> None:
    deploy = FaultLine(
        kind=Kind.DEPLOY, cells=("eu-1", "eu-2"), at_s=2.0, stagger_s=3.0, magnitude=0.0
    )
    scene = Scene.of(scenario_of(deploy, versions={"eu-2": "7.1"}))
    said = looks(scene, 7)
    assert [metrics_of(each).version for each in said[1:4]] == ["1.0", "1.0+0", "1.0+0"]
    assert [metrics_of(each, "eu-2").version for each in said[4:6]] == ["7.1", "7.1+0"]
    assert deploys_of(scene.scenario)[2:] == [[], [], [], []]
