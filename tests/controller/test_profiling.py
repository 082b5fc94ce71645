from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from structlog.testing import capture_logs

from foreshard.cli.costs import costs_text
from foreshard.controller.profiling import KEY, MOST_RESOURCES, Profiling
from foreshard.engine.counted import counted
from foreshard.lab.pricing import Pricing, seconds
from foreshard.model.category import Tag
from foreshard.model.cost import CostChange, CostReport
from foreshard.model.events import DependencyLevel, EventKind, SystemEvent
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
from foreshard.model.topology import Fleet
from foreshard.testing import MemoryStore
from tests.engine.shop import CLASSES, START_S, fleet_of

NAMES = tuple(c.name for c in CLASSES)
COSTS = np.array([[0.012, 1e5], [0.024, 1e5], [0.2, 8e5]])
PRICING = Pricing(costs=COSTS, cells=6, rate_rps=np.array([30.0, 30.0, 5.0]))
FLEET = fleet_of()


class Watch:
    """A profiler that looks at a fleet whose costs are known."""

    def __init__(self, store: MemoryStore | None = None, *, fleet: Fleet = FLEET) -> None:
        self.store = store or MemoryStore()
        self.profiling = Profiling(fleet, CLASSES, self.store)

    def run(
        self,
        span_s: int,
        *,
        pricing: Pricing = PRICING,
        silent: frozenset[str] = frozenset(),
        failed: Mapping[str, float] | None = None,
        events: tuple[SystemEvent, ...] = (),
        more: tuple[str, ...] = (),
        times: float = 1.0,
        from_s: float = START_S,
    ) -> None:
        for second in seconds(pricing, seed=4, span_s=span_s):
            cells = {}
            for c, name in enumerate(FLEET.names):
                gauges = {
                    "cpu": Gauge(used=times * second.used[c, 0], limit=4.0, scales_with_load=True),
                    "memory": Gauge(used=times * second.used[c, 1], limit=8e9),
                    **{each: Gauge(used=1.0, limit=9.0) for each in more},
                }
                reading = Fresh(metrics=CellMetrics(gauges=gauges, capacity={"cpu": 4.0}), age_s=0)
                traffic = {
                    n: ClassTraffic(
                        rate_rps=second.rates[c, k], failed_ratio=(failed or {}).get(n, 0.0)
                    )
                    for k, n in enumerate(NAMES)
                }
                cells[name] = CellReading(
                    health=Health.UP,
                    reading=Missing(because="silent") if name in silent else reading,
                    traffic=traffic,
                )
            seen = Observation(
                now_s=from_s + second.t_s,
                interval_s=1.0,
                cells=cells,
                demand_rps={},
                events=events,
            )
            self.profiling.take(seen, counted([cells[n] for n in FLEET.names], NAMES))


@pytest.fixture(autouse=True)
def free_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foreshard.controller.profiling.thread_time", lambda: 0.0)


def test_what_classes_cost_is_learned_from_what_the_loop_sees() -> None:
    watch = Watch()
    watch.run(300, silent=frozenset({"us-3"}))
    profile = watch.profiling.profile
    assert profile is not None
    for k, name in enumerate(NAMES):
        assert profile.needs(name).per_request["cpu"] == pytest.approx(COSTS[k, 0], rel=0.25)
    assert profile.classes["report"].category == "heavy-cpu"


@pytest.mark.parametrize("times", [1e6, -1.0])
def test_gauges_that_cannot_be_true_teach_nothing(times: float) -> None:
    watch = Watch()
    watch.run(240)
    watch.run(10, times=times, from_s=START_S + 240.0)
    watch.run(30, from_s=START_S + 250.0)
    profile = watch.profiling.profile
    assert profile is not None
    for k, name in enumerate(NAMES):
        assert profile.classes[name].costs["cpu"].per_request == pytest.approx(
            COSTS[k, 0], rel=0.2
        )
    assert not any(isinstance(each, CostChange) for each in profile.changes)


def test_cells_on_slower_hardware_are_told_by_their_label_and_not_taken_for_dearer() -> None:
    slow = FLEET.names[3:]
    watch = Watch(fleet=replace(FLEET, hardware=dict.fromkeys(slow, "old")))
    pricing = replace(PRICING, hardware=np.where(np.arange(6) < 3, 1.0, 1.6))
    watch.run(300, pricing=pricing)
    kept = watch.store.get(KEY)
    assert kept is not None
    times = kept["hardware"]["old"]["cpu"] / kept["hardware"]["unlabelled"]["cpu"]
    assert times == pytest.approx(1.6, rel=0.1)
    assert "cells on old use, for the same work, 1." in costs_text(kept, now_s=kept["at_s"])


@pytest.mark.parametrize("part", [1e-2, 1e-3, 1e-4, 0.0])
def test_of_a_class_that_is_hardly_asked_for_no_cost_is_invented(part: float) -> None:
    watch = Watch()
    watch.run(200, pricing=replace(PRICING, rate_rps=PRICING.rate_rps * part))
    profile = watch.profiling.profile
    assert profile is not None
    for k, name in enumerate(NAMES):
        cost = profile.classes[name].costs["cpu"]
        assert isnan(cost.per_request) or cost.per_request == pytest.approx(COSTS[k, 0], rel=0.5)
    assert isnan(profile.classes["report"].costs["cpu"].per_request)


def test_a_report_is_kept_and_read_by_people() -> None:
    watch = Watch()
    watch.profiling.tag(
        {"report": Tag(request_class="report", category="nightly", by="ada", at_s=START_S)}
    )
    watch.run(200)
    kept = watch.store.get(KEY)
    assert kept is not None
    text = costs_text(kept, now_s=kept["at_s"] + 4.0)
    assert "what a request costs, 4 s ago" in text
    assert "report: nightly, tagged by ada" in text
    assert "disagreement: report is tagged nightly by ada, its costs say heavy-cpu" in text
    assert "a cell without requests: cpu" in text
    cost = kept["classes"]["report"]["costs"]["cpu"]
    assert cost["low"] < cost["per_request"] < cost["high"]


def test_categories_keep_their_names_over_a_restart() -> None:
    watch = Watch()
    watch.run(200)
    before = watch.store.get(KEY)
    assert before is not None
    again = Watch(watch.store)
    again.run(100, from_s=START_S + 300.0)
    profile = again.profiling.profile
    assert profile is not None
    assert not [c for c in profile.changes if c.request_class == "report"]
    assert set(profile.categories) == set(before["categories"])


def test_what_was_kept_and_cannot_be_read_costs_the_names_alone() -> None:
    store = MemoryStore()
    store.put(KEY, {"categories": 7})
    watch = Watch(store)
    with capture_logs() as logs:
        watch.run(100)
    assert [e["event"] for e in logs].count("profile.unreadable") == 1
    assert watch.profiling.profile is not None


def test_a_store_that_refuses_costs_the_report_and_nothing_else() -> None:
    watch = Watch()
    watch.store.fail("disk is full")
    with capture_logs() as logs:
        watch.run(30)
    assert {"profile.unkept"} <= {e["event"] for e in logs}
    assert watch.profiling.profile is not None


def test_a_dearer_class_is_told_to_the_log() -> None:
    watch = Watch()
    with capture_logs() as logs:
        watch.run(300, pricing=replace(PRICING, changes={2: (200.0, 3.0)}))
    (said, *_) = [e for e in logs if e["event"] == "profile.cost_changed"]
    assert said["request_class"] == "report"
    assert said["log_level"] == "warning"


def test_a_dependency_is_told_by_what_fails_while_it_is_down() -> None:
    outage = SystemEvent(
        id="1",
        kind=EventKind.DEPENDENCY,
        cells=frozenset(),
        known_at_s=0.0,
        starts_at_s=0.0,
        ends_at_s=2.0 * START_S,
        dependency="warehouse",
        level=DependencyLevel.MAJOR_OUTAGE,
    )
    watch = Watch()
    watch.run(60)
    watch.run(60, events=(outage,), failed={"report": 0.7}, from_s=START_S + 100.0)
    profile = watch.profiling.profile
    assert profile is not None
    (found,) = profile.classes["report"].depends
    assert found.dependency == "warehouse"
    assert profile.classes["search"].depends == ()


def test_more_gauges_than_there_is_room_for_cost_themselves_alone() -> None:
    watch = Watch()
    watch.run(300, more=tuple(f"disk-{n}" for n in range(9)))
    profile = watch.profiling.profile
    assert profile is not None
    assert profile.classes["report"].costs["cpu"].per_request == pytest.approx(0.2, rel=0.1)
    assert len(profile.classes["report"].costs) == MOST_RESOURCES
    # What was found stands, and is read on, when another one comes.
    watch.run(60, more=("another", *(f"disk-{n}" for n in range(9))), from_s=START_S + 300.0)
    assert watch.profiling.profile is not None
    assert watch.profiling.profile.at_s > profile.at_s
    assert watch.profiling.profile.classes["report"].costs["cpu"].per_request == pytest.approx(
        0.2, rel=0.1
    )


def test_of_two_outages_of_one_dependency_neither_hides_the_other() -> None:
    def outage(cell: str) -> SystemEvent:
        return SystemEvent(
            id=cell,
            kind=EventKind.DEPENDENCY,
            cells=frozenset({cell}),
            known_at_s=0.0,
            starts_at_s=0.0,
            ends_at_s=2.0 * START_S,
            dependency="warehouse",
            level=DependencyLevel.MAJOR_OUTAGE,
        )

    def evidence(*cells: str) -> str:
        watch = Watch()
        watch.run(60)
        down = tuple(outage(cell) for cell in cells)
        watch.run(60, events=down, failed={"report": 0.7}, from_s=START_S + 100.0)
        profile = watch.profiling.profile
        assert profile is not None
        (found,) = profile.classes["report"].depends
        return found.evidence

    one, both = evidence(FLEET.names[1]), evidence(*FLEET.names[:2])
    assert one != both


def test_reports_of_requests_narrow_what_is_known() -> None:
    watch = Watch()
    watch.run(30)
    assert watch.profiling.profile is not None
    before = watch.profiling.profile.classes["report"].costs["cpu"]
    watch.profiling.report(
        [
            CostReport(request_class="report", requests=500.0, total={"cpu": 100.0}),
            CostReport(request_class="nobody", requests=1.0, total={"cpu": 1.0}),
        ]
    )
    after = watch.profiling.profile.classes["report"].costs["cpu"]
    assert after.high - after.low < before.high - before.low
    assert after.low < 0.2 < after.high


def test_a_large_fleet_is_read_as_often_as_its_part_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(np.arange(0.0, 1e4, 0.2).tolist())
    monkeypatch.setattr("foreshard.controller.profiling.thread_time", lambda: next(clock))
    watch = Watch()
    watch.run(40)
    assert watch.profiling.profile is not None
    # Each reading takes 0.2 s, which is a twentieth of 4 s.
    assert next(clock) == pytest.approx(2 * 10 * 0.2)


def test_a_survey_that_fails_is_said_once_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    watch = Watch()
    watch.run(60)
    before = watch.profiling.profile
    with monkeypatch.context() as there, capture_logs() as said:
        there.setattr("foreshard.profile.survey.Surveyor.read", broken)
        watch.run(30, from_s=START_S + 60.0)
    assert [each["event"] for each in said] == ["profile.failed"]
    assert said[0]["because"] == "Singular matrix"
    after = watch.profiling.profile
    assert before is not None
    assert after is not None
    assert after.classes == before.classes
    with capture_logs() as said:
        watch.run(30, from_s=START_S + 90.0)
    assert said[0]["event"] == "profile.recovered"
