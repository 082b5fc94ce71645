"""This module is the demo: two equal fleets, same traffic, same faults, one of them steered.

Whatever is started is ended, in the reverse order, however the demo ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from foreshard import __version__
from foreshard.controller.process import Child, start
from foreshard.lab import records, service
from foreshard.lab.envoy import find_envoy
from foreshard.lab.faults import FaultSpec, play
from foreshard.lab.footprint import resident_mb
from foreshard.lab.live.crowd import LAST_ANSWERS_S, load_command, records_of
from foreshard.lab.live.edge import configured_envoy, foreshard, site_of, steered_envoy
from foreshard.lab.oracle import burden_of
from foreshard.lab.reactive import describe
from foreshard.lab.registry import Entry, registered
from foreshard.lab.report import FORMAT, page, parse, written
from foreshard.lab.scores import FORESHARD, REACTIVE, Conduct, Trial, report
from foreshard.lab.steering import Site, demo_config
from foreshard.lab.story import NATURAL_S, Story, story
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.traffic import arrivals
from foreshard.lab.watch import Watch
from foreshard.lab.webhook import Webhook
from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet

__all__ = ["DemoOptions", "Screen", "Wiring", "play_demo"]

# Two fleets of six processes settle, caches fill; then the story begins. A machine that was long
# in starting all that is long in starting the load generator too.
SETTLE_S, SETTLE_RATIO = 3.0, 0.5
ENDED_EARLY = "the demo was ended before its story began: there is nothing to report"
LOOK_S = 0.5
SHORT_RATIO = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a user may choose.

    Attributes:
        seed: Of arrivals, keys and request costs.
        duration_s: Length of the story; None = its natural one.
        story: One of `story.STORIES`.
        load: Mean utilisation of the fleets, in (0, 1); None = the story's own.
        forecast: Name of the forecaster; "none" = judge Foreshard without one.
        headless: No live view.
        json: Where the report's figures go; None = nowhere.
        html: Where the report's page goes; None = nowhere.
    """

    seed: int = 1
    duration_s: float | None = None
    story: str = "default"
    load: float | None = None
    forecast: str = "trend"
    headless: bool = False
    json: Path | None = None
    html: Path | None = None


class Wiring(Protocol):
    """What the demo must be told about Foreshard itself, which it starts as a user would."""

    def command(self, config: Path) -> Sequence[str]:
        """Program and arguments of `foreshard run`."""

    def bootstrap(self, config: Path, *, admin_port: int) -> str:
        """Bootstrap of an Envoy that it steers."""

    def status(self, config: Path) -> Mapping[str, Any] | None:
        """The engine's newest status; None while there is none."""


class Screen(Protocol):
    """Whoever shows the run while it lasts."""

    def stage(self, text: str) -> None:
        """A step of preparation or ending."""

    def show(self, watch: Watch) -> None:
        """The state of the run, about twice a second."""


async def play_demo(
    options: DemoOptions, wiring: Wiring, screen: Screen, *, stop: asyncio.Event
) -> Mapping[str, Any]:
    """Run the demo and return its report.

    Args:
        options: See there.
        wiring: How Foreshard is started and asked.
        screen: Shows progress.
        stop: Set it to end early; the report then covers what ran.

    Raises:
        LabError: Something could not be started; the sentence says what.
    """
    find_envoy()
    for kept in (options.json, options.html):
        _refuse_unwritable(kept)
    async with AsyncExitStack() as stack:
        began = time.monotonic()
        stage = await _unless(stop, _prepare(options, wiring, screen, stack))
        settle_s = max(SETTLE_S, SETTLE_RATIO * (time.monotonic() - began))
        return await _traffic(stage, stop, start_at_s=time.time() + settle_s)


def _refuse_unwritable(report: Path | None) -> None:
    """Say before the run, not after it, that its report cannot be kept."""
    if report is None:
        return
    folder = report.resolve().parent
    if report.is_dir() or not os.access(folder, os.W_OK):
        raise LabError(f"report {report} cannot be written; name a file in a folder that may be")


async def _unless(stop: asyncio.Event, preparing: Coroutine[Any, Any, _Stage]) -> _Stage:
    """The prepared stage; asked to stop, the preparation is broken off.

    Raises:
        LabError: It could not be prepared, or was broken off.
    """
    work, stopped = asyncio.ensure_future(preparing), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
    finally:
        work.cancel()
        stopped.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)
    raise LabError(ENDED_EARLY)


async def _prepare(
    options: DemoOptions, wiring: Wiring, screen: Screen, stack: AsyncExitStack
) -> _Stage:
    """Start everything but the traffic; whoever closes the stack ends it."""
    tale = story(options.story, options.duration_s, options.load)
    short_s = SHORT_RATIO * NATURAL_S[tale.name]
    if tale.faults and tale.duration_s < short_s:
        screen.stage(
            f"note: under {short_s:g} s faults grow faster than forecasts and restarts can "
            "follow; leads are shorter than in the default story"
        )
    directory = Path(tempfile.mkdtemp(prefix="foreshard-"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    screen.stage("starting 2 x 6 cells")
    reactive = await _fleet(stack, directory / "reactive")
    steered = await _fleet(stack, directory / "steered")
    doors = [await stack.enter_async_context(Webhook(fleet)) for fleet in (reactive, steered)]
    screen.stage("starting the reactive Envoy")
    targets = {
        REACTIVE: await configured_envoy(
            stack, reactive, service.CLASSES, name="envoy-reactive", directory=directory
        )
    }
    site = replace(
        site_of(stack, steered, directory, events=directory / "events.json", door=doors[1]),
        forecast=options.forecast,
    )
    config = directory / "demo.yaml"
    config.write_text(yaml.safe_dump(dict(demo_config(site)), sort_keys=False))
    site.events.write_text("[]")
    screen.stage("starting Foreshard and the Envoy it steers")
    child, targets[FORESHARD] = await _steered_envoy(stack, config, site, wiring, directory)
    stack.enter_context(
        registered(Entry(pid=os.getpid(), config=config, doors=tuple(d.url for d in doors)))
    )
    return _Stage(
        options=options,
        story=tale,
        wiring=wiring,
        screen=screen,
        config=config,
        events=site.events,
        steering_pid=child.pid,
        fleets={REACTIVE: reactive, FORESHARD: steered},
        targets=targets,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Everything that runs."""

    options: DemoOptions
    story: Story
    wiring: Wiring
    screen: Screen
    config: Path
    events: Path
    steering_pid: int
    fleets: Mapping[str, Supervisor]
    targets: Mapping[str, str]


async def _fleet(stack: AsyncExitStack, logs: Path) -> Supervisor:
    supervisor = Supervisor(logs=logs)
    return await stack.enter_async_context(supervisor)


async def _steered_envoy(
    stack: AsyncExitStack, config: Path, site: Site, wiring: Wiring, directory: Path
) -> tuple[Child, str]:
    async def has_plan() -> bool:
        status = wiring.status(config)
        return status is not None and status["version"] >= 1

    log = directory / "foreshard.log"
    child = await foreshard(stack, wiring.command(config), log=log, has_plan=has_plan)
    text = wiring.bootstrap(config, admin_port=int(site.admin.rpartition(":")[2]))
    url = await steered_envoy(stack, text, site, name="envoy-steered", directory=directory)
    return child, url


async def _traffic(stage: _Stage, stop: asyncio.Event, *, start_at_s: float) -> Mapping[str, Any]:
    out, log = stage.config.with_name("run.npz"), stage.config.with_name("loadgen.log")
    loadgen = await start(_load_command(stage, start_at_s, out), name="loadgen", log=log)
    watch = Watch(start_at_s=start_at_s, story=stage.story, log=log)
    begun: list[FaultSpec] = []
    player = asyncio.create_task(
        play(
            stage.story.faults,
            stage.fleets,
            start_at_s=start_at_s,
            events=stage.events,
            began=begun.append,
        )
    )
    try:
        while loadgen.is_running and not stop.is_set():
            await _look(stage, watch, begun)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=LOOK_S)
    finally:
        player.cancel()
        await asyncio.gather(player, return_exceptions=True)
        await loadgen.terminate(grace_s=LAST_ANSWERS_S)
    if not out.exists() and stop.is_set():
        raise LabError(ENDED_EARLY)
    run = records_of(out, loadgen)
    stage.screen.stage("counting")
    return _report(stage, watch, run)


def _load_command(stage: _Stage, start_at_s: float, out: Path) -> list[str]:
    return load_command(
        stage.targets,
        stage.fleets.values(),
        stage.story.demand(),
        seed=stage.options.seed,
        start_at_s=start_at_s,
        out=out,
    )


async def _look(stage: _Stage, watch: Watch, begun: Sequence[FaultSpec]) -> None:
    """Sample both fleets and show them."""
    up = {name: cell.is_up for name, cell in stage.fleets[REACTIVE].status().items()}
    watch.reactive(up, now_s=time.time())
    watch.steered(await asyncio.to_thread(stage.wiring.status, stage.config))
    watch.footprint(resident_mb(stage.steering_pid))
    watch.begun = tuple(begun)
    watch.read_load()
    stage.screen.show(watch)


def _report(stage: _Stage, watch: Watch, run: records.Run) -> Mapping[str, Any]:
    trial = Trial(
        seed=stage.options.seed,
        story=stage.story,
        classes=service.CLASSES,
        run=run,
        lives=watch.lives(),
        burden=burden_of(
            stage.story,
            arrivals(stage.story.demand(), seed=stage.options.seed),
            lives=watch.lives(),
        ),
    )
    found = report(trial, Conduct(**watch.conduct()))
    found |= {
        "format": FORMAT,
        "version": __version__,
        "cpus": os.cpu_count(),
        "load": stage.story.load,
        "forecast": stage.options.forecast,
        "reactive_net": describe(SafetyNet()),
        "time_scale": watch.time_scale(),
        **watch.timeline(),
    }
    text = written(found)
    if stage.options.json is not None:
        stage.options.json.write_text(text, encoding="utf-8")
    if stage.options.html is not None:
        stage.options.html.write_text(page(parse(text)), encoding="utf-8")
    return found
