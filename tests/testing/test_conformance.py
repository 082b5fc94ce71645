"""The checks pass what is right, and name what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pytest

from foreshard.forecast.forecaster import Json
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import Window
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.forecast import Forecast, RiskCurve
from foreshard.model.routing import (
    ClassRoute,
    RoutingTable,
    SlotRow,
    SlotRun,
    WeightRow,
)
from foreshard.model.telemetry import CellMetrics, ClassTraffic, Fresh, Gauge, Health, Missing
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Flow, Priority, RequestClass
from foreshard.planning.exact import ExactSolver
from foreshard.planning.problem import Problem
from foreshard.planning.solver import Solution
from foreshard.ports import Applied, BalancerReading, Rejected
from foreshard.testing import (
    FakeCellSource,
    FakeEventSource,
    FakeRouteSink,
    FakeTrafficSource,
    check_event_source,
    check_forecaster,
    check_sink,
    check_solver,
    check_source,
    check_traffic_source,
)

CELLS = tuple(
    Cell(name=name, region="eu", zone="eua", nodes=(Node(host="127.0.0.1", port=9),))
    for name in ("a", "b")
)
METRICS = CellMetrics(gauges={"memory": Gauge(used=1.0, limit=2.0)}, capacity={"cpu": 3.0})


def table(version: int = 1) -> RoutingTable:
    free = RequestClass(
        name="search", priority=Priority.NORMAL, weight=1.0, objective_s=1.0, timeout_s=2.0
    )
    keyed = replace(free, name="checkout", key_header="x-key")
    slots = SlotRow(runs=(SlotRun(owner="a", length=1), SlotRun(owner="b", length=3)))
    return RoutingTable(
        version=version,
        cells=CELLS,
        classes=(
            ClassRoute(request_class=keyed, rows={"eu": slots}, backups={}),
            ClassRoute(
                request_class=free, rows={"eu": WeightRow(weights={"a": 2, "b": 1})}, backups={}
            ),
        ),
        default_class="search",
    )


class TestSources:
    async def test_the_fake_cell_source_keeps_the_contract(self) -> None:
        source = FakeCellSource()
        source.tell("a", METRICS)
        source.kill("b")
        await check_source(source, CELLS)

    async def test_a_cell_that_is_left_out_is_found(self) -> None:
        class Forgetful(FakeCellSource):
            async def read(
                self, cells: tuple[Cell, ...]
            ) -> Mapping[str, tuple[Health, Fresh | Missing]]:
                said = await super().read(cells)
                return {name: said[name] for name in said if name != "b"}

        source = Forgetful()
        source.tell("a", METRICS)
        with pytest.raises(AssertionError, match="every cell that was asked for"):
            await check_source(source, CELLS)

    async def test_a_silent_cell_that_looks_healthy_is_found(self) -> None:
        source = FakeCellSource()
        source.tell("a", METRICS)
        source.tell("nowhere", METRICS)
        with pytest.raises(AssertionError, match="must be Missing"):
            await check_source(source, CELLS)

    async def test_a_source_that_hears_nobody_is_found(self) -> None:
        with pytest.raises(AssertionError, match="is the source connected"):
            await check_source(FakeCellSource(), CELLS)

    async def test_the_fake_traffic_source_keeps_the_contract(self) -> None:
        source = FakeTrafficSource()
        await check_traffic_source(source)
        traffic = {"a": {"search": ClassTraffic(rate_rps=10.0)}, "b": {}}
        reading = BalancerReading(
            interval_s=1.0, traffic=traffic, demand_rps={Flow("eu", "search"): 10.0}, in_flight={}
        )
        source.tell(reading)
        await check_traffic_source(source)

    async def test_a_negative_rate_is_found(self) -> None:
        source = FakeTrafficSource()
        traffic = {"a": {"search": ClassTraffic(rate_rps=-10.0)}}
        source.tell(BalancerReading(interval_s=1.0, traffic=traffic, demand_rps={}, in_flight={}))
        with pytest.raises(AssertionError, match="a counter that fell is Missing"):
            await check_traffic_source(source)

    async def test_the_fake_event_source_keeps_the_contract(self) -> None:
        source = FakeEventSource()
        source.announce(event(known_at_s=50.0))
        await check_event_source(source, now_s=100.0)

    @pytest.mark.parametrize(
        ("wrong", "sentence"),
        [({"known_at_s": 150.0}, "must not see"), ({"ends_at_s": 90.0}, "ended at")],
    )
    async def test_an_event_from_another_time_is_found(
        self, wrong: dict[str, float], sentence: str
    ) -> None:
        source = FakeEventSource()
        source.announce(event(**wrong))
        with pytest.raises(AssertionError, match=sentence):
            await check_event_source(source, now_s=100.0)


def event(*, known_at_s: float = 50.0, ends_at_s: float = 200.0) -> SystemEvent:
    return SystemEvent(
        id="m1",
        kind=EventKind.MAINTENANCE,
        cells=frozenset({"a"}),
        known_at_s=known_at_s,
        starts_at_s=80.0,
        ends_at_s=ends_at_s,
    )


class TestSinks:
    async def test_the_fake_sink_keeps_the_contract(self) -> None:
        sink = FakeRouteSink()
        await check_sink(sink, table())
        assert [t.version for t in sink.applied] == [1, 2, 3]

    async def test_the_second_table_hands_every_row_to_another_cell(self) -> None:
        sink = FakeRouteSink()
        await check_sink(sink, table())
        keyed, free = (route.rows["eu"] for route in sink.applied[1].classes)
        assert keyed == SlotRow(runs=(SlotRun(owner="b", length=1), SlotRun(owner="a", length=3)))
        assert free == WeightRow(weights={"b": 2, "a": 1})

    async def test_a_sink_that_refuses_a_good_table_is_found(self) -> None:
        sink = FakeRouteSink()
        sink.refuse("out of memory")
        with pytest.raises(AssertionError, match="out of memory"):
            await check_sink(sink, table())

    async def test_a_sink_that_puts_a_refused_table_out_is_found(self) -> None:
        class Careless(FakeRouteSink):
            async def apply(self, table: RoutingTable) -> Applied | Rejected:
                applied = await super().apply(table)
                if table.version > 9:
                    return Rejected(version=table.version, because="no such cluster")
                return applied

        with pytest.raises(AssertionError, match="last acknowledged one live"):
            await check_sink(Careless(), table(), refused=table(version=10))


@dataclass(frozen=True, kw_only=True)
class Twisted:
    """A good forecaster whose forecasts pass through somebody's hands."""

    twist: Callable[[Forecast, Window], Forecast]

    def fit(self, history: Sequence[Window]) -> Self:
        return self

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        return self.twist(TrendForecaster().forecast(window, events, now_s=now_s), window)

    def snapshot(self) -> Mapping[str, Json]:
        return TrendForecaster().snapshot()

    def restore(self, snapshot: Mapping[str, Json]) -> Self:
        TrendForecaster().restore(snapshot)
        return self


def blind(seen: Forecast, window: Window) -> Forecast:
    risk = dict.fromkeys(seen.horizons_s, RiskCurve(loads=(0.0,), p=(0.0,)))
    cells = {name: replace(cell, risk=risk, modes={}) for name, cell in seen.cells.items()}
    return replace(seen, cells=cells)


def hopeful(seen: Forecast, window: Window) -> Forecast:
    healthy = seen.cells["calm-1"]
    return replace(seen, cells=dict.fromkeys(window.cells, healthy) | dict(seen.cells))


def shortsighted(seen: Forecast, window: Window) -> Forecast:
    risk = {
        horizon_s: RiskCurve(loads=(0.0,), p=(1.0 / (2.0 + further),))
        for further, horizon_s in enumerate(seen.horizons_s)
    }
    cells = {name: replace(cell, modes={}, risk=risk) for name, cell in seen.cells.items()}
    return replace(seen, cells=cells)


class TestForecasters:
    @pytest.mark.parametrize("horizons_s", [(20.0, 120.0), (300.0, 3600.0)])
    def test_trend_keeps_the_contract(self, horizons_s: tuple[float, ...]) -> None:
        check_forecaster(TrendForecaster(horizons_s=horizons_s))

    def test_a_forecaster_that_sees_no_leak_is_found(self) -> None:
        with pytest.raises(AssertionError, match="reaches its limit in half a horizon"):
            check_forecaster(Twisted(twist=blind))

    def test_a_forecaster_that_takes_silence_for_health_is_found(self) -> None:
        with pytest.raises(AssertionError, match="unknown and not free of risk"):
            check_forecaster(Twisted(twist=hopeful))

    def test_a_forecaster_that_finds_the_near_more_likely_than_the_far_is_found(self) -> None:
        with pytest.raises(AssertionError, match="over P within"):
            check_forecaster(Twisted(twist=shortsighted))


@dataclass(frozen=True, kw_only=True)
class Bent:
    """A good solver, and a hand that meddles with its answer."""

    cell: int
    share: float

    def solve(self, problem: Problem) -> Solution:
        solution = ExactSolver().solve(problem)
        shares = solution.shares.copy()
        shares[:, self.cell] += self.share
        shares[:, (self.cell + 1) % 4] -= self.share
        return replace(solution, shares=shares, utilisation=problem.utilisation(shares))


class Unfair:
    """Sheds all flows alike."""

    def solve(self, problem: Problem) -> Solution:
        solution = ExactSolver().solve(problem)
        work = problem.demand_rps * problem.needs[:, 0]
        lost = float(solution.shed @ work / work.sum())
        shares = np.where(problem.upper > 0.0, solution.shares, 0.0)
        total = shares.sum(axis=1, keepdims=True)
        even = np.where(total > 0.0, shares / np.where(total > 0.0, total, 1.0), 0.25)
        if lost < 1e-9:
            return solution
        shares = even * (1.0 - lost)
        return replace(
            solution,
            shares=shares,
            shed=np.full(len(work), lost),
            utilisation=problem.utilisation(shares),
        )


class TestSolvers:
    def test_the_exact_solver_keeps_the_contract(self) -> None:
        check_solver(ExactSolver())

    def test_a_solver_that_moves_without_reason_is_found(self) -> None:
        with pytest.raises(AssertionError, match="quiet fleet: leaves the reference"):
            check_solver(Bent(cell=0, share=0.01))

    def test_a_solver_that_goes_below_nothing_is_found(self) -> None:
        with pytest.raises(AssertionError, match="must be 0 or more"):
            check_solver(Bent(cell=0, share=-0.3))

    def test_a_solver_that_sheds_critical_requests_first_is_found(self) -> None:
        with pytest.raises(AssertionError, match="can carry: sheds"):
            check_solver(Unfair())
