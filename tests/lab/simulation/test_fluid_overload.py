from __future__ import annotations

import numpy as np
import pytest

from foreshard.lab.scenario.scenario import CellMake, Load, Scenario
from foreshard.lab.simulation.fluid.plant import FluidPlant
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.routing import Pick
from tests.lab.simulation.fluid_stand import demanded, free, queue, seconds, still, wide

PER_S = 50.0


def overloaded(*, retries: int = 0, utilisation: float = 0.5, timeout_s: float = 2.0) -> Scenario:
    load = Load(utilisation=utilisation, swing_ratio=0.0, client_retries=retries)
    return queue(wide(cpus=1), load=load, timeout_s=timeout_s)


def begun(scenario: Scenario) -> FluidPlant:
    plant = FluidPlant(scenario, seed=1)
    plant.route(free(scenario, pick=Pick.RANDOM))
    return plant


def test_a_line_grows_by_what_exceeds_the_capacity() -> None:
    scenario = overloaded()
    plant, effects = begun(scenario), demanded(overloaded(), 3.0)
    plant.advance(10.0, effects)
    before = plant.count().inside.sum()
    plant.advance(30.0, effects)
    seen = plant.count()
    grown = seen.inside.sum() - before
    assert grown / 20.0 == pytest.approx(0.5 * PER_S, rel=0.03)
    assert seen.busy_s.sum() == pytest.approx(20.0, rel=0.01)


def test_callers_give_up_at_the_time_out_and_not_before() -> None:
    scenario = overloaded()
    failed = seconds(begun(scenario), 0.0, 12.0, demanded(scenario, 3.0)).sum(axis=(1, 2, 3))
    # The wait grows by half a second a second: who comes after 4 s is over it at 6 s.
    assert failed[:3].max() < 0.001 * PER_S
    assert failed[:5].max() < 0.1 * PER_S
    assert failed[8:].min() > 0.9 * 1.5 * PER_S


def test_as_much_is_served_as_can_be() -> None:
    scenario = overloaded(timeout_s=100.0)
    plant = begun(scenario)
    plant.advance(60.0, demanded(scenario, 3.0))
    served = plant.ledger().served[20:55].sum(axis=(1, 2))
    # The scatter of the arrivals alone is 2 %.
    assert served.mean() == pytest.approx(PER_S, rel=0.08)


def test_after_an_overload_the_line_drains_as_fast_as_there_is_room() -> None:
    scenario = overloaded()
    plant = begun(scenario)
    plant.advance(20.0, demanded(scenario, 3.0))
    # Ten seconds of work, and half of the capacity to do it with.
    plant.advance(30.0, still(scenario))
    assert plant.count().inside.sum() == pytest.approx(10.0 * PER_S / 2.0, rel=0.1)
    plant.advance(50.0, still(scenario))
    assert plant.count().inside.sum() < 3.0


@pytest.mark.parametrize(("retries", "stays"), [(0, False), (3, True)])
def test_an_overload_outlives_its_cause_only_through_retries(retries: int, stays: bool) -> None:
    scenario = overloaded(retries=retries, utilisation=0.7, timeout_s=1.0)
    plant = begun(scenario)
    plant.advance(10.0, still(scenario))
    plant.advance(20.0, demanded(scenario, 2.5))
    plant.advance(110.0, still(scenario))
    fates = plant.close().fates[90:105].sum(axis=(0, 1, 2))
    bad = 1.0 - fates[Fate.GOOD] / fates.sum()
    assert bad > 0.9 if stays else bad < 0.01


def test_who_gets_no_connection_in_time_is_refused() -> None:
    make = CellMake(cpus=1, connections=10, pool_wait_s=0.5, backlog=10_000)
    scenario = queue(make, load=Load(utilisation=2.0, swing_ratio=0.0), timeout_s=50.0)
    plant = begun(scenario)
    plant.advance(20.0, still(scenario))
    plant.count()
    plant.advance(40.0, still(scenario))
    seen = plant.count()
    assert seen.inside.sum() == pytest.approx(10.0, rel=0.1)
    # Half is served after the longest wait, half is refused after it.
    assert seen.failed.sum() / seen.tries.sum() == pytest.approx(0.5, abs=0.03)
    assert seen.latency_s.sum() / seen.tries.sum() == pytest.approx(0.6, abs=0.12)


def test_a_full_cell_refuses_at_the_door() -> None:
    make = CellMake(cpus=1, connections=20, pool_wait_s=30.0, backlog=40)
    scenario = queue(make, load=Load(utilisation=2.0, swing_ratio=0.0), timeout_s=50.0)
    plant = begun(scenario)
    plant.advance(20.0, still(scenario))
    seen = plant.count()
    assert (seen.inside + seen.waiting).sum() == pytest.approx(40.0, rel=0.1)
    assert np.isclose(seen.busy_s.sum(), 20.0, rtol=0.05)
