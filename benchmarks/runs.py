"""This module is one run of the demo, kept so that it is not run again for the same commit.

A run whose load generator was late is put aside in place of kept: the machine was busy, and
the next call tries again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["MOST_LATE_MS", "RUNS", "all_of", "seeds"]

# From here on (p99) a late load generator is part of what is measured.
MOST_LATE_MS = 20.0

RUNS = Path("build/bench")


def all_of(
    wanted: Iterable[tuple[str, list[str]]], *, fresh: bool
) -> list[tuple[str, dict[str, Any]]]:
    """The reports of runs by name, one after the other; what was finished before is read.

    Args:
        wanted: Names and arguments of `foreshard demo`.
        fresh: Forget all finished runs first.
    """
    if fresh:
        shutil.rmtree(RUNS, ignore_errors=True)
    runs = RUNS / _commit()
    runs.mkdir(parents=True, exist_ok=True)
    asked = list(wanted)
    reports = []
    for number, (name, args) in enumerate(asked, start=1):
        sys.stderr.write(f"[{number}/{len(asked)}] {name}\n")
        reports.append((name, _run(runs, name, args)))
    return reports


def seeds(text: str) -> range:
    """What `1-5` or `3` means."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unversioned"


def _run(runs: Path, name: str, args: list[str]) -> dict[str, Any]:
    path = runs / f"{name}.json"
    if not path.exists():
        command = [sys.executable, "-m", "foreshard", "demo", "--headless"]
        with (runs / f"{name}.log").open("w") as log:
            subprocess.run(
                [*command, *args, "--json", str(path)], check=True, stdout=log, stderr=log
            )
    report: dict[str, Any] = json.loads(path.read_text())
    if not report["loadgen_lateness_ms_p99"] < MOST_LATE_MS:
        path.replace(path.with_suffix(".late.json"))
    return report
