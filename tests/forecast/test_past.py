"""Online, sample by sample, the memory is what it is offline, in bulk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreshard.forecast.history import ALONE, History
from foreshard.forecast.past import EVERY, Past, Reach, coarsened, reach_within
from foreshard.forecast.reel import bytes_of_sample, room_of
from foreshard.forecast.step import Gathering, Step, rounded
from foreshard.forecast.window import WindowBuffer
from foreshard.model.errors import ForecastError
from foreshard.model.telemetry import (
    CellMetrics,
    CellReading,
    ClassTraffic,
    Fresh,
    Gauge,
    Health,
    Missing,
    Observation,
)
from foreshard.model.workload import Needs, Priority, RequestClass

WORK = RequestClass(
    name="work",
    priority=Priority.NORMAL,
    weight=1.0,
    objective_s=0.5,
    timeout_s=2.0,
    declared=Needs(per_request={"cpu": 0.01}),
)
STEP_S = 10.0
CELLS = ("a", "b", "c")

levels = st.one_of(st.none(), st.floats(0.0, 3.0, width=32))
looks = st.fixed_dictionaries(
    {
        "memory": levels,
        "disk": levels,
        "rate_rps": st.one_of(st.none(), st.floats(0.0, 90.0)),
        "age_s": st.sampled_from([0.0, 0.5, 9.0]),
        "started_s": st.sampled_from([0.0, 900.0, 1_005.0]),
    }
)
ticks = st.tuples(st.floats(0.2, 25.0), st.dictionaries(st.sampled_from(CELLS), looks, max_size=3))


def reading(look: Mapping[str, float | None]) -> CellReading:
    gauges = {
        name: Gauge(used=used, limit=1.0, scales_with_load=name == "memory")
        for name in ("memory", "disk")
        if (used := look[name]) is not None
    }
    rate = look["rate_rps"]
    metrics = CellMetrics(
        gauges=gauges, capacity={"cpu": 1.0}, started_at_s=look["started_s"] or 0.0
    )
    return CellReading(
        health=Health.UP,
        reading=Fresh(metrics=metrics, age_s=look["age_s"] or 0.0) if gauges else Missing("none"),
        traffic=None
        if rate is None
        else {"work": ClassTraffic(rate_rps=rate, failed_ratio=0.01, latency_mean_s=0.1)},
    )


def story(told: Sequence[tuple[float, dict[str, dict[str, float | None]]]]) -> list[Observation]:
    now_s, seen = 1_000.0, []
    for after_s, cells in told:
        now_s += after_s
        seen.append(
            Observation(
                now_s=now_s,
                interval_s=1.0,
                cells={name: reading(look) for name, look in cells.items()},
                demand_rps=None,
            )
        )
    return seen


def in_bulk(seen: Sequence[Observation]) -> dict[tuple[str, str, int], float]:
    """The highest value of each gauge and the mean load in each step, the plain way."""
    buffer = WindowBuffer([WORK], length=len(seen) + 1)
    values: dict[tuple[str, str, int], list[float]] = {}
    for observation in seen:
        # A window that sees one observation at a time forgets nothing.
        fresh = WindowBuffer([WORK], length=2)
        buffer.append(observation)
        fresh.append(observation)
        window = fresh.window()
        number = math.ceil(observation.now_s / STEP_S - 1e-6)
        for i, cell in enumerate(window.cells):
            for j, gauge in enumerate(window.gauges):
                values.setdefault((cell, gauge, number), []).append(float(window.value[i, j, 0]))
    return {
        key: float(rounded(np.array([max(x for x in told if not math.isnan(x))]))[0])
        for key, told in values.items()
        if not all(math.isnan(x) for x in told)
    }


@given(st.lists(ticks, min_size=1, max_size=40))
def test_steps_made_one_look_at_a_time_are_those_made_of_all_looks(
    told: list[tuple[float, dict[str, dict[str, float | None]]]],
) -> None:
    seen = story(told)
    gathering = Gathering([WORK], step_s=STEP_S)
    steps = [step for look in seen if (step := gathering.take(look)) is not None]
    found = {
        (cell, gauge, round(step.ends_s / STEP_S)): float(step.value[i, j])
        for step in steps
        for i, cell in enumerate(step.cells)
        for j, gauge in enumerate(step.gauges)
        if not math.isnan(step.value[i, j])
    }
    last = math.ceil(seen[-1].now_s / STEP_S - 1e-6)
    expected = {key: value for key, value in in_bulk(seen).items() if key[2] != last}
    assert found == expected


def step_of(number: int, value: NDArray[np.float32], *, cells: tuple[str, ...] = CELLS) -> Step:
    c, g = value.shape
    return Step(
        ends_s=number * STEP_S,
        step_s=STEP_S,
        cells=cells,
        gauges=("memory", "disk")[:g],
        scales_with_load=np.array([True, False])[:g],
        value=value,
        load=value[:, 0] / 2.0,
        up_s=np.full(c, number, dtype=np.float32),
        censored=value[:, 0] > 0.9,
    )


def same(one: History, other: History) -> None:
    assert one.cells == other.cells
    assert one.gauges == other.gauges
    assert (one.begins_s, one.step_s) == (other.begins_s, other.step_s)
    for name in ("value", "load", "up_s", "censored"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def bulk_of(steps: Sequence[Step]) -> History:
    """A history laid out at once: every step in its column, gaps NaN."""
    numbers = [round(s.ends_s / STEP_S) for s in steps]
    first, count = numbers[0], numbers[-1] - numbers[0] + 1
    value = np.full((len(CELLS), 2, count), np.nan, dtype=np.float32)
    load, up_s = np.full((2, len(CELLS), count), np.nan, dtype=np.float32)
    censored = np.zeros((len(CELLS), count), dtype=bool)
    for number, step in zip(numbers, steps, strict=True):
        rows = [CELLS.index(name) for name in step.cells]
        value[rows, :, number - first] = step.value
        load[rows, number - first] = step.load
        up_s[rows, number - first] = step.up_s
        censored[rows, number - first] = step.censored
    return History(
        cells=CELLS,
        gauges=("memory", "disk"),
        begins_s=first * STEP_S,
        step_s=STEP_S,
        value=value,
        counts=np.asarray(~np.isnan(value).all(axis=2)),
        scales_with_load=np.array([True, False]),
        load=load,
        sibling=np.full(len(CELLS), ALONE, dtype=np.int32),
        censored=censored,
        up_s=up_s,
    )


def steps_with_gaps(gaps: Sequence[int], seed: int) -> list[Step]:
    draw = np.random.default_rng(seed)
    numbers = 100 + np.cumsum(gaps)
    values = draw.uniform(0.0, 1.2, size=(len(gaps), len(CELLS), 2)).astype(np.float32)
    values[draw.uniform(size=values.shape) < 0.1] = np.nan
    return [step_of(int(n), v) for n, v in zip(numbers, values, strict=True)]


# Room for 125 steps and 40 blocks of three cells with two gauges, not for 400 steps.
SMALL = (room_of(125) + room_of(40)) * bytes_of_sample(3, 2)


@given(
    st.lists(st.sampled_from([1, 1, 1, 1, 1, 2, 7, 40]), min_size=1, max_size=120),
    st.integers(0, 9),
)
def test_a_memory_filled_step_by_step_is_the_one_laid_out_at_once(
    gaps: list[int], seed: int
) -> None:
    steps = steps_with_gaps(gaps, seed)
    past = Past(step_s=STEP_S, reach_s=1e5)
    for step in steps:
        past.append(step)
    found = past.history()
    assert found is not None
    assert found.older is None
    same(found, bulk_of(steps))


@given(st.integers(0, 999), st.sampled_from([0.0, 0.01, 0.05]))
@settings(max_examples=40)
def test_where_room_is_scarce_the_newest_steps_and_the_blocks_of_all_are_kept(
    seed: int, gap_part: float
) -> None:
    draw = np.random.default_rng(seed)
    is_gap = draw.uniform(size=int(draw.integers(100, 700))) < gap_part
    gaps = np.where(is_gap, draw.choice([2, 7, 40, 300], size=len(is_gap)), 1)
    steps = steps_with_gaps(gaps.tolist(), seed)
    past = _scarce()
    for step in steps:
        past.append(step)
    assert past.nbytes <= SMALL
    found, whole = past.history(), bulk_of(steps)
    assert found is not None
    assert gap_part or found.samples >= min(120, whole.samples)
    same(found, whole.between(whole.samples - found.samples, whole.samples))
    blocks = coarsened(whole)
    if found.older is not None:
        kept = found.older.samples
        same(found.older, blocks.between(blocks.samples - kept, blocks.samples))
    else:
        assert blocks.samples == 0


def _scarce() -> Past:

    return Past(step_s=STEP_S, reach_s=400 * STEP_S, most_bytes=SMALL)


def test_what_was_kept_elsewhere_goes_before_what_is_seen_now() -> None:
    steps = steps_with_gaps([1] * 60, seed=1)
    before, past = Past(step_s=STEP_S), Past(step_s=STEP_S)
    for step in steps[:50]:
        before.append(step)
    kept = before.history()
    assert kept is not None
    past.extend(kept)
    for step in steps[50:]:
        past.append(step)
    found = past.history()
    assert found is not None
    same(found, bulk_of(steps))
    with pytest.raises(ForecastError, match="not newer"):
        past.extend(kept)


def test_cells_and_gauges_may_appear_later() -> None:
    past = Past(step_s=STEP_S)
    past.append(step_of(1, np.full((1, 1), 0.5, dtype=np.float32), cells=("b",)))
    past.append(step_of(2, np.full((2, 2), 0.7, dtype=np.float32), cells=("a", "b")))
    found = past.history()
    assert found is not None
    assert found.cells == ("b", "a")
    assert np.isnan(found.value[1, :, 0]).all()
    assert found.value[0, 0].tolist() == pytest.approx([0.5, 0.7])
    assert found.counts.all()


def test_a_value_below_its_limit_stays_below_it() -> None:
    below = np.nextafter(np.float32(1), np.float32(0))
    assert rounded(np.array([below, 1.0, 1.00001, np.nan], dtype=np.float32))[0] < 1.0
    assert rounded(np.array([1.0]))[0] >= 1.0
    assert np.isfinite(rounded(np.array([1e9]))[0])


def test_a_week_of_ten_thousand_cells_fits_in_a_gigabyte() -> None:
    week = 7 * 24 * 60
    reach = reach_within(10_000, 12, steps=week + 120, most_bytes=1_000_000_000)
    assert reach.nbytes <= 1_000_000_000
    assert reach.blocks * EVERY >= week
    assert reach.steps >= 6 * 60
    assert reach_within(1_500, 12, steps=week + 120, most_bytes=1_000_000_000).blocks == 0


@given(st.integers(1, 300), st.integers(1, 30), st.integers(10_000, 10**8))
def test_a_memory_never_outgrows_its_room(cells: int, gauges: int, most_bytes: int) -> None:
    try:
        reach = reach_within(cells, gauges, steps=10_200, most_bytes=most_bytes)
    except ForecastError:
        assert room_of(120) * bytes_of_sample(cells, gauges) > 0.8 * most_bytes
        return
    rooms = room_of(reach.steps) + (room_of(reach.blocks) if reach.blocks else 0)
    assert reach == Reach(
        steps=reach.steps, blocks=reach.blocks, nbytes=rooms * bytes_of_sample(cells, gauges)
    )
    assert reach.nbytes <= most_bytes


def test_a_window_carries_the_memory_and_a_restart_does_not_empty_it() -> None:
    buffer = WindowBuffer([WORK], length=5, past=Past(step_s=STEP_S))
    assert buffer.window().past is None
    look = {"memory": 0.5, "disk": 0.1, "rate_rps": 50.0, "age_s": 0.0, "started_s": 900.0}
    for now in range(1, 62):
        started = 900.0 if now < 35 else 1_034.0
        cells = {"a": reading({**look, "started_s": started})}
        buffer.append(
            Observation(now_s=1_000.0 + now, interval_s=1.0, cells=cells, demand_rps=None)
        )
    past = buffer.window().past
    assert past is not None
    assert past.samples == 6
    assert not np.isnan(past.value[0, 0]).any()
    assert past.up_s[0].tolist() == pytest.approx([110.0, 120.0, 130.0, 6.0, 16.0, 26.0])


def test_what_we_intervened_in_is_censored() -> None:
    gathering = Gathering([WORK], step_s=STEP_S)
    look = {"memory": 0.5, "disk": 0.1, "rate_rps": 50.0, "age_s": 0.0, "started_s": 900.0}
    steps = []
    for now in range(1, 32):
        cells = {name: reading(look) for name in ("a", "b")}
        step = gathering.take(
            Observation(now_s=1_000.0 + now, interval_s=1.0, cells=cells, demand_rps=None),
            censored=frozenset({"a", "unknown"} if now == 2 else ()),
        )
        steps += [step] if step else []
    assert [step.censored.tolist() for step in steps] == [[True, False], [False] * 2, [False] * 2]


def test_a_view_of_the_past_knows_no_blocks_from_after_it() -> None:
    steps = steps_with_gaps([1] * 300, seed=3)
    past = _scarce()
    for step in steps:
        past.append(step)
    found = past.history()
    assert found is not None
    assert found.older is not None
    early = found.until(5)
    assert early.older is not None
    assert early.older.time_s()[-1] <= early.time_s()[-1]
    assert found.older.time_s()[-1] > early.time_s()[-1]
