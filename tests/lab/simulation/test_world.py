from __future__ import annotations

import pytest

from foreshard.lab.simulation.world import STEP_S, Life
from foreshard.model.errors import LabError
from tests.lab.simulation.small import START_S, Scene, scenario_of


def test_the_plant_stands_still_before_the_traffic_and_after_its_end() -> None:
    scene = Scene.of(scenario_of(duration_s=2.0))
    scene.world.advance(START_S - 5.0)
    assert scene.world.now_s == 0.0
    scene.world.advance(START_S + 100.0)
    assert scene.world.now_s == 2.0
    scene.loop.close()


def test_meters_add_up_what_the_plant_counts() -> None:
    scene = Scene.of(scenario_of())
    scene.world.advance(START_S + 10.0)
    assert scene.world.meters.arrived.sum() == pytest.approx(10.0 * scene.scenario.rate_rps())
    assert scene.world.meters.tries.sum() == pytest.approx(scene.world.meters.arrived.sum())
    scene.loop.close()


def test_a_moment_is_found_again_by_how_many_steps_ago_it_was() -> None:
    scene = Scene.of(scenario_of())
    scene.world.advance(START_S + 10.0)
    now, earlier = scene.world.moment(0), scene.world.moment(10)
    assert now.at_s - earlier.at_s == pytest.approx(10 * STEP_S)
    assert (now.busy_s > earlier.busy_s).all()
    assert scene.world.moment(10_000).at_s == 0.0
    scene.loop.close()


def test_deaths_starts_and_wishes_are_noted_once_each() -> None:
    scene = Scene.of(scenario_of(), gone={"eu-2": (3.0, 5.0)})
    scene.world.advance(START_S + 10.0)
    scene.world.restart("eu-1")
    scene.world.restart("eu-1")
    scene.world.advance(START_S + 20.0)
    noted = [(each.at_s, each.cell, each.what) for each in scene.world.lives]
    assert noted == [
        (3.0, "eu-2", Life.DIED),
        (5.0, "eu-2", Life.STARTED),
        (10.0, "eu-1", Life.ASKED),
        (10.1, "eu-1", Life.DIED),
        (14.0, "eu-1", Life.STARTED),
    ]
    started_s = scene.world.moment(0).started_s
    assert started_s[:2] == pytest.approx([14.0, 5.0])
    assert (started_s[2:] < 0.0).all()
    scene.loop.close()


def test_weather_is_told_what_was_served_since_it_was_asked() -> None:
    scene = Scene.of(scenario_of())
    scene.world.advance(START_S + 3.0)
    heard = scene.sky.served[1:]
    assert len(heard) == 30
    assert sum(each.sum() for each in heard) == pytest.approx(3.0 * scene.scenario.rate_rps())
    assert heard[0].shape == (6, 3)
    scene.loop.close()


def test_a_plant_that_nobody_routed_says_so() -> None:
    scene = Scene.of(scenario_of())
    scene.plant._shares = None
    with pytest.raises(LabError, match="before anybody routed"):
        scene.world.advance(START_S + 1.0)
    scene.loop.close()
