from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.forecast.history import History
from foreshard.forecast.learner import Snapshot
from foreshard.forecast.past import EVERY, coarsened
from foreshard.forecast.response import NO_DRIVER, LoadResponse
from foreshard.forecast.supposition import moved_gauges, stays_of, supposed
from foreshard.forecast.swing import learn_response
from foreshard.model.errors import ForecastError

GAUGES = ("cpu", "memory", "pool", "latency")
CPU, MEMORY, POOL, LATENCY = range(4)
IDLE, COST, PER_DAY = 0.1, 0.8, 1_440


def fleet(excess: str = "none", *, cells: int = 8, days: int = 3, seed: int = 0) -> History:
    """Days of minutes in which the processor now and then does more, of one cause or the other."""
    chance = np.random.default_rng(seed)
    t = np.arange(days * PER_DAY)
    load = 0.4 + 0.1 * np.sin(2.0 * np.pi * t / PER_DAY + chance.uniform(0.0, 6.0, (cells, 1)))
    load = load * (1.0 + chance.normal(0.0, 0.03, load.shape))
    grown = np.zeros(load.shape)
    for c in range(cells):
        for begin in range(300 + 20 * c, len(t) - 120, 700):
            grown[c, begin : begin + 120] = np.linspace(0.0, 1.0, 120)
    cpu = IDLE + COST * load * (1.0 + 1.2 * grown * (excess == "dearer"))
    cpu += 0.4 * grown * (excess == "other")
    memory = 0.3 + 0.5 * (t % 900) / 900.0 + 0.0 * load
    slow = 1.0 / (1.0 - 0.85 * np.minimum(cpu, 1.0))
    value = np.stack([cpu, memory, 0.2 * load * slow, 0.08 * slow], axis=1)
    value += chance.normal(0.0, 0.003, value.shape)
    history = History.of_gauges(
        value.astype(np.float32),
        cells=tuple(f"cell-{c}" for c in range(cells)),
        gauges=GAUGES,
        step_s=60.0,
    )
    return replace(
        history,
        scales_with_load=np.array([True, False, True, False]),
        load=load.astype(np.float32),
    )


def test_what_a_gauge_is_without_work_is_found_beside_faults() -> None:
    assert learn_response(fleet("other")).idle[CPU] == pytest.approx(IDLE, abs=0.02)


def test_latency_hangs_on_the_processor_and_a_leak_on_nothing() -> None:
    found = learn_response(fleet())
    assert found.driver.tolist() == [NO_DRIVER, NO_DRIVER, CPU, CPU]
    cpu = np.array([0.3, 0.6])
    risen = np.diff(found.logarithm(LATENCY, cpu))[0]
    assert risen == pytest.approx(np.log((1.0 - 0.85 * 0.3) / (1.0 - 0.85 * 0.6)), rel=0.15)
    assert not found.slope[MEMORY].any()


@pytest.mark.parametrize(("excess", "stays"), [("dearer", 0.0), ("other", 1.0), ("none", 0.5)])
def test_a_fleet_tells_whether_its_excesses_follow_the_load(excess: str, stays: float) -> None:
    assert learn_response(fleet(excess)).stays[CPU] == pytest.approx(stays, abs=0.1)


def test_a_fleet_whose_load_nobody_knows_teaches_nothing() -> None:
    history = fleet()
    found = learn_response(replace(history, load=np.full_like(history.load, np.nan)))
    assert found.idle.tolist() == [0.0] * 4
    assert found.driver.tolist() == [NO_DRIVER] * 4


def test_another_order_of_gauges_is_the_same_response() -> None:
    found = learn_response(fleet())
    other = found.of(("latency", "new", "cpu"))
    assert other.driver.tolist() == [2, NO_DRIVER, NO_DRIVER]
    assert other.idle.tolist() == [0.0, 0.0, found.idle[CPU]]
    np.testing.assert_array_equal(other.slope[0], found.slope[LATENCY])
    assert found.of(("latency",)).driver.tolist() == [NO_DRIVER]


def test_a_response_comes_back_from_its_snapshot() -> None:
    found = learn_response(fleet("dearer"))
    snapshot = Snapshot(kind="hazard", settings={}, arrays=found.arrays())
    back = LoadResponse.in_snapshot(snapshot, GAUGES)
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(back.arrays()[name], array)
    with pytest.raises(ForecastError, match="train it anew"):
        LoadResponse.in_snapshot(snapshot, GAUGES[:2])
    with pytest.raises(ForecastError, match="outside of its range"):
        replace(found, driver=np.full(4, 4, dtype=np.int64))


def response() -> LoadResponse:
    """As it would be learned."""
    found = LoadResponse.declared(GAUGES)
    found.idle[CPU] = IDLE
    found.driver[[POOL, LATENCY]] = CPU
    found.slope[[POOL, LATENCY]] = 2.0
    return found


def test_the_present_load_changes_nothing() -> None:
    history = fleet("other", cells=2)
    for stays in (False, True):
        same = supposed(history, response(), 1.0, stays=stays)
        np.testing.assert_allclose(same.value, history.value, rtol=1e-6)


@given(one=st.floats(0.0, 2.0), other=st.floats(0.0, 2.0), stays=st.booleans())
@settings(deadline=None, max_examples=20)
def test_nothing_falls_with_the_load(*, one: float, other: float, stays: bool) -> None:
    history = fleet("other", cells=2, days=2)
    less, more = (
        supposed(history, response(), load, stays=stays).value for load in sorted((one, other))
    )
    assert (less <= more + 1e-5).all()


def test_what_the_load_does_not_move_stays_as_it_is() -> None:
    history = fleet(cells=2)
    assert moved_gauges(history, response()).tolist() == [True, False, True, True]
    half = supposed(history, response(), 0.5, stays=False)
    np.testing.assert_array_equal(half.value[:, MEMORY], history.value[:, MEMORY])


@pytest.mark.parametrize("excess", ["dearer", "other"])
def test_half_the_load_reads_as_it_would_in_either_world(excess: str) -> None:
    history = fleet(excess, cells=2)
    end = 300 + 2 * 700 + 119
    seen = history.until(end + 1)
    half = supposed(seen, response(), 0.5, stays=excess == "other")
    work = COST * float(seen.load[0, -1])
    grown = (1.2 * work, 0.5) if excess == "dearer" else (0.4, 1.0)
    true = IDLE + 0.5 * work + grown[0] * grown[1]
    assert half.value[0, CPU, -1] == pytest.approx(true, abs=0.03)
    fallen = np.log(half.value[0, LATENCY, -1] / seen.value[0, LATENCY, -1])
    assert fallen == pytest.approx(2.0 * (half.value - seen.value)[0, CPU, -1], abs=1e-3)


def test_what_is_kept_in_blocks_is_read_anew_as_well() -> None:
    history = fleet(cells=2)
    seen = replace(history.between(2 * PER_DAY, 3 * PER_DAY), older=coarsened(history))
    half = supposed(seen, response(), 0.5, stays=True)
    assert half.older is not None
    cpu = coarsened(history).value[:, CPU]
    np.testing.assert_allclose(half.older.value[:, CPU], IDLE + 0.5 * (cpu - IDLE), rtol=1e-4)
    assert half.older.samples == 3 * PER_DAY // EVERY


def test_without_a_load_all_beyond_what_is_idle_follows() -> None:
    history = fleet(cells=2)
    blind = replace(history, load=np.full_like(history.load, np.nan))
    assert stays_of(blind, response()).tolist() == [0.0] * 4
    one, other = (supposed(blind, response(), 0.5, stays=s).value for s in (False, True))
    np.testing.assert_allclose(one, other, rtol=1e-6)
