"""This module is the live stage: one scenario, several policies side by side, in real time.

Each policy has a fleet and an Envoy of its own; all are asked the same at the same moments and
suffer the same faults. What comes out is kept and scored as the simulation's runs are, except
that no two runs are the same to the bit.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foreshard import __version__
from foreshard.controller.process import Child, start
from foreshard.lab import records
from foreshard.lab.envoy import find_envoy
from foreshard.lab.faults import play
from foreshard.lab.live.crowd import LAST_ANSWERS_S, load_command, records_of
from foreshard.lab.live.ledger import ledger_of
from foreshard.lab.live.ports import Wiring
from foreshard.lab.live.role import Process, Role, Tables
from foreshard.lab.live.script import Script, script_of
from foreshard.lab.live.side import Place, Side, side_of
from foreshard.lab.live.truth import LiveTruth, ToldDriver
from foreshard.lab.live.watch import LifeLog, TableLog, said_by
from foreshard.lab.policy.policy import Stage
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.canonical import text_of
from foreshard.lab.simulation.diary import Diary
from foreshard.lab.simulation.record import Played, RunRecord
from foreshard.model.errors import LabError, SinkError

__all__ = ["CORE", "LiveRun", "run_live"]

# On the record, in the place of a simulation's core.
CORE = "live"
# Fleets settle and caches fill before the first request; as in the demo.
SETTLE_S, SETTLE_RATIO = 3.0, 0.5
# Policies steer so long before the first request, as they do in the simulation.
LEAD_S = 2.0
LOOK_S, TABLES_S = 0.1, 0.5
# A policy that was told to stop may finish what it began.
GRACE_S = 20.0
# From here on (p99) a late load generator is part of what is measured.
MOST_LATE_MS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """What is to be played.

    Attributes:
        scenario: What happens.
        roles: Who steers, each on a side of its own; two are enough for two cores.
        seed: Of arrivals, keys, costs, and the weather that the oracle is told.
        progress: Told what is going on, and how many seconds of the scenario are over.
    """

    scenario: Scenario
    roles: tuple[Role, ...]
    seed: int
    progress: Callable[[str, float], None] = lambda _, __: None

    def __post_init__(self) -> None:
        names = [role.name for role in self.roles]
        if not names or len(set(names)) < len(names):
            raise LabError(f"live: policies are {names}, name at least one, and each once")


async def run_live(
    wanted: LiveRun, wiring: Wiring, *, stop: asyncio.Event
) -> tuple[RunRecord, ...]:
    """Play a scenario once, all roles at the same time.

    Args:
        wanted: What is played.
        wiring: How Foreshard is started and asked.
        stop: Set it to give up.

    Returns:
        One record for each role, in their order; `cost_s["late_p99"]` is how late (p99) the
        load generator sent, and a log line says so when it was too late to be believed.

    Raises:
        LabError: The scenario cannot be played live, or something could not be started, or a
            policy gave up, or `stop` was set.
    """
    script = script_of(wanted.scenario)
    find_envoy()
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="fs-live-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        events = directory / "events.json"
        events.write_text("[]")
        place = Place(scenario=wanted.scenario, directory=directory, events=events, wiring=wiring)
        sides = []
        for role in wanted.roles:
            wanted.progress(f"starting {role.name}", 0.0)
            sides.append(await side_of(stack, role, place))
        settle_s = max(SETTLE_S, SETTLE_RATIO * (time.monotonic() - began))
        start_at_s = time.time() + settle_s
        trial = _Trial(
            wanted=wanted, script=script, place=place, start_at_s=start_at_s, sides=sides
        )
        run = await trial.play(stop)
        return tuple(
            trial.record(watched, run, whole_s=time.monotonic() - began)
            for watched in trial.watched
        )


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A side, and what is written down of it."""

    side: Side
    lives: LifeLog
    tables: TableLog
    diary: Diary
    steering: asyncio.Task[None] | None = None


@dataclass(slots=True, kw_only=True)
class _Trial:
    """The time from the first request to the last."""

    wanted: LiveRun
    script: Script
    place: Place
    start_at_s: float
    sides: Sequence[Side]
    watched: list[_Watched] = field(default_factory=list)

    async def play(self, stop: asyncio.Event) -> records.Run:
        """Ask, break, steer and look on until the last request has ended."""
        scenario = self.wanted.scenario
        names = [site.name for site in scenario.sites]
        for side in self.sides:
            tables = TableLog(scenario)
            tables.look(side.opening, at_s=-LEAD_S)
            diary = Diary(names, start_s=self.start_at_s)
            lives = LifeLog(start_s=self.start_at_s)
            self.watched.append(_Watched(side=side, lives=lives, tables=tables, diary=diary))
        out = self.place.directory / "run.npz"
        loadgen = await start(self._load_command(out), name="loadgen", log=out.with_suffix(".log"))
        ended = asyncio.Event()
        fleets = {side.role.name: side.fleet for side in self.sides}
        player = asyncio.create_task(
            play(
                self.script.faults,
                fleets,
                start_at_s=self.start_at_s,
                events=self.place.events,
                began=lambda _: None,
            )
        )
        try:
            await self._until(self.start_at_s - LEAD_S, stop)
            for each in self.watched:
                each.steering = self._steering(each, ended)
            await self._look_on(loadgen, stop)
        finally:
            ended.set()
            await self._end(player, loadgen)
        return records_of(out, loadgen)

    def record(self, watched: _Watched, run: records.Run, *, whole_s: float) -> RunRecord:
        """What is kept of one side."""
        scenario, side = self.wanted.scenario, watched.side
        mine = run.fleets[side.role.name]
        late_s = mine.lateness_s[~np.isnan(mine.lateness_s)]
        late_p99_s = float(np.percentile(late_s, 99.0)) if len(late_s) else 0.0
        said, acts = tuple(watched.diary.said), watched.diary.acts
        if isinstance(side.role, Process) and side.steered is not None:
            status = self.place.wiring.status(side.steered.config)
            said = said_by(status, start_s=self.start_at_s)
            acts = int((status or {}).get("decisions", 0))
        return RunRecord(
            played=self._played(side.role),
            ledger=ledger_of(mine, scenario, cells=run.cells),
            shares=watched.tables.shares(),
            said=said,
            risk=watched.diary.risk,
            lives=watched.lives.lives,
            log=_lateness(late_p99_s),
            counts={"decisions": watched.diary.decisions, "acts": acts, "unsaid": 0},
            cost_s={"whole": whole_s, "late_p99": late_p99_s},
        )

    def _load_command(self, out: Path) -> list[str]:
        return load_command(
            {side.role.name: side.url for side in self.sides},
            [side.fleet for side in self.sides],
            self.script.demand,
            seed=self.wanted.seed,
            start_at_s=self.start_at_s,
            out=out,
        )

    def _steering(self, watched: _Watched, ended: asyncio.Event) -> asyncio.Task[None] | None:
        """Let a policy of the lab steer, if that is the role."""
        role, steered = watched.side.role, watched.side.steered
        if not isinstance(role, Tables) or steered is None:
            return None
        ports, driver, truth = steered.ports, steered.ports.driver, None
        if role.is_told:
            truth = LiveTruth(
                self.wanted.scenario,
                seed=self.wanted.seed,
                now_s=lambda: ports.clock.now_s() - self.start_at_s,
            )
            driver = ToldDriver(driver, truth)
        stage = Stage(
            scenario=self.wanted.scenario,
            fleet=watched.side.fleet.fleet,
            start_s=self.start_at_s,
            clock=ports.clock,
            executor=ports.executor,
            cells=ports.cells,
            traffic=ports.traffic,
            events=ports.events,
            sink=ports.sink,
            balancer=None,
            driver=driver,
            store=watched.diary,
            truth=truth,
            seed=self.wanted.seed,
        )
        return asyncio.create_task(role.policy.steer(stage, ended), name=role.name)

    async def _until(self, moment_s: float, stop: asyncio.Event) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=max(0.0, moment_s - time.time()))
            raise LabError("live: it was ended before its time")

    async def _look_on(self, loadgen: Child, stop: asyncio.Event) -> None:
        """Write down what changes, until the last request has ended.

        Raises:
            LabError: Somebody gave up before.
        """
        next_s = 0.0
        while loadgen.is_running:
            now_s = time.time()
            for each in self.watched:
                each.lives.look(each.side.fleet.status())
                _refuse_to_go_on_without(each)
            if now_s >= next_s:
                next_s = now_s + TABLES_S
                await asyncio.gather(*(self._look_at_table(each) for each in self.watched))
                self.wanted.progress("playing", max(0.0, now_s - self.start_at_s))
            await self._until(time.time() + LOOK_S, stop)

    async def _look_at_table(self, watched: _Watched) -> None:
        steered = watched.side.steered
        if steered is not None:
            # A process that is busy or restarting is asked again soon.
            with suppress(SinkError):
                table = await steered.ports.sink.live()
                watched.tables.look(table, at_s=time.time() - self.start_at_s)

    async def _end(self, player: asyncio.Task[None], loadgen: Child) -> None:
        """End who breaks and who steers.

        Raises:
            LabError: What should have broken did not.
        """
        player.cancel()
        tasks = [each.steering for each in self.watched if each.steering is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in late:
                task.cancel()
        broke, *_ = await asyncio.gather(player, *tasks, return_exceptions=True)
        await loadgen.terminate(grace_s=LAST_ANSWERS_S)
        if isinstance(broke, Exception):
            raise LabError(f"live: faults were not done to the cells: {broke!r}") from broke

    def _played(self, role: Role) -> Played:
        scenario = self.wanted.scenario
        return Played(
            scenario=scenario.name,
            text=text_of(scenario),
            seed=self.wanted.seed,
            policy=role.name,
            core=CORE,
            version=__version__,
            cells=tuple(site.name for site in scenario.sites),
            origins=scenario.origins,
            classes=tuple(each.name for each in scenario.classes),
        )


def _refuse_to_go_on_without(watched: _Watched) -> None:
    """Whoever steers must do so to the end.

    Raises:
        LabError: It did not.
    """
    side = watched.side
    if side.steered is not None and not side.steered.child.is_running:
        tail = side.steered.child.tail()
        raise LabError(f"policy {side.role.name}: its process ended; its log ends: {tail}")
    if watched.steering is not None and watched.steering.done():
        error = watched.steering.exception()
        raise LabError(f"policy {side.role.name}: gave up: {error}") from error


def _lateness(p99_s: float) -> tuple[Mapping[str, str | float], ...]:
    """A line for the log, if requests were sent so late that the run means little."""
    if 1e3 * p99_s <= MOST_LATE_MS:
        return ()
    return ({"at_s": 0.0, "level": "warning", "event": "loadgen.late", "p99_s": p99_s},)
