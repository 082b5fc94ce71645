"""This module is what the engine is told on a bad day: it decides, and the same way each time."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreshard.engine import Engine, EngineState
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Act, Decision
from foreshard.model.routing import SlotRow, WeightRow
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
from foreshard.model.workload import Flow, Needs
from foreshard.planning.caution import Caution
from foreshard.planning.shunning import Shun, Stage
from tests.engine.shop import (
    CLASSES,
    START_S,
    Shop,
    calm,
    engine_of,
    fleet_of,
    leaking,
    request_class,
    slow_class,
)

ODD = st.sampled_from([0.0, 1e-9, 0.3, 30.0, 1e9, math.nan, math.inf, -1.0])
RATIO = st.sampled_from([0.0, 0.5, 1.0, math.nan, 7.0])
NAMES = st.sampled_from(["checkout", "search", "report", "video"])
FLEETS = st.sampled_from([("eu-1",), ("eu-1", "us-1"), ("eu-1", "eu-2", "us-1", "us-2")])
ORIGINS = st.sampled_from([("eu",), ("eu", "us")])
CLASS_SETS = st.sampled_from(
    [CLASSES, CLASSES[:1], (request_class("checkout", regions=frozenset({"eu"})), *CLASSES[1:])]
)


@st.composite
def traffics(draw: st.DrawFn) -> ClassTraffic:
    return ClassTraffic(
        rate_rps=draw(ODD),
        failed_ratio=draw(RATIO),
        slow_ratio=draw(RATIO),
        latency_mean_s=draw(ODD),
    )


@st.composite
def metrics(draw: st.DrawFn) -> CellMetrics:
    names = st.sampled_from(["cpu", "memory"])
    limits = st.sampled_from([1e-9, 3.0, 1e12])
    gauges = draw(st.dictionaries(names, st.builds(Gauge, used=ODD, limit=limits), max_size=2))
    return CellMetrics(
        gauges=gauges,
        capacity=draw(st.dictionaries(names, ODD, max_size=2)),
        started_at_s=draw(st.sampled_from([0.0, START_S, START_S + 1e6])),
    )


@st.composite
def readings(draw: st.DrawFn) -> CellReading:
    fresh = st.builds(Fresh, metrics=metrics(), age_s=st.sampled_from([0.0, 3.0, 1e6, -5.0]))
    seen = st.dictionaries(NAMES, traffics(), max_size=4)
    return CellReading(
        health=draw(st.sampled_from(Health)),
        reading=draw(st.one_of(fresh, st.just(Missing("no answer")))),
        traffic=draw(st.one_of(st.none(), seen)),
        in_flight=draw(ODD),
    )


@st.composite
def observations(draw: st.DrawFn, names: tuple[str, ...]) -> Observation:
    flows = st.builds(Flow, st.sampled_from(["eu", "us", "mars"]), NAMES)
    events = st.builds(
        SystemEvent,
        id=st.sampled_from(["a", "b"]),
        kind=st.sampled_from(EventKind),
        cells=st.frozensets(st.sampled_from([*names, "nowhere"]), max_size=2),
        known_at_s=st.just(START_S),
        starts_at_s=st.sampled_from([START_S - 50.0, START_S + 5.0, START_S + 15.0]),
        ends_at_s=st.just(START_S + 20.0),
    )
    return Observation(
        now_s=START_S,
        interval_s=draw(st.sampled_from([1.0, 0.2, 30.0])),
        cells={name: draw(readings()) for name in names},
        demand_rps=draw(st.one_of(st.none(), st.dictionaries(flows, ODD, max_size=6))),
        events=tuple(draw(st.lists(events, max_size=2))),
    )


@st.composite
def forecasts(draw: st.DrawFn, names: tuple[str, ...]) -> Forecast | None:
    kinds = st.sampled_from(["quiet", "leak", "urgent", "search", "video", "absent"])
    cells = {name: draw(kinds) for name in names}
    if draw(st.booleans()):
        return None
    odd = {
        name.replace("-", "_"): {
            "leak": leaking(),
            "urgent": leaking(p_short=0.95),
            "search": slow_class("search"),
            "video": slow_class("video"),
        }[kind]
        for name, kind in cells.items()
        if kind not in ("quiet", "absent")
    }
    return calm(START_S, [n for n, kind in cells.items() if kind != "absent"], **odd)


@st.composite
def bad_days(draw: st.DrawFn) -> tuple[Engine, list[tuple[Observation, Forecast | None]]]:
    names = draw(FLEETS)
    engine = engine_of(fleet_of(names), classes=draw(CLASS_SETS), origins=draw(ORIGINS))
    count = draw(st.integers(1, 12))
    day = []
    for i in range(count):
        now_s = START_S + 1.0 + i
        forecast = draw(forecasts(names))
        if forecast is not None:
            forecast = replace(forecast, made_at_s=now_s - draw(st.sampled_from([0.0, 60.0])))
        day.append((replace(draw(observations(names)), now_s=now_s), forecast))
    return engine, day


def lived(
    engine: Engine, day: list[tuple[Observation, Forecast | None]]
) -> tuple[EngineState, list[Decision]]:
    state = engine.begin(None, {}, now_s=START_S)
    decisions = []
    for i, (observation, forecast) in enumerate(day):
        state, decision = engine.step(state, observation, forecast)
        state = engine.settle(state, applied=i % 3 != 2)
        decisions.append(decision)
    return state, decisions


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(bad_days())
def test_whatever_it_is_told_it_decides_and_twice_the_same(
    bad_day: tuple[Engine, list[tuple[Observation, Forecast | None]]],
) -> None:
    engine, day = bad_day
    _, once = lived(engine, day)
    _, again = lived(engine, day)
    assert once == again
    for decision in once:
        for split in decision.plan.splits.values():
            assert abs(sum(split.shares.values()) + split.shed - 1.0) < 1e-6
        if isinstance(decision.routing, Act):
            for route in decision.routing.table.classes:
                for row in route.rows.values():
                    owners = row.weights if isinstance(row, WeightRow) else row.counts()
                    assert isinstance(row, WeightRow | SlotRow)
                    assert set(owners) - {""}


def test_a_capacity_that_makes_no_sense_is_one_that_was_not_heard() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(12)
    for offered in (0.0, -3.0, math.nan):
        told = shop.observe()
        reading = told.cells["eu-1"]
        assert isinstance(reading.reading, Fresh)
        odd = replace(reading.reading.metrics, capacity={"cpu": offered})
        cells = {**told.cells, "eu-1": replace(reading, reading=Fresh(metrics=odd, age_s=0.0))}
        state, decision = shop.engine.step(
            shop.state, replace(told, now_s=shop.now_s + 1.0, cells=cells), None
        )
        assert not isinstance(decision.routing, Act)
        assert state.workload.capacity[0, 0] == 3.0


def test_a_resource_of_which_no_cell_ever_spoke_does_not_stop_a_failover() -> None:
    fleet = fleet_of()
    both = [
        replace(c, declared=Needs(per_request={**c.declared.per_request, "memory": 1.0}))
        for c in CLASSES
    ]
    shop = Shop(engine=engine_of(fleet, classes=both), fleet=fleet)
    shop.run(12)
    shop.down = {"us-1"}
    shop.tick()
    assert shop.share("checkout", "us-1") == 0.0


def remembered() -> tuple[Shop, dict[str, Any]]:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(12)
    shop.latency_s["search", "eu-1"] = 0.7
    shop.run(6, calm(0.0, eu_1=slow_class("search"), eu_2=leaking()))
    kept: dict[str, Any] = json.loads(json.dumps(shop.engine.memory(shop.state)))
    return shop, kept


def test_a_memory_of_another_version_is_left_out_cell_by_cell() -> None:
    shop, kept = remembered()
    for broken in ({"phase": "vanished"}, {}, None, 7, {**kept["cells"]["eu-1"], "aura": 1.0}):
        cells = {**kept["cells"], "eu-1": broken}
        again = shop.engine.begin(shop.state.table, {**kept, "cells": cells}, now_s=shop.now_s)
        assert again.cells["eu-1"].since_s == shop.now_s
        assert repr(again.cells["eu-2"]) == repr(shop.state.cells["eu-2"])


@pytest.mark.parametrize("part", ["cells", "shuns", "caution", "factor"])
@pytest.mark.parametrize("broken", [{}, [], {"eu-1": {}}, {"eu-1": [1.0, 2.0]}, {"mars": [1.0]}])
def test_a_damaged_memory_costs_memory_and_nothing_else(part: str, broken: object) -> None:
    shop, kept = remembered()
    again = Shop(
        engine=shop.engine,
        fleet=shop.fleet,
        live=shop.state.table,
        remembered={**kept, part: broken},
        now_s=shop.now_s,
    )
    again.run(3)
    assert {again.phase(cell) for cell in shop.fleet.names} <= {"active", "draining", "drained"}


def test_what_is_remembered_of_a_class_that_is_no_more_is_forgotten() -> None:
    shop, kept = remembered()
    assert ("search", "eu-1") in shop.state.shuns
    fewer = engine_of(shop.fleet, classes=[CLASSES[0], CLASSES[2]])
    again = Shop(
        engine=fewer,
        fleet=shop.fleet,
        rates={"checkout": 100.0, "report": 20.0},
        live=shop.state.table,
        remembered=kept,
        now_s=shop.now_s,
    )
    again.run(12)
    assert again.state.shuns == {}


def test_a_class_that_was_taken_off_a_cell_stays_off_it_over_a_restart() -> None:
    shop, kept = remembered()
    again = Shop(
        engine=shop.engine,
        fleet=shop.fleet,
        live=shop.state.table,
        remembered=kept,
        latency_s=dict(shop.latency_s),
        now_s=shop.now_s,
    )
    again.run(30)
    assert again.share("search", "eu-1") < 0.01


def test_a_broken_counter_of_one_cell_is_not_remembered_as_what_requests_cost() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    for i in range(5):
        told = shop.observe()
        reading = told.cells["eu-1"]
        assert isinstance(reading.reading, Fresh)
        metrics = replace(reading.reading.metrics, gauges={"cpu": Gauge(used=1e9, limit=3.0)})
        cells = {**told.cells, "eu-1": replace(reading, reading=Fresh(metrics=metrics, age_s=0.0))}
        shop.now_s = START_S + 1.0 + i
        shop.state, _ = shop.engine.step(
            shop.state, replace(told, now_s=shop.now_s, cells=cells), None
        )
        shop.state = shop.engine.settle(shop.state, applied=True)
    shop.run(20)
    assert shop.share("checkout", "") == 0.0
    assert all(0.15 < shop.share("checkout", cell) < 0.18 for cell in fleet.names)


def test_a_rate_that_nobody_could_serve_does_not_end_the_engine() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    for i in range(30):
        told = shop.observe()
        reading = told.cells["eu-1"]
        flood = {name: replace(t, rate_rps=1e9) for name, t in (reading.traffic or {}).items()}
        cells = {**told.cells, "eu-1": replace(reading, traffic=flood)}
        shop.now_s = START_S + 1.0 + i
        shop.state, _ = shop.engine.step(
            shop.state, replace(told, now_s=shop.now_s, cells=cells), None
        )
        shop.state = shop.engine.settle(shop.state, applied=True)
    assert shop.share("checkout", "") == 0.0


def test_a_restart_keeps_the_reasons_for_the_live_plan() -> None:
    fleet = fleet_of()
    engine = engine_of(fleet)
    off = Shun(stage=Stage.AWAY, since_s=START_S, seen_s=START_S, evidence="slow")
    begun = engine.begin(None, {}, now_s=START_S)
    p = begun.caution.p.copy()
    p[1, 5:] = 0.6
    state = replace(begun, shuns={("search", "eu-1"): off}, caution=Caution(p=p))
    told = json.loads(json.dumps(engine.memory(state)))
    again = engine.begin(None, told, now_s=START_S + 5.0)
    assert again.shuns == state.shuns
    assert again.caution.p.tolist() == p.tolist()
    assert dict(again.cells) == dict(state.cells) or repr(again.cells) == repr(dict(state.cells))


def test_a_silent_cell_does_not_veto_the_plan_for_the_others() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(12)
    shop.down = {"us-1"}
    told = shop.observe()
    mute = replace(told.cells["eu-1"], reading=Missing("no answer"))
    shop.state, _ = shop.engine.step(
        shop.state,
        replace(told, now_s=shop.now_s + 1.0, cells={**told.cells, "eu-1": mute}),
        None,
    )
    shop.state = shop.engine.settle(shop.state, applied=True)
    assert shop.share("checkout", "us-1") == 0.0
    assert shop.share("checkout", "eu-2") > 1.0 / 6.0


def test_cells_that_are_out_already_do_not_keep_a_dead_one_in() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(12)
    for dead in ({"us-1"}, {"us-1", "us-2"}, {"us-1", "us-2", "us-3"}):
        shop.down = dead
        shop.tick()
        assert all(shop.share("checkout", name) == 0.0 for name in dead)
