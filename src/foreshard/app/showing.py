"""This module is the demo, wired to Foreshard as a user would wire it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foreshard.app.asking import engine_status
from foreshard.app.serving import bootstrap_of
from foreshard.app.signals import stop_on_signals
from foreshard.config import load
from foreshard.lab import registry
from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.demo import DemoOptions, Wiring, play_demo
from foreshard.lab.screen import screen_for
from foreshard.model.errors import LabError

__all__ = ["break_cell", "demo_wiring", "run_demo"]


class _Wiring:
    """How the demo starts and asks Foreshard: as a user would."""

    def command(self, config: Path) -> list[str]:
        return [sys.executable, "-m", "foreshard", "run", str(config)]

    def bootstrap(self, config: Path, *, admin_port: int) -> str:
        settings = load(config)
        region = settings.origins()[0]
        return bootstrap_of(settings, node_id="edge-1", admin_port=admin_port, region=region)

    def status(self, config: Path) -> Mapping[str, Any] | None:
        return engine_status(load(config))


def demo_wiring() -> Wiring:
    """How the demo starts and asks Foreshard."""
    return _Wiring()


def run_demo(options: DemoOptions) -> None:
    """Run the demo until its story ends, or a signal does.

    Raises:
        LabError: Something could not be started.
    """
    screen = screen_for(headless=options.headless)

    async def work(stop: asyncio.Event) -> None:
        with screen:
            report = await play_demo(options, demo_wiring(), screen, stop=stop)
        screen.summary(report, json=options.json, html=options.html)

    stop_on_signals(work)


def break_cell(cell: str, kind: str, *, duration_s: float, magnitude: float | None) -> None:
    """Begin a fault on both fleets of the running demo.

    Raises:
        LabError: No demo runs, or it refuses the fault.
    """
    kinds = [k.value for k in FaultKind]
    if kind not in kinds:
        raise LabError(f"fault kind {kind!r} is unknown; there are {', '.join(kinds)}")
    body: dict[str, Any] = {"cell": cell, "kind": kind, "duration_s": duration_s}
    if magnitude is not None:
        body["magnitude"] = magnitude

    async def work() -> None:
        for door in registry.newest().doors:
            await registry.ask(door, "/faults", body)

    asyncio.run(work())
