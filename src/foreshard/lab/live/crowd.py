"""This module is the load generator as a process of its own: its command line, and its end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from foreshard.controller.process import Child
from foreshard.lab import records, service
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.traffic import Demand
from foreshard.model.errors import LabError

__all__ = ["LAST_ANSWERS_S", "load_command", "records_of"]

# After the last arrival the slowest request may take its class's timeout and a second.
LAST_ANSWERS_S = 8.0


def load_command(
    targets: Mapping[str, str],
    fleets: Iterable[Supervisor],
    demand: Demand,
    *,
    seed: int,
    start_at_s: float,
    out: Path,
) -> list[str]:
    """Program and arguments that ask every fleet the same.

    Args:
        targets: Base URL of each fleet's Envoy, by name.
        fleets: All of them; answers tell by a node's address which cell served.
        demand: Of the shop's classes in their mix.
        seed: Of arrivals, keys and request costs.
        start_at_s: Seconds since the epoch.
        out: Where the records go.
    """
    nodes = {
        f"{node.host}:{node.port}": cell.name
        for fleet in fleets
        for cell in fleet.fleet.cells
        for node in cell.nodes
    }
    return [
        *(sys.executable, "-m", "foreshard.lab.loadgen"),
        *(f"--target={name}={url}" for name, url in targets.items()),
        *(f"--node={address}={cell}" for address, cell in nodes.items()),
        *("--rate-rps", str(demand.rate_rps), "--keys", str(demand.keys)),
        *("--swing", str(demand.swing), "--period-s", str(demand.period_s)),
        *(f"--surge={surge.text(list(service.MIX))}" for surge in demand.surges),
        *("--duration-s", str(demand.duration_s), "--seed", str(seed)),
        *("--start-at-s", str(start_at_s), "--out", str(out)),
    ]


def records_of(out: Path, loadgen: Child) -> records.Run:
    """What an ended load generator has seen.

    Raises:
        LabError: It left nothing.
    """
    if not out.exists():
        raise LabError(f"the load generator left no records; its log ends: {loadgen.tail()}")
    return records.load(out)
