"""This module is the planners against each other, at sizes from ten cells to ten thousand.

    make bench-plan ARGS="--cells 100 --cells 1000 --event weak --seed 3 --json plan.json"

Each tick is planned by descent (warm: live plan and the prices of the tick before) and by HiGHS
on the same market, warm (basis of the tick before, presolve off) and cold. Timed are `split`,
compiling of the problem included, for descent; for HiGHS its run alone, without building the
model. Times are of the process's own cpu. The gap of descent is proven by its dual bound; that
of HiGHS is against the same bound.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foreshard.planning.descent.bill import gap_ratio, objective
from foreshard.planning.descent.market import market_of
from foreshard.planning.descent.solver import Descent, DescentSolver
from foreshard.planning.edges import Edges
from foreshard.planning.formulation import Prices
from foreshard.planning.instance import EVENTS, Size, after, instance
from foreshard.planning.linear import Peer
from foreshard.planning.problem import Floats

__all__ = ["SIZES", "main", "measure"]

SIZES = {
    10: Size(cells=10, classes=5, regions=1),
    100: Size(cells=100, classes=20, regions=5),
    1_000: Size(cells=1_000, classes=20, regions=20),
    10_000: Size(cells=10_000, classes=50, regions=40),
}
# Cold HiGHS at more cells takes minutes; only when asked.
COLD_CELLS = 1_000
TICKS = 5
LIMIT_S = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for."""

    event: str
    seed: int
    ticks: int
    is_cold: bool
    is_warm: bool


def measure(size: Size, asked: Asked) -> dict[str, Any]:
    """All planners on the same ticks of one size and event."""
    solver = DescentSolver()
    edges = instance(size, asked.seed)
    live = solver.split(edges)
    peer = Peer(time_limit_s=LIMIT_S)
    if asked.is_warm:
        market, curves = market_of(edges, Prices())
        peer.load(market, curves, is_warm=False)
        peer.solve(market)
    rows: dict[str, list[dict[str, float]]] = {"descent": [], "highs_warm": [], "highs_cold": []}
    for tick in range(asked.ticks):
        later = after(edges, asked.event, live.shares, asked.seed + 100 + tick)
        began = time.process_time()
        found = solver.split(later, live.prices)
        rows["descent"].append(_row(later, found.shares, found.shed, found, began))
        if asked.is_warm:
            _peer(peer, later, found, rows["highs_warm"], is_warm=True)
        if asked.is_cold and tick == 0:
            cold = Peer(time_limit_s=LIMIT_S)
            _peer(cold, later, found, rows["highs_cold"], is_warm=False)
    planners = {name: _summary(found) for name, found in rows.items() if found}
    ours = planners["descent"]["ms_p50"]
    warm = planners.get("highs_warm", {}).get("ms_p50")
    return {
        "cells": size.cells,
        "flows": len(edges.flows),
        "edges": int(edges.cell.size),
        "event": asked.event,
        "seed": asked.seed,
        "planners": planners,
        "ratio_to_highs_warm": None if warm is None else round(warm / ours, 1),
    }


def _peer(
    peer: Peer, edges: Edges, found: Descent, rows: list[dict[str, float]], *, is_warm: bool
) -> None:
    market, curves = market_of(edges, Prices())
    peer.load(market, curves, is_warm=is_warm)
    began = time.process_time()
    split = peer.solve(market)
    if split is None:
        rows.append({"ms": 1e3 * LIMIT_S, "gap_ratio": float("inf")})
        return
    ms = 1e3 * (time.process_time() - began)
    row = _row(edges, split[0], split[1], found, began)
    cost = objective(market, curves, *split)
    gap = gap_ratio(market, cost, found.bound)
    rows.append(row | {"ms": ms, "objective": cost, "gap_ratio": gap})


def _row(
    edges: Edges, shares: Floats, shed: Floats, found: Descent, began: float
) -> dict[str, float]:
    ms = 1e3 * (time.process_time() - began)
    whole = float(edges.demand_rps.sum())
    live = shares if edges.previous is None else edges.previous
    moved = edges.sums(np.abs(shares - live)) / 2.0
    row = {
        "ms": ms,
        "objective": found.objective,
        "gap_ratio": found.gap_ratio,
        "max_utilisation": float(edges.utilisation(shares).max()),
        "moved_ratio": float(edges.demand_rps @ moved) / whole,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
    }
    for level, name in enumerate(("critical", "normal", "sheddable")):
        mine = edges.priority == level
        asked = max(float(edges.demand_rps[mine].sum()), 1e-9)
        row[f"shed_{name}"] = float((edges.demand_rps * shed)[mine].sum()) / asked
    return row


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    times = [row["ms"] for row in rows]
    summary: dict[str, Any] = {
        "ms_p50": round(float(np.quantile(times, 0.5)), 3),
        "ms_p99": round(float(np.quantile(times, 0.99)), 3),
    }
    for name in ("objective", "gap_ratio", "max_utilisation", "moved_ratio", "peak_mb"):
        values = [row[name] for row in rows if name in row]
        summary[name] = max(values) if values else None
    summary["shed_by_priority"] = {
        name: max((row.get(f"shed_{name}", 0.0) for row in rows), default=0.0)
        for name in ("critical", "normal", "sheddable")
    }
    return summary


def _table(results: list[dict[str, Any]]) -> str:
    head = f"{'cells':>6} {'edges':>7} {'event':<9} {'planner':<11} {'ms p50':>9} {'ms p99':>9} "
    head += (
        f"{'gap':>9} {'worst u':>8} {'moved':>7} {'shed c/n/s':>18} {'peak MB':>8} {'ratio':>6}"
    )
    lines = [head]
    for one in results:
        ours = one["planners"]["descent"]["ms_p50"]
        for name, p in one["planners"].items():
            shed = "/".join(f"{100 * v:.1f}" for v in p["shed_by_priority"].values())
            used = p["max_utilisation"] or float("nan")
            lines.append(
                f"{one['cells']:>6} {one['edges']:>7} {one['event']:<9} {name:<11} "
                f"{p['ms_p50']:>9.1f} {p['ms_p99']:>9.1f} {100 * p['gap_ratio']:>8.2f}% "
                f"{used:>8.4f} {100 * (p['moved_ratio'] or 0.0):>6.2f}% {shed:>18} "
                f"{p['peak_mb'] or 0.0:>8.0f} {p['ms_p50'] / ours:>6.1f}"
            )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", type=int, action="append", choices=sorted(SIZES))
    parser.add_argument("--event", action="append", choices=sorted(EVENTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ticks", type=int, default=TICKS)
    parser.add_argument("--cold-large", action="store_true", help="cold HiGHS at any size")
    parser.add_argument("--no-peer", action="store_true", help="descent alone")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure what is asked for and print it."""
    given = _options()
    results = []
    for cells in given.cells or (10, 100, 1_000):
        for event in given.event or EVENTS:
            asked = Asked(
                event=event,
                seed=given.seed,
                ticks=given.ticks,
                is_cold=not given.no_peer and (cells <= COLD_CELLS or given.cold_large),
                is_warm=not given.no_peer,
            )
            results.append(measure(SIZES[cells], asked))
    print(_table(results))  # noqa: T201 - a benchmark speaks on the terminal
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
