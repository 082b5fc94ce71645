"""This module is the planners against each other, at sizes from ten cells to ten thousand.

    make bench-plan ARGS="--cells 100 --cells 1000 --event weak --seed 3 --json plan.json"

The table of `foreshard bench plan` for many sizes and events at once; see `lab.planning_bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from foreshard.lab.planning_bench.contest import PLANNERS, Asked, compete, size_of
from foreshard.planning.instance import EVENTS, Size

__all__ = ["SIZES", "main"]

SIZES = {
    "10": size_of(10),
    "100": size_of(100),
    "1000": size_of(1_000),
    "1000-wide": Size(cells=1_000, classes=100, regions=20),
    "10000": size_of(10_000),
    "10000-wide": Size(cells=10_000, classes=50, regions=40, candidates=120),
}
# From this many cells on HiGHS needs minutes when it is cold; only when asked.
COLD_CELLS = 1_000
# From this many on it is left out: it needs gigabytes.
PEER_CELLS = 10_000


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cells", action="append", choices=list(SIZES))
    parser.add_argument("--event", action="append", choices=sorted(EVENTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ticks", type=int, default=5)
    parser.add_argument("--lasting", action="store_true", help="ticks follow on each other")
    parser.add_argument("--large", action="store_true", help="HiGHS at any size, cold as well")
    parser.add_argument("--no-peer", action="store_true", help="descent alone")
    parser.add_argument("--limit-s", type=float, default=200.0, help="for one solve of HiGHS")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure what is asked for and print it."""
    given = _options()
    results = []
    for name in given.cells or SIZES:
        size = SIZES[name]
        peers = PLANNERS[1:]
        if not given.large:
            peers = tuple(
                peer
                for peer in peers
                if size.cells < PEER_CELLS and (peer == "highs_warm" or size.cells <= COLD_CELLS)
            )
        for event in given.event or EVENTS:
            asked = Asked(
                size=size,
                event=event,
                seed=given.seed,
                ticks=given.ticks,
                lasting=given.lasting,
                planners=(PLANNERS[0], *(() if given.no_peer else peers)),
                limit_s=given.limit_s,
            )
            results.append(compete(asked, tell=_tell))
    sys.stdout.write(_table(results))
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _table(results: list[dict[str, Any]]) -> str:
    head = ("cells", "edges", "event", "planner", "ms p50", "ms p99", "gap", "fullest")
    head = (*head, "moved", "shed c/n/s", "peak MB", "of descent")
    lines = [head, ("---",) * len(head)]
    for one in results:
        ours = one["planners"]["descent"]["ms_p50"]
        for name, p in one["planners"].items():
            row = (
                f"{one['cells']:,}",
                f"{one['edges']:,}",
                one["event"],
                name,
                f"{p['ms_p50']:,.1f}",
                f"{p['ms_p99']:,.1f}",
            )
            if p["objective"] is None:
                lines.append((*row, "out of time", "", "", "", "", ""))
                continue
            shed = "/".join(f"{100 * v:.1f}" for v in p["shed_by_priority"].values())
            lines.append(
                (
                    *row,
                    f"{100 * p['gap_ratio']:.2f} %",
                    f"{p['max_utilisation']:.4f}",
                    f"{100 * p['moved_ratio']:.2f} %",
                    f"{shed} %",
                    f"{p['peak_mb']:.0f}",
                    f"{p['ms_p50'] / ours:.1f} x",
                )
            )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
