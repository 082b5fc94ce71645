"""This module is how the samples are recorded: one run of the demo, kept where it tells most.

    .venv/bin/python -m docs.machinery.recording

Takes four minutes on a machine that has nothing else to do, and rewrites `docs/samples`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from docs.machinery.samples import SAMPLES, SCREEN_S
from foreshard.adapters.store.reading import SqliteReader
from foreshard.app.places import state_dir
from foreshard.app.showing import demo_wiring
from foreshard.config import load
from foreshard.lab import registry
from foreshard.lab.demo import DemoOptions, play_demo
from foreshard.lab.screen import PlainScreen
from foreshard.lab.watch import Watch
from foreshard.model.errors import StoreError

__all__ = ["main"]

# A run in which requests are sent later than this (p99) proves nothing.
MOST_LATE_MS = 20.0
# Decisions of the default story that show every kind of line.
KEPT = (
    "cell.doubted",
    "cell.evacuated",
    "cell.recycled",
    "cell.proved",
    "class.shunned",
    "cell.lightened",
    "maintenance.ahead",
    "cell.died",
)


class _Recorder(PlainScreen):
    """A screen that also writes down what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Mapping[str, Any]] = {}

    def show(self, watch: Watch) -> None:
        super().show(watch)
        status = watch.status
        if status is None:
            return
        at_s = status["now_s"] - watch.start_at_s
        if at_s >= SCREEN_S and "screen" not in self.kept:
            self.kept["screen"] = _seen(watch, at_s)
        self._keep_reasons(status)

    def _keep_reasons(self, status: Mapping[str, Any]) -> None:
        try:
            with SqliteReader(state_dir(load(registry.newest().config))) as reader:
                for cell in status["cells"]:
                    record = reader.latest(cell)
                    if record is not None and record["kept"]["last_s"] >= status["now_s"] - 2.0:
                        self._keep(cell, record, status)
        except StoreError as error:
            sys.stderr.write(f"{error}\n")

    def _keep(self, cell: str, record: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        reasons = record["decision"]["routing"]["because"]
        codes = {r["code"] for r in reasons if r["subject"] == cell}
        for code in (c for c in KEPT if c in codes and f"why-{c}" not in self.kept):
            inputs = {"plan_before": record["inputs"].get("plan_before")}
            now = {"now_s": status["now_s"], "cells": {cell: status["cells"][cell]}}
            kept = {**record, "inputs": inputs}
            self.kept[f"why-{code}"] = {"cell": cell, "record": kept, "status": now}


def _seen(watch: Watch, at_s: float) -> Mapping[str, Any]:
    assert watch.status is not None  # noqa: S101 - shown only when there is one
    said = [{**e, "at_s": e["at_s"] - watch.start_at_s} for e in watch.said()]
    return {
        "at_s": at_s,
        "status": {**watch.status, "timeline": []},
        "said": said,
        "load": watch.load,
        "totals": watch.totals,
        "begun": len(watch.begun),
    }


def _write(name: str, sample: Mapping[str, Any]) -> None:
    SAMPLES.mkdir(exist_ok=True)
    path = SAMPLES / f"{name}.json"
    path.write_text(json.dumps(sample, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Play the default story once and keep its samples."""
    options = DemoOptions(seed=1, headless=True)
    screen = _Recorder()
    found = asyncio.run(play_demo(options, demo_wiring(), screen, stop=asyncio.Event()))
    late_ms = found["loadgen_lateness_ms_p99"]
    if late_ms > MOST_LATE_MS:
        sys.exit(
            f"requests were sent {late_ms:.0f} ms late: the machine was busy, record it again"
        )
    for name, sample in screen.kept.items():
        _write(name, sample)


if __name__ == "__main__":
    main()
