"""This module is peers and the oracle at work, in the simulation of single requests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from foreshard.lab.policy.bound import capacity_of, fluid_bound, work_of
from foreshard.lab.policy.registry import PEERS, policy
from foreshard.lab.run import Core, run
from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import Family, Load, Scenario
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.simulation.requests.core import RequestPlant
from foreshard.lab.simulation.weather import Weather
from foreshard.lab.simulation.world import Life

WARM_UP_S = 10
FAULTS = {
    "quiet": (),
    "leak": (FaultLine(kind=Kind.LEAK, cells=("eu-2",), at_s=25.0, grows_s=40.0),),
    "slow cell": (
        FaultLine(
            kind=Kind.THROTTLE,
            cells=("us-3",),
            at_s=25.0,
            grows_s=20.0,
            holds_s=25.0,
            magnitude=0.3,
        ),
    ),
    "dependency": (
        FaultLine(
            kind=Kind.SLOW_DEPENDENCY,
            cells=("eu-1", "us-2"),
            at_s=20.0,
            grows_s=20.0,
            holds_s=25.0,
            magnitude=1.5,
            request_class="search",
        ),
    ),
    "surge": (
        FaultLine(kind=Kind.SURGE, at_s=30.0, holds_s=30.0, magnitude=4.4, request_class="report"),
    ),
    "zone": (
        FaultLine(
            kind=Kind.THROTTLE,
            cells=("eu-1", "eu-2", "eu-3"),
            at_s=25.0,
            grows_s=20.0,
            holds_s=20.0,
            magnitude=0.12,
        ),
    ),
    "errors": (FaultLine(kind=Kind.ERRORS, cells=("eu-2",), at_s=30.0, holds_s=30.0),),
}


CORE = Core(name="requests", plant=lambda scenario, seed: RequestPlant(scenario, seed=seed))


def a_scenario(name: str, *, load: float = 0.62) -> Scenario:
    return Scenario(
        name=name.replace(" ", "-"),
        family=Family.PREDICTABLE,
        about="Something happens.",
        duration_s=90.0,
        warm_up_s=float(WARM_UP_S),
        pace=15.0,
        load=Load(utilisation=load, period_s=240.0),
        faults=FAULTS[name],
    )


@cache
def harm(name: str, who: str, *, load: float = 0.62) -> float:
    """Weighted bad requests after the warm-up."""
    scenario = a_scenario(name, load=load)
    return harm_of(played(scenario, who), scenario)


def played(scenario: Scenario, who: str) -> RunRecord:
    return run(scenario, policy(who), seed=1, core=CORE, is_told=who == "oracle")


def harm_of(record: RunRecord, scenario: Scenario) -> float:
    weight = np.array([c.weight for c in scenario.classes])
    bad = record.ledger.fates[WARM_UP_S:, :, :, 1:].sum(axis=(0, 1, 3))
    return float(bad @ weight)


@pytest.mark.parametrize("name", ["quiet", "leak", "slow cell", "dependency", "surge", "zone"])
def test_the_oracle_is_never_worse_than_anybody(name: str) -> None:
    known = harm(name, "oracle")
    for who in PEERS:
        assert known <= harm(name, who) + 1e-9, who


@pytest.mark.parametrize("name", ["quiet", "leak", "slow cell", "surge", "zone"])
def test_nobody_beats_the_bound(name: str) -> None:
    scenario = a_scenario(name)
    truth = Foresight(Weather(scenario, seed=1))
    least = fluid_bound(scenario, capacity_of(scenario, truth), work_of(scenario, truth))
    # The bound is of the mean demand; one run's lies a little beside it.
    assert harm(name, "oracle") >= 0.8 * least.bound[WARM_UP_S:].sum()


def test_the_oracle_parts_twin_leaks_in_a_fleet_of_two_regions() -> None:
    twins = FaultLine(kind=Kind.LEAK, cells=("eu-1", "us-2"), at_s=20.0, grows_s=40.0)
    scenario = replace(
        a_scenario("quiet"),
        load=Load(period_s=240.0, origins={"eu": 0.6, "us": 0.4}, client_retries=1),
        latency_ms={("eu", "us"): 90.0, ("us", "eu"): 90.0},
        sizes={"eu-1": 2.0, "us-3": 0.5},
        proxies=2,
        faults=(twins,),
    )
    known, best = played(scenario, "oracle"), played(scenario, "outlier")
    asked = [life for life in known.lives if life.what is Life.ASKED]
    assert len(asked) == 1
    died_s = sorted(life.at_s for life in known.lives if life.what is Life.DIED)
    assert died_s[1] - died_s[0] > scenario.make.restart_s
    assert harm_of(known, scenario) < 0.1 * harm_of(best, scenario)


def test_an_overload_is_shed_and_not_suffered() -> None:
    assert harm("surge", "oracle") < 0.5 * harm("surge", "closed-loop")
    assert harm("surge", "closed-loop") < 0.25 * harm("surge", "sticky")


def test_a_line_through_the_last_minutes_helps_against_a_leak_and_ruins_a_busy_quiet_fleet() -> (
    None
):
    assert harm("leak", "predict-linear") < harm("leak", "sticky")
    assert harm("quiet", "predict-linear", load=0.8) > 10_000.0 > harm("quiet", "sticky", load=0.8)


def test_outlier_detection_ejects_a_cell_that_fails_everything() -> None:
    assert harm("errors", "outlier") < 0.05 * harm("errors", "sticky")


def test_prequal_leaves_a_slow_cell_that_two_choices_go_on_asking() -> None:
    assert harm("slow cell", "prequal") < 0.2 * harm("slow cell", "p2c")
