"""This module is the trial without processes: six queues, a model of Envoy, the real engine.

    .venv/bin/python -m tests.engine.closed_loop zone surge tight --seeds 1 2

One story takes about two seconds. The requests, their costs, the faults, the cells' limits, the
engine's settings and the oracle are those of `foreshard demo`; cells are simulated request by
request (a pool of connections, then first come first served on three cpus), and each second the
engine sees what the real sources would say. A request that is given up goes on costing.

What differs from the real thing: nothing costs time but queues, cpus and the dependency;
retries have no back-off; slow start is left out; and the side that nobody steers keeps the
first, even table, so that it is only much like the demo's reactive one.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from foreshard.app.steering import engine_of
from foreshard.config import parse
from foreshard.engine import Engine
from foreshard.lab import service
from foreshard.lab.cell.cpu import CpuQueue
from foreshard.lab.cell.draw import CPU, DEPENDENCY, erlang
from foreshard.lab.cell.faults import FaultKind, Faults
from foreshard.lab.faults import FaultSpec
from foreshard.lab.oracle import burden_of
from foreshard.lab.policy.bound import least_harm
from foreshard.lab.scores import SETTLE_S
from foreshard.lab.steering import Site, demo_config
from foreshard.lab.story import Story, story
from foreshard.lab.timeline import Lives
from foreshard.lab.traffic import arrivals
from foreshard.model.plan import Act, Decision
from foreshard.model.routing import RoutingTable
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
from foreshard.model.workload import Flow
from tests.engine.envoy_model import NET, SHED, Fleetwide, Pick, picks_of

__all__ = ["Outcome", "demo_engine", "play"]

Floats = npt.NDArray[np.float64]

NAMES = tuple(site.name for site in service.SITES)
ORIGIN = NAMES[0].partition("-")[0]
CLASSES = service.CLASSES
FLEET = service.fleet({name: 9_000 + i for i, name in enumerate(NAMES)})
EPOCH_S = 1_000_000.0
# The keeper's delay, and what a process needs until it answers.
RESTART_S = 6.0 + 1.0
# Nobody's tick is in step with the faults, and a table takes its time: look, plan, push.
PHASE_S, APPLY_S = 0.5, 0.1
GOOD, FAILED, SLOW, TURNED_AWAY = range(4)


def demo_engine() -> Engine:
    """The engine as the demo configures it."""
    site = Site(
        fleet=FLEET,
        data_dir=Path("data"),
        events=Path("events.json"),
        webhook="http://127.0.0.1:9100/recycle",
        listen="127.0.0.1:10000",
        admin="127.0.0.1:9901",
        discovery="127.0.0.1:18000",
    )
    return engine_of(parse(yaml.safe_dump(dict(demo_config(site)))))


class Request:
    """One request and where it is."""

    __slots__ = ("cell", "draw", "is_over", "is_retry", "k", "key", "t_s", "tried", "try_s")

    def __init__(self, t_s: float, k: int, key: int, draw: int) -> None:
        self.t_s, self.k, self.key, self.draw = t_s, k, key, draw
        self.try_s = t_s
        self.cell = SHED
        self.tried: frozenset[int] = frozenset()
        self.is_over = False
        self.is_retry = False


class Cell:
    """One cell: connections, a line before them, cpus."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.is_up = True
        self.up_at_s = 0.0
        self.life = 0
        self.started_s = -3_600.0
        self._begin()

    def _begin(self) -> None:
        self.cpu = CpuQueue(servers=int(service.CELL_CPUS))
        self.busy_s = 0.0
        self.held = 0
        self.line: deque[Request] = deque()
        self.inside: set[Request] = set()
        self.seen: set[int] = set()

    def end(self, now_s: float, *, inside_too: bool) -> None:
        """The process ends; a throttle stays, everything else is forgotten."""
        self.is_up, self.up_at_s = False, now_s + RESTART_S
        if inside_too:
            self.life += 1
            self.inside.clear()

    def start(self, now_s: float, outside: Faults) -> None:
        """The process answers again."""
        self.is_up, self.started_s = True, now_s
        self.life += 1
        self.faults = outside
        self._begin()


@dataclass
class Outcome:
    """What came of a story.

    Attributes:
        story: Which.
        bad: [second of arrival, class, kind] requests that were good, failed, slow, shed.
        ordered: [second] harm of the oracle that gives up the least important class first.
        decisions: Of the engine, one a second; empty when nobody steers.
        seen: What it saw, one a second.
    """

    story: Story
    bad: Floats
    ordered: Floats = field(default_factory=lambda: np.zeros(0))
    decisions: list[Decision] = field(default_factory=list)
    seen: list[Observation] = field(default_factory=list)

    @property
    def harm(self) -> Floats:
        """[second] weighted bad requests."""
        weights = np.array([c.weight for c in CLASSES])
        return np.asarray(self.bad[:, :, FAILED:].sum(axis=2) @ weights)

    @property
    def demand(self) -> Floats:
        """[second] weighted requests."""
        weights = np.array([c.weight for c in CLASSES])
        return np.asarray(self.bad.sum(axis=2) @ weights)

    @property
    def window(self) -> npt.NDArray[np.bool_]:
        """[second] whether a fault or surge is felt."""
        second = np.arange(len(self.bad))
        stretches = self.story.troubled_s(settle_s=SETTLE_S)
        felt = np.zeros(len(second), dtype=np.bool_)
        for start_s, end_s in stretches:
            felt |= (second >= start_s) & (second < end_s)
        return felt

    def points(self, harm: Floats) -> tuple[float, float]:
        """Percent of weighted demand within the window, and over all but the warm-up."""
        scored = np.arange(len(self.bad)) >= self.story.warm_up_s
        masks = (scored & self.window if self.window.any() else scored, scored)
        return (
            float(100.0 * harm[masks[0]].sum() / self.demand[masks[0]].sum()),
            float(100.0 * harm[masks[1]].sum() / self.demand[masks[1]].sum()),
        )


class World:
    """Time, requests and cells.

    Args:
        told: What happens.
        seed: Of the arrivals and of chance in the balancer.
    """

    def __init__(self, told: Story, *, seed: int) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._chance = random.Random(seed)
        self._told = told
        self.cells = [Cell() for _ in NAMES]
        self.fleet = Fleetwide(
            died_s=[float("inf")] * len(NAMES), open=[[0] * len(NAMES) for _ in CLASSES]
        )
        self._picks: list[Pick] = []
        self._retries = [0] * len(CLASSES)
        self.bad = np.zeros((int(np.ceil(told.duration_s)), len(CLASSES), 4))
        self._tallies: Counter[tuple[int, int, str]] = Counter()
        self._arrived: Counter[int] = Counter()
        self._shed: Counter[int] = Counter()
        self._looked_s = 0.0
        for spec in told.faults:
            for name in spec.cells:
                self._plan(spec, NAMES.index(name))
        schedule = arrivals(told.demand(), seed=seed)
        columns = (schedule.t_s, schedule.request_class, schedule.key, schedule.draw)
        self._coming = deque(
            Request(*row) for row in zip(*(c.tolist() for c in columns), strict=True)
        )

    def apply(self, table: RoutingTable) -> None:
        """New requests are routed by this table."""
        routes = {r.request_class.name: r for r in table.classes}
        self._picks = picks_of(routes, ORIGIN, NAMES, self._chance)

    def advance(self, to_s: float) -> None:
        """Let everything happen until then."""
        while True:
            arrival_s = self._coming[0].t_s if self._coming else float("inf")
            event_s = self._events[0][0] if self._events else float("inf")
            if min(arrival_s, event_s) > to_s:
                break
            if arrival_s <= event_s:
                self.now_s = arrival_s
                request = self._coming.popleft()
                self._arrived[request.k] += 1
                self._try(
                    request, self._picks[request.k].first(request.key, self.fleet, arrival_s)
                )
            else:
                self.now_s, _, happen = heappop(self._events)
                happen()
        self.now_s = to_s

    def recycle(self, name: str) -> None:
        """A restart was asked for: what is inside may finish."""
        index = NAMES.index(name)
        if self.cells[index].is_up:
            self._end(index, inside_too=False)

    def observe(self) -> Observation:
        """What the sources would say of the last second."""
        passed_s, self._looked_s = max(1e-3, self.now_s - self._looked_s), self.now_s
        readings = {name: self._reading(i, passed_s) for i, name in enumerate(NAMES)}
        flows = [Flow(ORIGIN, c.name) for c in CLASSES]
        demand = {flow: self._arrived[k] / passed_s for k, flow in enumerate(flows)}
        shed = {flow: self._shed[k] / passed_s for k, flow in enumerate(flows)}
        self._tallies.clear()
        self._arrived.clear()
        self._shed.clear()
        return Observation(
            now_s=EPOCH_S + self.now_s,
            interval_s=passed_s,
            cells=readings,
            demand_rps=demand,
            shed_rps=shed,
        )

    def _at(self, when_s: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._events, (when_s, self._count, happen))

    def _plan(self, spec: FaultSpec, index: int) -> None:
        cell = self.cells[index]

        def begin() -> None:
            cell.faults.inject(spec.fault, now_s=self.now_s)
            match spec.fault.kind:
                case FaultKind.LEAK:
                    life = cell.life
                    self._at(self.now_s + spec.fault.duration_s, lambda: kill(life))
                case FaultKind.CRASH:
                    kill(cell.life)
                case FaultKind.THROTTLE | FaultKind.CREEP | FaultKind.SLOW_DEPENDENCY:
                    self._at(spec.ends_s, cell.faults.clear)
                case other:
                    raise NotImplementedError(f"{other} is not simulated")

        def kill(life: int) -> None:
            if cell.is_up and cell.life == life:
                self._end(index, inside_too=True)

        self._at(spec.at_s, begin)

    def _end(self, index: int, *, inside_too: bool) -> None:
        cell = self.cells[index]
        broken = sorted(cell.inside, key=lambda r: r.t_s) if inside_too else []
        cell.end(self.now_s, inside_too=inside_too)
        self.fleet.died_s[index] = self.now_s
        for request in (r for r in broken if not r.is_over):
            self._over(request, failed=True, answer_again=True)
        self._at(cell.up_at_s, lambda: self._start(index))

    def _start(self, index: int) -> None:
        outside = Faults()
        for spec in self._told.faults:
            is_on = spec.at_s <= self.now_s < spec.ends_s
            if is_on and NAMES[index] in spec.cells and spec.fault.kind.is_outside:
                outside.inject(spec.fault, now_s=spec.at_s)
                self._at(spec.ends_s, outside.clear)
        self.cells[index].start(self.now_s, outside)
        self.fleet.died_s[index] = float("inf")

    def _try(self, request: Request, index: int) -> None:
        """Send a request to a cell, or turn it away."""
        if index == SHED:
            self._shed[request.k] += 1
            self._score(request, TURNED_AWAY)
            return
        request.cell, request.try_s = index, self.now_s
        cell = self.cells[index]
        self.fleet.open[request.k][index] += 1
        if not cell.is_up or len(cell.inside) >= service.BACKLOG:
            self._over(request, failed=True, answer_again=True)
            return
        cell.inside.add(request)
        if not request.tried:
            limit_s = request.t_s + CLASSES[request.k].timeout_s
            self._at(limit_s, lambda: self._time_out(request))
        if cell.held < service.CONNECTIONS:
            self._connected(request, cell)
        else:
            cell.line.append(request)
            self._at(self.now_s + service.POOL_WAIT_S, lambda: self._give_up(request, index))

    def _give_up(self, request: Request, index: int) -> None:
        cell = self.cells[index]
        if request in cell.line:
            cell.line.remove(request)
            cell.inside.discard(request)
            if not request.is_over:
                self._over(request, failed=True, answer_again=True)

    def _connected(self, request: Request, cell: Cell) -> None:
        cell.held += 1
        work = service.WORK[CLASSES[request.k].name]
        wait_s = 0.0
        if work.cold_s and request.key not in cell.seen:
            cell.seen.add(request.key)
            wait_s += work.cold_s
        if work.dependency:
            wait_s += work.dependency_s * erlang(request.draw, DEPENDENCY)
            wait_s += cell.faults.growth(FaultKind.SLOW_DEPENDENCY, now_s=self.now_s)
        life = cell.life
        if wait_s:
            self._at(self.now_s + wait_s, lambda: self._compute(request, cell, life))
        else:
            self._compute(request, cell, life)

    def _compute(self, request: Request, cell: Cell, life: int) -> None:
        if cell.life != life:
            return
        busy_s = service.WORK[CLASSES[request.k].name].cpu_s * erlang(request.draw, CPU)
        finish_s = cell.cpu.offer(self.now_s, busy_s=busy_s / cell.faults.speed(now_s=self.now_s))
        self._at(finish_s, lambda: self._finish(request, cell, life))

    def _finish(self, request: Request, cell: Cell, life: int) -> None:
        if cell.life != life:
            return
        cell.held -= 1
        cell.inside.discard(request)
        if not request.is_over:
            self._over(request, failed=False)
        if cell.line and cell.held < service.CONNECTIONS:
            self._connected(cell.line.popleft(), cell)

    def _time_out(self, request: Request) -> None:
        """The caller gives up; the work goes on."""
        if not request.is_over:
            self._over(request, failed=True)

    def _over(self, request: Request, *, failed: bool, answer_again: bool = False) -> None:
        """A try has ended; perhaps another cell is asked."""
        k, index = request.k, request.cell
        of = CLASSES[k]
        self.fleet.open[k][index] -= 1
        took_s = self.now_s - request.try_s
        is_slow = not failed and took_s > of.objective_s
        self._tallies[index, k, "tries"] += 1
        self._tallies[index, k, "failed"] += failed
        self._tallies[index, k, "slow"] += is_slow
        self._tallies[index, k, "time_us"] += round(1e6 * took_s)
        if not of.is_keyed:
            self.fleet.told(k, index, failed=failed, now_s=self.now_s)
        if request.is_retry:
            request.is_retry = False
            self._retries[k] -= 1
        budget = max(NET.retry_budget_minimum, NET.retry_budget_ratio * sum(self.fleet.open[k]))
        if (
            answer_again
            and of.retriable
            and len(request.tried) < NET.retries
            and self._retries[k] < budget
        ):
            request.tried |= {index}
            request.is_retry = True
            self._retries[k] += 1
            self._try(request, self._picks[k].another(request.tried, self.fleet, self.now_s))
            return
        is_slow = not failed and self.now_s - request.t_s > of.objective_s
        self._score(request, FAILED if failed else SLOW if is_slow else GOOD)

    def _score(self, request: Request, kind: int) -> None:
        request.is_over = True
        self.bad[min(int(request.t_s), len(self.bad) - 1), request.k, kind] += 1

    def _reading(self, index: int, passed_s: float) -> CellReading:
        cell = self.cells[index]
        traffic = {c.name: self._traffic(index, k, passed_s) for k, c in enumerate(CLASSES)}
        in_flight = float(sum(row[index] for row in self.fleet.open))
        if not cell.is_up:
            gone = Missing("connection refused")
            return CellReading(
                health=Health.DOWN, reading=gone, traffic=traffic, in_flight=in_flight
            )
        busy_s = cell.cpu.busy_s(self.now_s)
        used, cell.busy_s = busy_s - cell.busy_s, busy_s
        leaked = cell.faults.unbounded_growth(FaultKind.LEAK, now_s=self.now_s)
        metrics = CellMetrics(
            gauges={
                "cpu": Gauge(used=used / passed_s, limit=service.CELL_CPUS, scales_with_load=True),
                "memory": Gauge(used=0.5 + 0.5 * leaked, limit=1.0),
                "connections": Gauge(
                    used=cell.held, limit=service.CONNECTIONS, scales_with_load=True
                ),
            },
            capacity={"cpu": service.CELL_CPUS},
            started_at_s=EPOCH_S + cell.started_s,
        )
        return CellReading(
            health=Health.UP,
            reading=Fresh(metrics=metrics, age_s=0.1),
            traffic=traffic,
            in_flight=in_flight,
        )

    def _traffic(self, index: int, k: int, passed_s: float) -> ClassTraffic:
        tries = self._tallies[index, k, "tries"]
        if not tries:
            return ClassTraffic(rate_rps=0.0)
        return ClassTraffic(
            rate_rps=tries / passed_s,
            failed_ratio=self._tallies[index, k, "failed"] / tries,
            slow_ratio=self._tallies[index, k, "slow"] / tries,
            latency_mean_s=self._tallies[index, k, "time_us"] / tries / 1e6,
        )


def play(told: Story, *, seed: int = 1, is_steered: bool = True) -> Outcome:
    """A story from its first request to the last answer, under the demo's engine.

    Args:
        told: The story; its faults must be of a kind that is simulated.
        seed: Of arrivals, costs and chance.
        is_steered: Whether the engine goes on after its first table.
    """
    world, engine = World(told, seed=seed), demo_engine()
    state = engine.begin(None, {}, now_s=EPOCH_S - 1.0)
    outcome = Outcome(story=told, bad=world.bad)
    seconds = len(world.bad)
    for second in range(seconds):
        if second:
            world.advance(second + PHASE_S)
        observation = world.observe()
        if is_steered or second == 0:
            state, decision = engine.step(state, observation, None)
            state = engine.settle(state, applied=True)
            outcome.decisions.append(decision)
            outcome.seen.append(observation)
            if isinstance(decision.routing, Act):
                world.advance(world.now_s + (APPLY_S if second else 0.0))
                world.apply(decision.routing.table)
            for each in decision.recycle:
                world.recycle(each.cell)
    world.advance(seconds + max(c.timeout_s for c in CLASSES))
    burden = burden_of(told, arrivals(told.demand(), seed=seed), lives=_unsteered_lives(told))
    outcome.ordered = least_harm(burden).ordered
    return outcome


def _unsteered_lives(told: Story) -> Lives:
    """When cells are up that nobody restarts: only the faults kill."""
    t_s = np.arange(0.0, told.duration_s, 0.1)
    up = np.ones((len(t_s), len(NAMES)), dtype=np.bool_)
    for spec in told.faults:
        if spec.fault.kind in {FaultKind.LEAK, FaultKind.CRASH}:
            grows_s = spec.fault.duration_s if spec.fault.kind is FaultKind.LEAK else 0.0
            killed_s = spec.at_s + grows_s
            for cell in spec.cells:
                down = (t_s >= killed_s) & (t_s < killed_s + RESTART_S)
                up[down, NAMES.index(cell)] = False
    return Lives(t_s=t_s, up=up)


def _diary(outcome: Outcome) -> str:
    """One line a second: what was bad, what each cell used, what was decided."""
    lines = [
        f"by class ({', '.join(c.name for c in CLASSES)}): [failed, slow, shed]; planned shed"
    ]
    for second, decision in enumerate(outcome.decisions):
        counts = outcome.bad[second, :, FAILED:].astype(int).tolist()
        cells = outcome.seen[second].cells.values()
        used = [
            f"{r.reading.metrics.gauges['cpu'].used:.2f}"
            if isinstance(r.reading, Fresh)
            else " -- "
            for r in cells
        ]
        splits = {flow.request_class: split for flow, split in decision.plan.splits.items()}
        sheds = [f"{splits[c.name].shed:.2f}" for c in CLASSES]
        codes = sorted({f"{r.subject}:{r.code}" for r in decision.routing.because})
        lines.append(
            f"{second:3d} oracle {outcome.ordered[second]:5.1f} harm {outcome.harm[second]:6.1f} "
            f"bad {counts} cpu {' '.join(used)} shed {' '.join(sheds)} "
            f"{'act' if isinstance(decision.routing, Act) else ''} {' '.join(codes)}"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line a run: points of weighted demand, in the window and in the whole run."""
    parser = argparse.ArgumentParser(description="The engine against the oracle, simulated.")
    parser.add_argument("stories", nargs="*", default=["zone", "surge", "tight"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--duration-s", type=float)
    parser.add_argument("--diary", action="store_true", help="one line a second")
    parser.add_argument("--alone", action="store_true", help="without the run nobody steers")
    options = parser.parse_args(argv)
    sys.stdout.write("story  seed |   window: nobody steered oracle  over |  run: over\n")
    for name in options.stories:
        for seed in options.seeds:
            told = story(name, options.duration_s)
            steered = play(told, seed=seed)
            if options.diary:
                sys.stdout.write(_diary(steered))
            mine, best = steered.points(steered.harm), steered.points(steered.ordered)
            nobody = float("nan")
            if not options.alone:
                even = play(told, seed=seed, is_steered=False)
                nobody = even.points(even.harm)[0]
            sys.stdout.write(
                f"{name:6} {seed:4} |           {nobody:6.2f}  {mine[0]:6.2f} {best[0]:6.2f} "
                f"{mine[0] - best[0]:+5.2f} | {mine[1] - best[1]:+9.2f}\n"
            )


if __name__ == "__main__":
    main()
