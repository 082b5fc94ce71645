"""This module is what a tick costs beside the solver, stage by stage and size by size.

A fleet of one region's origin is observed with a leak in one cell, forecast, decided, applied and
kept. The solver is a stub: it gives the live plan back (`hold`), or one in which two cells change
places a little (`act`), so that guards and tables are paid for as well. Each figure
is the median of its repetitions, in milliseconds of this process's cpu time, because the machine
may have others to serve. `--against REV` runs this same file on another commit's package, and
prints the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import structlog

from foreshard.controller.foresight import Foresight
from foreshard.controller.loop import Loop
from foreshard.controller.observe import observation_of
from foreshard.controller.world import World
from foreshard.engine import Engine
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import WindowBuffer
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Act, Decision
from foreshard.model.telemetry import (
    CellMetrics,
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
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Problem
from foreshard.planning.solver import Solution, SolveStatus
from foreshard.ports import BalancerReading
from foreshard.testing import FakeClock, FakeRouteSink

ORIGIN = "eu"
START_S = 1_000_000.0
CPUS = 4.0
GAUGES = ("memory", "connections", "disk", "threads")
# The leak shows, and is far from its end.
LEAK_PER_S = 0.00015
SIZES = (6, 20, 100, 1_000)
WINDOW = 60
WARM_TICKS = 12

T = TypeVar("T")
Figures = Mapping[str, Mapping[str, float]]


class Leaning:
    """Gives the live plan back, or one in which one of two cells gets more, then the other.

    Args:
        leans: Whether it ever asks for a change.
    """

    def __init__(self, *, leans: bool) -> None:
        self._leans = leans
        self._asked = 0

    def solve(self, problem: Problem) -> Solution:
        """The shares that are live, more or less."""
        shares = problem.reference if problem.previous is None else problem.previous
        self._asked += 1
        if self._leans:
            lean = np.ones(shares.shape[1])
            lean[-2:] = (1.1, 0.9) if self._asked % 2 else (0.9, 1.1)
            shares = np.clip(shares * lean, problem.lower, problem.upper)
            shares /= shares.sum(axis=1, keepdims=True)
        return Solution(
            status=SolveStatus.OPTIMAL,
            shares=shares,
            shed=np.maximum(1.0 - shares.sum(axis=1), 0.0),
            gap_ratio=0.0,
            utilisation=problem.utilisation(shares),
        )


class NoStore:
    """A `StateStore` that keeps nothing: what it would cost is its own affair."""

    def record(self, decision: Decision, inputs: Mapping[str, Any]) -> None:
        """Nothing."""

    def latest(self, cell: str) -> Mapping[str, Any] | None:
        """Nothing."""

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Nothing."""

    def get(self, key: str) -> Mapping[str, Any] | None:
        """Nothing."""


class Stand:
    """A fleet, what is seen of it, and what decides.

    Args:
        cells: How many.
        classes: How many; the first is keyed.
    """

    def __init__(self, cells: int, classes: int) -> None:
        self.draw = np.random.default_rng(cells)
        self.fleet = Fleet(
            cells=tuple(
                Cell(
                    name=f"eu-{n:04d}",
                    region="eu",
                    zone=f"eu-{n % 3}",
                    nodes=(Node(host="127.0.0.1", port=9_000 + n),),
                )
                for n in range(cells)
            )
        )
        self.classes = tuple(_class(k) for k in range(classes))
        self.rates = self.draw.uniform(0.5, 1.5, classes)
        cost = np.array([c.declared.per_request["cpu"] for c in self.classes])
        self.rates *= 0.6 * CPUS / float(self.rates @ cost)
        self.now_s = START_S

    def engine(self, *, leans: bool) -> Engine:
        """With the stub for a solver."""
        return Engine(
            fleet=self.fleet,
            classes=self.classes,
            origins=(ORIGIN,),
            default_class=self.classes[0].name,
            solver=Leaning(leans=leans),
            policy=Policy(),
            budget=Budget(max_moved_per_minute=1.0),
        )

    def look(self) -> Observation:
        """One second later."""
        self.now_s += 1.0
        counts = self.draw.poisson(np.tile(self.rates, (len(self.fleet.cells), 1)))
        waits = self.draw.uniform(0.03, 0.05, counts.shape)
        used = self.draw.uniform(0.55, 0.65, (len(counts), 1 + len(GAUGES)))
        used[0, 1] = 0.2 + LEAK_PER_S * min(self.now_s - START_S, WINDOW)
        said, traffic = {}, {}
        for c, name in enumerate(self.fleet.names):
            gauges = {"cpu": Gauge(used=CPUS * used[c, 0], limit=CPUS, scales_with_load=True)}
            gauges |= {g: Gauge(used=used[c, i], limit=1.0) for i, g in enumerate(GAUGES, 1)}
            metrics = CellMetrics(gauges=gauges, capacity={"cpu": CPUS})
            said[name] = (Health.UP, Fresh(metrics=metrics, age_s=0.1))
            traffic[name] = {
                k.name: ClassTraffic(rate_rps=float(n), latency_mean_s=float(wait_s))
                for k, n, wait_s in zip(self.classes, counts[c], waits[c], strict=True)
            }
        demand = {
            Flow(ORIGIN, k.name): float(n)
            for k, n in zip(self.classes, counts.sum(axis=0), strict=True)
        }
        in_flight = dict.fromkeys(self.fleet.names, 3.0)
        self.seen = BalancerReading(
            interval_s=1.0, traffic=traffic, demand_rps=demand, in_flight=in_flight
        )
        self.said = said
        return self.observed()

    def observed(self) -> Observation:
        """What was said, as one look."""
        return observation_of(
            self.fleet,
            now_s=self.now_s,
            interval_s=1.0,
            said=self.said,
            seen=self.seen,
            events=(),
        )


def _class(k: int) -> RequestClass:
    return RequestClass(
        name=f"class-{k}",
        priority=Priority(k % 3),
        weight=float(10 - k % 3),
        objective_s=0.5,
        timeout_s=5.0,
        match=Match(path_prefix=f"/{k}"),
        key_header="" if k else "x-key",
        declared=Needs(per_request={"cpu": 0.01 * (1 + k % 4)}),
    )


def measure(cells: int, classes: int, repeats: int) -> dict[str, float]:
    """Milliseconds of cpu time of every stage at one size."""
    stand, taken = Stand(cells, classes), Taken()
    buffer = WindowBuffer(stand.classes, length=WINDOW)
    model = TrendForecaster()
    for _ in range(WINDOW - repeats - 1):
        buffer.append(stand.look())
    for _ in range(repeats + 1):
        look = stand.look()
        taken("observe", stand.observed)
        taken("window.append", lambda look=look: buffer.append(look))
        window = taken("window.copy", buffer.window)
        forecast = taken("forecast", lambda w=window: model.forecast(w, (), now_s=stand.now_s))
    for name, leans in (("hold", False), ("act", True)):
        _steps(stand, taken, name, forecast, leans=leans, repeats=repeats)
    asyncio.run(_keeps(stand, taken, forecast, repeats))
    return taken.medians()


def _steps(
    stand: Stand, taken: Taken, name: str, forecast: Forecast, *, leans: bool, repeats: int
) -> None:
    """The engine's step and the settling of what it decided."""
    engine = stand.engine(leans=leans)
    state = engine.begin(None, {}, now_s=stand.now_s)
    for tick in range(WARM_TICKS + 2 * repeats + 1):
        look = stand.look()
        is_told = tick % 5 == 4
        newest = replace(forecast, made_at_s=stand.now_s) if is_told else None
        note = taken if tick >= WARM_TICKS else Taken()
        what = f"step.{name}" + (".judged" if is_told else "")
        before = state
        state, decision = note(what, lambda s=before, o=look, f=newest: engine.step(s, o, f))
        if tick >= WARM_TICKS and isinstance(decision.routing, Act) is not leans:
            raise SystemExit(f"bench-tick: {name} decided {decision.routing.because}")
        state = engine.settle(state, applied=True)
        if tick >= WARM_TICKS:
            note("memory", lambda s=state: engine.memory(s))


async def _keeps(stand: Stand, taken: Taken, forecast: Forecast, repeats: int) -> None:
    """What the loop keeps of each tick."""
    clock = FakeClock(stand.now_s)
    world = World(
        clock=clock,
        cells=_Said(stand),
        traffic=_Seen(stand),
        events=None,
        sink=FakeRouteSink(),
        driver=None,
        store=NoStore(),
    )
    loop = Loop(
        stand.engine(leans=False), stand.fleet, world, foresight=_Told(forecast), tick_s=1.0
    )
    keep = loop._keep  # noqa: SLF001 - a stage of the loop has no other name

    def timed(*given: Any) -> None:  # noqa: ANN401 - whatever the loop gives
        taken("keep", lambda: keep(*given))

    loop._keep = timed  # type: ignore[method-assign]  # noqa: SLF001 - timed in its place
    for _ in range(repeats + 1):
        stand.look()
        clock.advance(1.0)
        await loop.tick()


class _Said:
    """What cells say, made beforehand."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    async def read(self, cells: tuple[Cell, ...]) -> Mapping[str, tuple[Health, Fresh | Missing]]:
        return self._stand.said


class _Seen:
    """What balancers saw, made beforehand."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    async def read(self) -> BalancerReading:
        return self._stand.seen


class _Told(Foresight):
    """One forecast for ever."""

    def __init__(self, forecast: Forecast) -> None:
        self._forecast = forecast

    @property
    def latest(self) -> Forecast:
        return self._forecast

    def take(self, observation: Observation) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


class Taken:
    """What every stage took, seconds of cpu time."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    def __call__(self, stage: str, work: Callable[[], T]) -> T:
        """Do the work of a stage, on the clock."""
        began_s = time.process_time()
        done = work()
        self._seconds.setdefault(stage, []).append(time.process_time() - began_s)
        return done

    def medians(self) -> dict[str, float]:
        """Milliseconds by stage; the first, in which things are made once, is left out."""
        return {
            stage: round(1e3 * float(np.median(seconds[1:] or seconds)), 3)
            for stage, seconds in self._seconds.items()
        }


def against(rev: str, given: Sequence[str]) -> Figures:
    """The figures of another commit's package, by this same file."""
    here = Path(__file__).resolve()
    with tempfile.TemporaryDirectory(prefix="bench-tick-") as directory:
        tree = Path(directory) / "tree"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(tree), rev],
            cwd=here.parent,
            check=True,
        )
        try:
            path = {**os.environ, "PYTHONPATH": str(tree / "src")}
            out = Path(directory) / "figures.json"
            argv = [sys.executable, str(here), *given, "--json", str(out)]
            subprocess.run(argv, env=path, check=True, stdout=subprocess.DEVNULL)
            figures: Figures = json.loads(out.read_text(encoding="utf-8"))["ms"]
        finally:
            subprocess.run(
                ["git", "worktree", "remove", "--force", str(tree)], cwd=here.parent, check=True
            )
    return figures


def text_of(figures: Figures, before: Figures | None) -> str:
    """The figures as Markdown, each beside the one of the commit before."""
    sizes = list(figures)
    stages = list(dict.fromkeys(s for found in figures.values() for s in found))
    head = ["stage, ms of cpu time", *(f"{size} cells" for size in sizes)]
    lines = [head, ["---"] * len(head)]
    for stage in stages:
        row = [stage]
        for size in sizes:
            now = figures[size].get(stage)
            was = (before or {}).get(size, {}).get(stage)
            text = "" if now is None else f"{now:.2f}"
            row.append(f"{was:.2f} -> {text} ({was / now:.1f} x)" if was and now else text)
        lines.append(row)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--cells", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--against", metavar="REV", help="measure this commit as well")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    same = ["--cells", *map(str, options.cells), "--classes", str(options.classes)]
    same += ["--repeats", str(options.repeats)]
    before = against(options.against, same) if options.against else None
    figures = {str(n): measure(n, options.classes, options.repeats) for n in options.cells}
    sys.stdout.write(text_of(figures, before))
    if options.json:
        document = {"classes": options.classes, "ms": figures, "against": before}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
