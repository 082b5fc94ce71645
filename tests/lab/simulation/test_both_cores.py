"""This module is both cores on the same small fleet: they must tell the same story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from foreshard.lab.scenario.scenario import Load, Scenario
from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.fluid.plant import FluidPlant
from foreshard.lab.simulation.plant import Fate, Plant
from foreshard.lab.simulation.requests.core import RequestPlant
from foreshard.lab.simulation.routing import Pick, Routing
from tests.lab.simulation.fluid_stand import demanded, free, shop, sticky, still, without

LASTS_S = 90
BEGINS_S, ENDS_S = 20, 60
CELLS = 6
# Of single requests a run is one draw; the mean of a few is what the fluid core says.
SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """A run in figures: [K, Fate], [K] mean seconds, [C] share of cpus, [C] mean in flight."""

    fates: Floats
    latency_s: Floats
    used: Floats
    in_flight: Floats

    def bad(self, scenario: Scenario) -> float:
        """Percent of the weighted demand."""
        weight = np.array([each.weight for each in scenario.classes])
        bad = self.fates[:, [Fate.FAILED, Fate.SLOW, Fate.SHED]].sum(axis=1)
        return float(100.0 * bad @ weight / (self.fates.sum(axis=1) @ weight))


def run(plant: Plant, routing: Routing, effects: Callable[[int], Effects]) -> Told:
    plant.route(routing)
    looks = []
    for second in range(LASTS_S):
        plant.advance(second + 0.5, effects(second))
        plant.advance(second + 1.0, effects(second))
        looks.append(plant.count())
    tries = sum(each.tries.sum(axis=(0, 1)) for each in looks)
    latency_s = sum(each.latency_s.sum(axis=(0, 1)) for each in looks)
    return Told(
        fates=plant.close().fates.sum(axis=(0, 1)),
        latency_s=np.asarray(latency_s / tries),
        used=np.mean([each.busy_s for each in looks], axis=0) / 3.0,
        in_flight=np.mean([each.in_flight.sum(axis=(0, 2)) for each in looks], axis=0),
    )


def mean(told: Sequence[Told]) -> Told:
    return Told(
        fates=np.mean([each.fates for each in told], axis=0),
        latency_s=np.mean([each.latency_s for each in told], axis=0),
        used=np.mean([each.used for each in told], axis=0),
        in_flight=np.mean([each.in_flight for each in told], axis=0),
    )


def faulty(scenario: Scenario, fault: str) -> Callable[[int], Effects]:
    quiet = still(scenario)
    slow = np.ones(CELLS)
    slow[0] = 0.4
    first = np.arange(CELLS) == 0
    bad = {
        "calm": quiet,
        "errors": replace(quiet, error_ratio=np.where(first, 0.3, 0.0)[:, None] * np.ones(3)),
        "pool": replace(quiet, connections=np.where(first, 2.0, 48.0)),
        "partition": replace(quiet, is_reachable=~first),
        "slow": replace(quiet, speed=slow),
        "dead": without(scenario, 0),
        "surge": demanded(scenario, 1.0, 1.0, 4.5),
    }[fault]
    return lambda second: bad if BEGINS_S <= second < ENDS_S else quiet


def stage(kind: str) -> tuple[Scenario, Routing]:
    scenario = shop(duration_s=float(LASTS_S), load=Load())
    if kind == "shed":
        scenario = replace(scenario, load=Load(utilisation=1.2))
        return scenario, free(scenario, shed=(0.0, 0.1, 0.8))
    if kind in {"sticky", "keyed"}:
        return scenario, sticky(scenario, ejects_keyed=kind == "keyed")
    if kind == "weights":
        return scenario, free(scenario, weight=(0.25, 0.2, 0.15, 0.15, 0.15, 0.1))
    if kind == "far":
        load = Load(origins={"eu": 0.7, "us": 0.3})
        latency_ms = {("eu", "us"): 80.0, ("us", "eu"): 80.0}
        scenario = replace(scenario, load=load, latency_ms=latency_ms, proxies=2)
        return scenario, free(scenario)
    return scenario, free(scenario, pick=Pick[kind])


@cache
def both(kind: str, fault: str) -> tuple[Scenario, Told, Told]:
    scenario, routing = stage(kind)
    effects = faulty(scenario, fault)
    single = mean([run(RequestPlant(scenario, seed=s), routing, effects) for s in SEEDS])
    return scenario, single, run(FluidPlant(scenario, seed=1), routing, effects)


CASES = [
    ("LEAST_REQUEST", "calm"),
    ("RANDOM", "calm"),
    ("sticky", "calm"),
    ("weights", "calm"),
    ("LEAST_REQUEST", "slow"),
    ("sticky", "slow"),
    ("LEAST_REQUEST", "dead"),
    ("sticky", "dead"),
    ("LEAST_REQUEST", "errors"),
    ("RANDOM", "pool"),
    ("sticky", "partition"),
    ("keyed", "dead"),
    ("keyed", "partition"),
    ("keyed", "errors"),
    ("far", "slow"),
    ("shed", "calm"),
    ("sticky", "surge"),
]
# The surge is a rout at 150 % of what can be served: lines, refusals and ejections.
every_case = pytest.mark.parametrize(("kind", "fault"), CASES)
LOOSE = {"surge": 0.25}


@every_case
def test_both_cores_find_the_same_harm(kind: str, fault: str) -> None:
    scenario, single, fluid = both(kind, fault)
    # A tenth of a point is what the tail of a distribution and single draws differ by; where
    # one cell's mean lies near the objectives (far, slow) the tail is all of the harm.
    least = 0.6 if kind == "far" else 0.1
    assert fluid.bad(scenario) == pytest.approx(single.bad(scenario), rel=0.2, abs=least)


@every_case
def test_both_cores_take_as_long(kind: str, fault: str) -> None:
    _, single, fluid = both(kind, fault)
    assert fluid.latency_s == pytest.approx(single.latency_s, rel=LOOSE.get(fault, 0.12))


@every_case
def test_both_cores_keep_cpus_as_busy(kind: str, fault: str) -> None:
    _, single, fluid = both(kind, fault)
    per_cell = 0.1 if fault == "surge" else 0.06
    assert fluid.used == pytest.approx(single.used, abs=per_cell)
    assert fluid.used.mean() == pytest.approx(
        single.used.mean(), rel=0.08 if fault == "surge" else 0.05
    )


@every_case
def test_both_cores_have_as_many_in_flight(kind: str, fault: str) -> None:
    _, single, fluid = both(kind, fault)
    assert fluid.in_flight.sum() == pytest.approx(
        single.in_flight.sum(), rel=LOOSE.get(fault, 0.12)
    )
    per_cell = 0.5 if fault == "surge" else 0.25
    assert fluid.in_flight == pytest.approx(single.in_flight, rel=per_cell)
