from __future__ import annotations

import pytest

from foreshard.config.scenario import load_scenario
from foreshard.lab.live.truth import LiveTruth, ToldDriver
from foreshard.model.errors import DriverError


class Now:
    def __init__(self) -> None:
        self.s = -2.0

    def __call__(self) -> float:
        return self.s


def told(name: str) -> tuple[LiveTruth, Now]:
    now = Now()
    return LiveTruth(load_scenario(name), seed=1, now_s=now), now


def test_what_is_ahead_is_known_before_the_first_request() -> None:
    truth, _ = told("live-leak")
    assert truth.effects(69.8).is_up.all()
    assert not truth.effects(70.2).is_up[1]
    assert truth.effects(90.0).is_up.all()


def test_a_restart_changes_what_is_ahead() -> None:
    truth, now = told("live-leak")
    now.s = 50.03
    truth.restarted("eu-2")
    assert not truth.effects(50.0).is_up[1]
    assert truth.effects(71.0).is_up[1]


def test_time_goes_on_between_the_questions() -> None:
    truth, now = told("live-slow-dependency")
    for moment_s in (0.0, 31.7):
        now.s = moment_s
        truth.effects(moment_s)
    now.s = 74.9
    assert truth.effects(74.9).wait_s[0, 1] == pytest.approx(1.5, rel=0.01)
    assert truth.demand_rps(74.9)["eu", "search"] == pytest.approx(225.0, rel=0.16)


class Driver:
    def __init__(self, *, is_reached: bool) -> None:
        self.is_reached = is_reached

    async def recycle(self, cell: str) -> None:
        if not self.is_reached:
            raise DriverError(f"driver: {cell} cannot be reached")


async def test_a_restart_that_was_not_taken_changes_nothing() -> None:
    truth, now = told("live-leak")
    now.s = 50.0
    with pytest.raises(DriverError):
        await ToldDriver(Driver(is_reached=False), truth).recycle("eu-2")
    assert truth.effects(50.0).is_up.all()
    await ToldDriver(Driver(is_reached=True), truth).recycle("eu-2")
    assert not truth.effects(50.0).is_up[1]
