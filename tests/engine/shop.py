"""This module is a small shop without processes: observations that follow the live plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from foreshard.engine import Engine, EngineState
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.forecast import CellForecast, Forecast, RiskCurve, TimeToLimit
from foreshard.model.plan import Act, Decision
from foreshard.model.routing import RoutingTable, WeightRow
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
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import Flow, Match, Needs, Priority, RequestClass
from foreshard.planning.budget import Budget
from foreshard.planning.exact import ExactSolver
from foreshard.planning.policy import Policy
from foreshard.planning.thresholds import Thresholds

__all__ = [
    "BUDGET",
    "CELLS",
    "CLASSES",
    "HORIZONS_S",
    "POLICY",
    "RATES",
    "START_S",
    "Shop",
    "calm",
    "engine_of",
    "fleet_of",
    "leaking",
    "maintenance",
    "request_class",
    "share_of",
    "slow_class",
]

CELLS = ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3")
START_S = 1_000_000.0
HORIZONS_S = (20.0, 60.0)
LOADS = (0.0, 0.5, 1.0, 1.5, 2.0)
POLICY = Policy(
    thresholds=Thresholds(doubt_s=2.0, confirm_s=4.0, relent_s=12.0, class_first_s=8.0),
    drain_ahead_s=10.0,
    stride_s=4.0,
    warm_s=10.0,
    prove_s=2.0,
    shun_s=14.0,
    restart_patience_s=20.0,
)
BUDGET = Budget(stale_s=5.0, confirm_s=4.0)


def request_class(name: str, **changes: Any) -> RequestClass:  # noqa: ANN401 - any field
    """One of the shop's three classes."""
    cpu_s = {"checkout": 0.012, "search": 0.024, "report": 0.08}[name]
    made = RequestClass(
        name=name,
        priority={
            "checkout": Priority.CRITICAL,
            "search": Priority.NORMAL,
            "report": Priority.SHEDDABLE,
        }[name],
        weight={"checkout": 10.0, "search": 3.0, "report": 1.0}[name],
        objective_s={"checkout": 0.4, "search": 0.5, "report": 2.0}[name],
        timeout_s=6.0,
        match=Match(path_prefix=f"/{name}"),
        key_header="x-key" if name == "checkout" else "",
        declared=Needs(per_request={"cpu": cpu_s}),
    )
    return replace(made, **changes)


CLASSES = tuple(request_class(name) for name in ("checkout", "search", "report"))
# Requests a second of the whole shop at 62 % of six cells of three cpus.
RATES: Mapping[str, float] = {"checkout": 180.0, "search": 225.0, "report": 45.0}


def fleet_of(names: Sequence[str] = CELLS, **changes: Any) -> Fleet:  # noqa: ANN401 - any field
    """Cells of one node each; the region is the part of the name before the dash."""
    return Fleet(
        **changes,
        cells=tuple(
            Cell(
                name=name,
                region=name.partition("-")[0],
                zone=name,
                nodes=(Node(host="127.0.0.1", port=9_000 + i),),
            )
            for i, name in enumerate(names)
        ),
    )


def engine_of(
    fleet: Fleet,
    *,
    classes: Sequence[RequestClass] = CLASSES,
    origins: Sequence[str] = ("eu",),
    policy: Policy = POLICY,
    budget: Budget = BUDGET,
) -> Engine:
    """A real engine with the exact solver."""
    return Engine(
        fleet=fleet,
        classes=classes,
        origins=origins,
        default_class=classes[0].name,
        solver=ExactSolver(),
        policy=policy,
        budget=budget,
    )


def calm(now_s: float, names: Sequence[str] = CELLS, /, **cells: CellForecast) -> Forecast:
    """A forecast in which nothing happens, but for the cells given (`eu_1` names `eu-1`)."""
    odd = {name.replace("_", "-"): cell for name, cell in cells.items()}
    quiet = _cell()
    return Forecast(
        made_at_s=now_s,
        horizons_s=HORIZONS_S,
        model="scripted",
        cells={name: odd.get(name, quiet) for name in names},
    )


def _flat(p: float) -> RiskCurve:
    return RiskCurve(loads=LOADS, p=(p,) * len(LOADS))


def _cell(**changes: Any) -> CellForecast:  # noqa: ANN401 - any field
    classes = {name: dict.fromkeys(HORIZONS_S, 0.0) for name in RATES}
    quiet = CellForecast(risk={h: _flat(0.0) for h in HORIZONS_S}, class_risk=classes)
    return replace(quiet, **changes)


def leaking(p_long: float = 0.95, p_short: float = 0.1) -> CellForecast:
    """Memory moves to its limit, whatever the load."""
    short, long = HORIZONS_S
    curves = {short: _flat(p_short), long: _flat(p_long)}
    return _cell(
        risk=curves,
        modes={"exhaustion:memory": curves},
        time_to_limit={"memory": TimeToLimit(q10_s=30.0, q50_s=40.0, q90_s=55.0)},
        drift_low_per_s={"memory": 0.01},
    )


def slow_class(name: str, p_long: float = 0.95) -> CellForecast:
    """One class passes its objective, the others do not."""
    short, long = HORIZONS_S
    classes = {c: dict.fromkeys(HORIZONS_S, 0.02) for c in RATES}
    classes[name] = {short: 0.6 * p_long, long: p_long}
    return _cell(
        class_risk=classes,
        time_to_limit={f"latency:{name}": TimeToLimit(q10_s=20.0, q50_s=30.0, q90_s=40.0)},
    )


def maintenance(cell: str, *, known_s: float, starts_s: float, ends_s: float) -> SystemEvent:
    """A window, in seconds from the start."""
    return SystemEvent(
        id=f"work-{cell}",
        kind=EventKind.MAINTENANCE,
        cells=frozenset({cell}),
        known_at_s=START_S + known_s,
        starts_at_s=START_S + starts_s,
        ends_at_s=START_S + ends_s,
    )


def share_of(table: RoutingTable | None, name: str, cell: str, origin: str = "") -> float:
    """Share of a class that a cell gets, of one origin, or of the first."""
    assert table is not None
    for route in table.classes:
        if route.request_class.name == name:
            row = route.rows[origin] if origin else next(iter(route.rows.values()))
            counts = {**row.weights, "": row.shed} if isinstance(row, WeightRow) else row.counts()
            return counts.get(cell, 0) / sum(counts.values())
    return 0.0


@dataclass
class Shop:
    """A fleet, an engine and a clock; every table is applied at once unless told otherwise.

    Attributes:
        rates: Requests a second by class; from one origin.
        noise: Poisson noise on what is counted; None = none.
        refused: Whether the sink refuses tables.
        down: Cells that refuse connections.
        silent: Cells that say nothing and whose health is unknown.
        started: Start of each cell's process.
        latency_s: By (class, cell), where it is not the usual.
        failed: Failed share by (class, cell), where there is any.
        shows: By cell, how many times as much cpu it uses as its work needs.
        deaf: Whether the balancers are silent.
        weights: By origin, its part of the requests; alike where it is empty.
        claimed_rps: What balancers say arrived of every flow, where that is a lie.
        hot: By (class, cell), the part of the class that one key there has.
    """

    engine: Engine
    fleet: Fleet
    rates: Mapping[str, float] = field(default_factory=lambda: dict(RATES))
    origins: Sequence[str] = ("eu",)
    capacity: float = 3.0
    noise: np.random.Generator | None = None
    refused: bool = False
    down: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    started: dict[str, float] = field(default_factory=dict)
    latency_s: dict[tuple[str, str], float] = field(default_factory=dict)
    failed: dict[tuple[str, str], float] = field(default_factory=dict)
    events: list[SystemEvent] = field(default_factory=list)
    shows: dict[str, float] = field(default_factory=dict)
    deaf: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    claimed_rps: float | None = None
    hot: dict[tuple[str, str], float] = field(default_factory=dict)
    live: RoutingTable | None = None
    remembered: Mapping[str, Any] = field(default_factory=dict)
    now_s: float = START_S

    def __post_init__(self) -> None:
        self.state: EngineState = self.engine.begin(self.live, self.remembered, now_s=self.now_s)
        self.decisions: list[Decision] = []

    def observe(self) -> Observation:
        """What would be counted over the last second with the live table."""
        demand = {
            Flow(o, name): self._counted(rate * self.weights.get(o, 1.0 / len(self.origins)))
            for o in self.origins
            for name, rate in self.rates.items()
        }
        return Observation(
            now_s=self.now_s,
            interval_s=1.0,
            cells={c.name: self._reading(c.name, demand) for c in self.fleet.cells},
            demand_rps=None if self.deaf else self._claimed(demand),
            events=tuple(e for e in self.events if e.known_at_s <= self.now_s < e.ends_at_s),
        )

    def tick(self, forecast: Forecast | None = None) -> Decision:
        """One second: look, decide, apply."""
        self.now_s += 1.0
        if forecast is not None:
            forecast = replace(forecast, made_at_s=self.now_s)
        self.state, decision = self.engine.step(self.state, self.observe(), forecast)
        self.state = self.engine.settle(self.state, applied=not self.refused)
        self.decisions.append(decision)
        return decision

    def run(self, ticks: int, forecast: Forecast | None = None) -> list[Decision]:
        """So many ticks, each with that forecast made anew."""
        return [self.tick(forecast) for _ in range(ticks)]

    def share(self, name: str, cell: str, origin: str = "") -> float:
        """Of the live table."""
        return share_of(self.state.table, name, cell, origin)

    def codes(self, *, since: int = 0) -> list[tuple[str, str]]:
        """(subject, code) of every reason since a decision."""
        return [(r.subject, r.code) for d in self.decisions[since:] for r in d.routing.because]

    def acts(self, *, since: int = 0) -> list[Decision]:
        """The decisions that put a table out."""
        return [d for d in self.decisions[since:] if isinstance(d.routing, Act)]

    def phase(self, cell: str) -> str:
        """Where a cell is in its life."""
        return str(self.state.cells[cell].phase)

    def _claimed(self, demand: Mapping[Flow, float]) -> Mapping[Flow, float]:
        return demand if self.claimed_rps is None else dict.fromkeys(demand, self.claimed_rps)

    def _counted(self, rate: float) -> float:
        return rate if self.noise is None else float(self.noise.poisson(rate))

    def _spent_s(self, name: str, count: float) -> float:
        """Cpu seconds of so many requests; with noise, of gamma-distributed cost (cv .5)."""
        cost_s = request_class(name).declared.per_request["cpu"]
        if self.noise is None or not count:
            return count * cost_s
        return float(self.noise.gamma(4.0 * count, cost_s / 4.0))

    def _reading(self, cell: str, demand: Mapping[Flow, float]) -> CellReading:
        rates = dict.fromkeys(self.rates, 0.0)
        if self.state.table is not None:
            for flow, rate in demand.items():
                name = flow.request_class
                hot = sum(part for (of, _), part in self.hot.items() if of == name)
                share = (1.0 - hot) * share_of(self.state.table, name, cell, flow.origin)
                rates[name] += rate * (share + self.hot.get((name, cell), 0.0))
        counted = {name: self._counted(rate) for name, rate in rates.items()}
        cpu = sum(self._spent_s(name, count) for name, count in counted.items())
        health = Health.UP
        metrics: Fresh | Missing = Fresh(
            metrics=CellMetrics(
                gauges={
                    "cpu": Gauge(
                        used=cpu * self.shows.get(cell, 1.0),
                        limit=self.capacity,
                        scales_with_load=True,
                    )
                },
                capacity={"cpu": self.capacity},
                started_at_s=self.started.get(cell, START_S - 3_600.0),
            ),
            age_s=0.1,
        )
        if cell in self.down or cell in self.silent:
            health = Health.DOWN if cell in self.down else Health.UNKNOWN
            metrics = Missing("connection refused" if cell in self.down else "no answer")
        traffic = {
            name: ClassTraffic(
                rate_rps=rate,
                failed_ratio=1.0 if cell in self.down else self.failed.get((name, cell), 0.0),
                latency_mean_s=self.latency_s.get((name, cell), 0.05) if rate else float("nan"),
            )
            for name, rate in counted.items()
        }
        return CellReading(health=health, reading=metrics, traffic=None if self.deaf else traffic)
