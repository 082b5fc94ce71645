from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab import service
from foreshard.lab.policy.bound import (
    BIN_S,
    Burden,
    capacity_of,
    earliest_deadline_first,
    fluid_bound,
    undone_s,
    work_of,
)
from foreshard.lab.scenario.fault import FaultLine, Kind, Recovery
from foreshard.lab.scenario.scenario import Family, Load, Scenario
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.weather import Weather

QUIET = Scenario(
    name="quiet",
    family=Family.TRAP,
    about="Nothing happens.",
    duration_s=120.0,
    warm_up_s=10.0,
    load=Load(swing_ratio=0.0),
)


def bound(scenario: Scenario) -> float:
    truth = Foresight(Weather(scenario, seed=1))
    work = work_of(scenario, truth)
    return float(fluid_bound(scenario, capacity_of(scenario, truth), work).ordered.sum())


def throttled(*cells: str, speed: float, kind: Kind = Kind.THROTTLE) -> FaultLine:
    return FaultLine(
        kind=kind,
        cells=cells,
        at_s=30.0,
        holds_s=30.0,
        magnitude=speed,
        recovery=Recovery.HEALS,
    )


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 60))
def test_the_compiled_schedule_is_the_readable_one(seed: int, members: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    classes = [
        replace(service.CLASSES[0], name=f"c{k}", objective_s=float(rng.uniform(0.05, 1.0)))
        for k in range(members)
    ]
    work = rng.uniform(0.0, 1.0, (bins, members)) * (rng.random((bins, members)) < 0.7)
    burden = Burden(
        capacity_s=rng.uniform(0.0, 2.0, bins),
        work_s=work,
        requests=work.sum(axis=0),
        classes=classes,
    )
    patience = np.array([int(np.ceil(c.objective_s / BIN_S - 1e-9)) for c in classes])
    compiled = earliest_deadline_first(burden.capacity_s, np.ascontiguousarray(work.T), patience)
    np.testing.assert_allclose(compiled, undone_s(burden, range(members)), atol=1e-9)


def test_a_quiet_fleet_had_to_harm_nobody() -> None:
    assert bound(QUIET) == 0.0


def test_one_slow_cell_need_not_hurt_and_a_slow_zone_must() -> None:
    one = replace(QUIET, faults=(throttled("eu-1", speed=0.1),))
    assert bound(one) == 0.0
    zone = replace(QUIET, faults=(throttled("eu-1", "eu-2", "eu-3", speed=0.12),))
    lacking_cpus = 0.62 * 18.0 - 9.0 * 1.12
    # Reports wait for two seconds: what came last is done after the fault.
    saved_s = 2.0 * (1.0 - 0.62) * 18.0
    assert bound(zone) == pytest.approx((lacking_cpus * 30.0 - saved_s) / 0.08, rel=0.2)


def test_what_a_restart_cures_had_to_hurt_nobody() -> None:
    creep = throttled("eu-1", "eu-2", "eu-3", speed=0.12, kind=Kind.CREEP)
    assert bound(replace(QUIET, faults=(creep,))) == 0.0


def test_a_surge_is_in_the_work() -> None:
    surge = FaultLine(
        kind=Kind.SURGE, at_s=30.0, holds_s=30.0, magnitude=4.4, request_class="report"
    )
    assert bound(replace(QUIET, faults=(surge,))) > 1_000.0
