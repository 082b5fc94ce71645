"""This module is one run: a scenario, a policy and a seed, from before the first request on.

Everything in it happens on virtual time; the same scenario, policy, seed and version give the
same record, bit for bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, NoReturn

import numpy as np

from foreshard import __version__
from foreshard.lab.policy.policy import Policy, Stage, Truth
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.actuators import Proxies, WorldCellDriver, WorldRouteSink
from foreshard.lab.simulation.canonical import text_of
from foreshard.lab.simulation.cell_source import WorldCellSource
from foreshard.lab.simulation.diary import Diary
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.hearing import heard
from foreshard.lab.simulation.plant import Ledger, Plant
from foreshard.lab.simulation.record import Played, RunRecord
from foreshard.lab.simulation.shares import SharesLog
from foreshard.lab.simulation.sources import WorldEventSource, WorldTrafficSource
from foreshard.lab.simulation.virtual_time import VirtualClock, VirtualExecutor, VirtualLoop
from foreshard.lab.simulation.weather import Weather
from foreshard.lab.simulation.world import STEP_S, Sky, World
from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet

__all__ = ["Core", "run", "weather_of"]

# Far from 0, which is "unknown" for a start; near enough for timers to be exact in doubles.
START_S = 1_000_000.0
# A policy gives out its first table before the first request.
LEAD_S = 2.0
# Whoever looks once a second looks at another moment of it in each seed: scenarios begin their
# faults on whole seconds, and nobody should be there just in time.
PHASES = 10
# A policy that was told to stop may finish what it began.
GRACE_S = 60.0
PROGRESS_S = 10.0
# From the start of a forecast to its arrival: measured with the real engine, some 100 ms with
# 1,000 cells; a second core that is busy doubles it.
THINKING_S = 0.2


def weather_of(scenario: Scenario, seed: int) -> tuple[Sky, Truth]:
    """The weather that a scenario declares, and its whole schedule."""
    weather = Weather(scenario, seed=seed)
    return weather, Foresight(weather)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What simulates.

    Attributes:
        name: Of the plant, on the record.
        plant: Makes one, for a scenario and a seed.
        sky: Makes the weather for the same, and the truth about it.
        thinking_s: Virtual time that a forecast takes.
    """

    name: str
    plant: Callable[[Scenario, int], Plant]
    sky: Callable[[Scenario, int], tuple[Sky, Truth]] = weather_of
    thinking_s: float = THINKING_S


def run(
    scenario: Scenario,
    policy: Policy,
    *,
    seed: int,
    core: Core,
    progress: Callable[[float], None] = lambda _: None,
    is_told: bool = False,
) -> RunRecord:
    """Play a scenario under a policy.

    Args:
        scenario: What happens.
        policy: Who steers.
        seed: Of arrivals, weather, telemetry and the policy's own chance.
        core: What simulates.
        progress: Told now and then how many virtual seconds are done.
        is_told: Whether the policy is told the truth: the oracle, and nobody else.

    Raises:
        LabError: The policy gave up, or nothing would ever happen again.
    """
    began, began_cpu = perf_counter(), process_time()
    sky, truth = core.sky(scenario, seed)
    world = World(scenario, core.plant(scenario, seed), sky, start_s=START_S)
    ready = perf_counter()
    world_s = 0.0

    def advance(to_s: float) -> None:
        nonlocal world_s
        before = perf_counter()
        world.advance(to_s)
        world_s += perf_counter() - before

    phase_s = int(np.random.default_rng([seed, 100]).integers(1, PHASES)) * STEP_S
    loop = VirtualLoop(start_s=START_S - LEAD_S - phase_s, advance=advance)
    told = truth if is_told else None
    stage, diary, shares = _stage(world, loop, seed=seed, core=core, truth=told)
    with heard(lambda: round(loop.time() - START_S, 6)) as log:
        _play(loop, _steered(stage, policy, progress))
    steered = perf_counter()
    ledger: Ledger = world.plant.close()
    ended = perf_counter()
    return RunRecord(
        played=_played(scenario, policy, seed, core),
        ledger=ledger,
        shares=shares.shares(),
        said=tuple(diary.said),
        risk=diary.risk,
        lives=tuple(world.lives),
        log=tuple(log),
        counts={
            "decisions": diary.decisions,
            "acts": diary.acts,
            "unsaid": diary.unsaid,
            **{f"foreseen by {model}": n for model, n in sorted(diary.foreseen.items())},
        },
        cost_s={
            "setting_up": ready - began,
            "world": world_s + ended - steered,
            "steering": steered - ready - world_s,
            "whole": ended - began,
            "cpu": process_time() - began_cpu,
        },
    )


def _stage(
    world: World, loop: VirtualLoop, *, seed: int, core: Core, truth: Truth | None
) -> tuple[Stage, Diary, SharesLog]:
    scenario, clock = world.scenario, VirtualClock(loop)
    fleet = scenario.fleet()
    # One stream each, so that what one asks for changes nothing for the others.
    of_cells, of_traffic = (np.random.default_rng([seed, stream]) for stream in (101, 102))
    shares = SharesLog(len(scenario.origins), len(fleet.cells), len(scenario.offers))
    diary = Diary(fleet.names, start_s=world.start_s)
    proxies = Proxies(world, clock, note=shares.note)
    stage = Stage(
        scenario=scenario,
        fleet=fleet,
        start_s=world.start_s,
        clock=clock,
        executor=VirtualExecutor(clock, delay_s=core.thinking_s),
        cells=WorldCellSource(world, clock, rng=of_cells),
        traffic=WorldTrafficSource(world, clock, rng=of_traffic),
        events=WorldEventSource(world),
        sink=WorldRouteSink(proxies, world, clock, net=SafetyNet()),
        balancer=proxies,
        driver=WorldCellDriver(world, clock),
        store=diary,
        truth=truth,
        seed=seed,
    )
    return stage, diary, shares


def _play(loop: VirtualLoop, playing: Any) -> None:  # noqa: ANN401 - a coroutine, of no result
    """Run a coroutine to its end on a loop, and end the loop."""
    broken: list[str] = []

    def note(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        broken.append(f"{context['message']}: {context.get('exception')!r}")

    loop.set_exception_handler(note)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(playing)
    if broken:
        raise LabError(f"run: a task of the policy failed unseen: {broken[0]}")


async def _steered(stage: Stage, policy: Policy, progress: Callable[[float], None]) -> None:
    """Let the policy steer from before the first request to the last."""
    stop = asyncio.Event()
    steering = asyncio.create_task(policy.steer(stage, stop), name=policy.name)
    end_s = stage.start_s + stage.scenario.duration_s
    now_s = stage.clock.now_s
    while now_s() < end_s:
        pause_s = min(PROGRESS_S, end_s - now_s())
        await asyncio.wait({steering}, timeout=pause_s)
        if steering.done():
            _gave_up(policy, steering, now_s() - stage.start_s)
        progress(max(0.0, now_s() - stage.start_s))
    stop.set()
    await asyncio.wait({steering}, timeout=GRACE_S)
    if not steering.done():
        raise LabError(f"policy {policy.name}: still runs {GRACE_S:g} s after it was told to stop")
    await steering


def _gave_up(policy: Policy, steering: asyncio.Task[None], at_s: float) -> NoReturn:
    error = steering.exception()
    if error is not None:
        raise error
    raise LabError(
        f"policy {policy.name}: gave up {at_s:g} s into the scenario; it must steer until told "
        "to stop"
    )


def _played(scenario: Scenario, policy: Policy, seed: int, core: Core) -> Played:
    return Played(
        scenario=scenario.name,
        text=text_of(scenario),
        seed=seed,
        policy=policy.name,
        core=core.name,
        version=__version__,
        cells=tuple(site.name for site in scenario.sites),
        origins=scenario.origins,
        classes=tuple(each.name for each in scenario.classes),
    )
