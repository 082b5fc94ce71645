"""This module is the live stage, wired to Foreshard as a user would wire it."""

from __future__ import annotations

import sys
from asyncio import Event
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import yaml

from foreshard.adapters.clock import SystemClock, ThreadExecutor
from foreshard.app.asking import engine_status
from foreshard.app.reaching import reach
from foreshard.app.serving import bootstrap_of
from foreshard.app.signals import stop_on_signals
from foreshard.app.trying import settings_for
from foreshard.config import ForecastSettings, load
from foreshard.lab.live.limits import refuse_unplayable
from foreshard.lab.live.ports import Ports, Wiring
from foreshard.lab.live.role import Process, Role, role_of
from foreshard.lab.live.stage import LiveRun, run_live
from foreshard.lab.reactive import SERVED_BY
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.steering import Site
from foreshard.model.errors import LabError

__all__ = ["live_role", "live_runs", "live_wiring"]

FORESHARD = "foreshard"
# Of real cells: a counter of cpu seconds, as their page has it.
BUSY = "cell_cpu_seconds_total"
# Gauges that no real cell has are not declared, or each look would be thought incomplete.
REAL_GAUGES = frozenset({"cpu", "connections", "memory", "disk"})


class _Wiring:
    """How the live stage starts and asks Foreshard: as a user would."""

    def config(self, scenario: Scenario, site: Site, *, forecast: str) -> str:
        settings = settings_for(scenario, forecast=forecast).model_dump(mode="json")
        nodes = {
            cell.name: [f"{node.host}:{node.port}" for node in cell.nodes]
            for cell in site.fleet.cells
        }
        gauges = [g for g in settings["scrape"]["gauges"] if g["resource"] in REAL_GAUGES]
        for gauge in gauges:
            if gauge["counter"]:
                gauge["used"] = {"metric": BUSY, "labels": {}}
        settings |= {
            "data_dir": str(site.data_dir),
            "cells": [cell | {"nodes": nodes[cell["name"]]} for cell in settings["cells"]],
            "scrape": settings["scrape"] | {"gauges": gauges},
            "balancers": [{"admin": site.admin, "origin": scenario.origins[0]}],
            "envoy": {
                "discovery": site.discovery,
                "listen": site.listen,
                "served_by_header": SERVED_BY,
            },
            "events_file": str(site.events),
            "driver": {"webhook": site.webhook},
        }
        return yaml.safe_dump(settings, sort_keys=False)

    def command(self, part: str, config: Path) -> list[str]:
        return [sys.executable, "-m", "foreshard", part, str(config)]

    def bootstrap(self, config: Path, *, admin_port: int) -> str:
        settings = load(config)
        region = settings.origins()[0]
        return bootstrap_of(settings, node_id="edge-1", admin_port=admin_port, region=region)

    def status(self, config: Path) -> Mapping[str, Any] | None:
        return engine_status(load(config))

    @asynccontextmanager
    async def ports(self, config: Path) -> AsyncIterator[Ports]:
        async with AsyncExitStack() as stack:
            clock, executor = SystemClock(), ThreadExecutor()
            stack.callback(executor.close)
            around = await reach(load(config), clock, stack)
            if around.events is None or around.driver is None:
                raise LabError(f"live: {config} names no events or no driver; name both")
            yield Ports(
                clock=clock,
                executor=executor,
                cells=around.cells,
                traffic=around.traffic,
                events=around.events,
                sink=around.sink,
                driver=around.driver,
            )


def live_wiring() -> Wiring:
    """How the live stage starts and asks Foreshard."""
    return _Wiring()


def live_role(name: str) -> Role:
    """The part of a policy, Foreshard's own processes included.

    Raises:
        LabError: There is no such policy, or it cannot steer a real Envoy.
    """
    own, _, forecast = name.partition("-")
    if own != FORESHARD:
        return role_of(name)
    known = (*sorted(entry_points(group="foreshard.forecasters").names), "none")
    if forecast and forecast not in known:
        named = ", ".join(f"{FORESHARD}-{each}" for each in known)
        raise LabError(f"policy {name!r} is unknown; there are {FORESHARD}, {named}")
    return Process(name=name, forecast=forecast or ForecastSettings().model)


def live_runs(
    scenario: Scenario,
    policies: Sequence[str],
    seeds: Sequence[int],
    *,
    side_by_side: int = 2,
    progress: Callable[[str, float], None] = lambda _, __: None,
) -> Iterator[RunRecord]:
    """Play a scenario in real time, seed after seed; a record as soon as its run is over.

    Policies that are not played side by side get the same arrivals and costs, not the same
    mood of the machine.

    Args:
        scenario: What happens.
        policies: By name.
        seeds: Of arrivals, keys and costs.
        side_by_side: How many fleets run at once; each takes half a core at the usual load.
        progress: Told what is going on, and how many seconds of the run are over.

    Raises:
        LabError: It cannot be played live, something could not be started, a policy gave up, or
            a signal ended it.
    """
    refuse_unplayable(scenario)
    roles = [live_role(name) for name in policies]
    for seed in seeds:
        for together in _groups(roles, side_by_side):
            wanted = LiveRun(scenario=scenario, roles=together, seed=seed, progress=progress)
            yield from _played(wanted)


def _groups(roles: Sequence[Role], size: int) -> Iterator[tuple[Role, ...]]:
    for start in range(0, len(roles), size):
        yield tuple(roles[start : start + size])


def _played(wanted: LiveRun) -> tuple[RunRecord, ...]:
    found: list[RunRecord] = []

    async def work(stop: Event) -> None:
        found.extend(await run_live(wanted, live_wiring(), stop=stop))

    stop_on_signals(work)
    return tuple(found)
