"""The trial without processes must itself be trusted before it is believed."""

from __future__ import annotations

import numpy as np
import pytest

from foreshard.lab.story import story
from foreshard.lab.traffic import arrivals
from tests.engine.closed_loop import FAILED, GOOD, SLOW, play


def test_the_same_seed_tells_the_same_story() -> None:
    told = story("tight", 30.0)
    one, two = play(told, seed=2), play(told, seed=2)
    assert np.array_equal(one.bad, two.bad)
    assert one.decisions == two.decisions


def test_every_request_is_counted_once() -> None:
    told = story("zone", 30.0)
    counted = play(told, seed=1).bad
    asked = arrivals(told.demand(), seed=1)
    per_class = np.bincount(asked.request_class, minlength=3)
    assert counted.sum(axis=(0, 2)).tolist() == per_class.tolist()


def test_a_quiet_fleet_comes_to_no_harm() -> None:
    outcome = play(story("quiet", 60.0))
    assert outcome.harm[10:].sum() / outcome.demand[10:].sum() < 0.001
    used = outcome.seen[30].cells["eu-1"].reading
    assert used.metrics.gauges["cpu"].used == pytest.approx(0.65 * 3.0, rel=0.35)  # type: ignore[union-attr]


def test_without_steering_an_overload_makes_nearly_everything_slow() -> None:
    outcome = play(story("surge", 60.0), is_steered=False)
    urgent = outcome.bad[25:40, :2].sum(axis=(0, 1))
    assert urgent[SLOW] + urgent[FAILED] > 2 * urgent[GOOD]
    cpu = [r.reading.metrics.gauges["cpu"].used for r in outcome.seen[-1:][0].cells.values()]  # type: ignore[union-attr]
    assert max(cpu) <= 3.0 + 1e-9


def test_a_killed_cell_is_seen_as_down_and_comes_back_as_another_process() -> None:
    outcome = play(story("tight", 45.0))
    health = [str(seen.cells["eu-2"].health) for seen in outcome.seen]
    assert "down" in health[20:30]
    assert health[-1] == "up"
    assert outcome.bad[20:27, 0, FAILED].sum() > 0


@pytest.mark.parametrize("name", ["zone", "surge", "tight"])
def test_without_a_forecast_it_loses_at_most_two_points_more_than_the_oracle(name: str) -> None:
    outcome = play(story(name), seed=5)
    mine, best = outcome.points(outcome.harm), outcome.points(outcome.ordered)
    whole_run = mine[1] - best[1]
    assert whole_run <= 2.0
