"""This module is the planners against each other: descent, and HiGHS on the same market.

Each tick is planned by descent (warm: live plan, and the prices of the tick before) and by HiGHS,
warm (basis of the tick before, presolve off) and cold. Timed are the whole of `split` for
descent, compiling of the problem included; for HiGHS its run alone, without building the model.
Times are of the process's own cpu. The gap of descent is proven by its dual bound; that of HiGHS
is against the same bound. Memory is the peak of the whole process: of descent before HiGHS is
loaded, of HiGHS after it, so a planner's own is what lies between. HiGHS solves a problem that is
a little easier (`planning.linear`).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foreshard.planning.descent.bill import gap_ratio, objective
from foreshard.planning.descent.market import market_of
from foreshard.planning.descent.solver import Descent, DescentSolver
from foreshard.planning.edges import Edges
from foreshard.planning.formulation import Prices
from foreshard.planning.instance import Size, after, instance
from foreshard.planning.linear import Peer
from foreshard.planning.problem import Floats

__all__ = ["PLANNERS", "Asked", "Figures", "compete", "size_of"]

PLANNERS = ("descent", "highs_warm", "highs_cold")
PRIORITIES = ("critical", "normal", "sheddable")
# Cells up to which a fleet has so many classes, in so many regions.
SHAPES = ((30, 5, 1), (300, 20, 5), (3_000, 20, 20))
LARGEST = (50, 40)

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted.

    Attributes:
        size: Of the fleet.
        event: Of `instance.EVENTS`; what befalls the fleet in every tick.
        seed: Of the fleet and of what befalls it.
        ticks: Each begins at the same live plan.
        lasting: Whether ticks follow on each other instead, as they do while an event lasts.
        planners: Of `PLANNERS`; descent is always among them.
        limit_s: For one solve of HiGHS; a cold one that meets it is told as out of time.
    """

    size: Size
    event: str
    seed: int = 1
    ticks: int = 5
    lasting: bool = False
    planners: tuple[str, ...] = PLANNERS
    limit_s: float = 60.0


def size_of(cells: int, *, classes: int | None = None, candidates: int | None = None) -> Size:
    """A usual fleet of so many cells."""
    usual, regions = next(((k, r) for most, k, r in SHAPES if cells <= most), LARGEST)
    return Size(cells=cells, classes=classes or usual, regions=regions, candidates=candidates)


def compete(asked: Asked, tell: Callable[[str], None]) -> Figures:
    """All planners on the same ticks.

    Args:
        asked: What is wanted.
        tell: Is told in words how far it is.

    Returns:
        As `foreshard bench plan --json` writes it.
    """
    solver = DescentSolver()
    peers: dict[str, Peer] = {}
    tell(f"{asked.size.cells:,} cells: making the fleet and, the first time, compiling")
    edges = instance(asked.size, asked.seed)
    live = solver.split(edges)
    market, curves = market_of(edges, Prices())
    # What is compiled for the event's own ways is compiled before the clock runs.
    solver.split(after(edges, asked.event, live.shares, asked.seed + 99), live.prices)
    alone_mb = _peak_mb()
    for name in asked.planners[1:]:
        peers[name] = Peer(time_limit_s=asked.limit_s)
        if name == "highs_warm":
            tell("HiGHS finds the basis that it is warm from")
            peers[name].load(market, curves, is_warm=False)
            peers[name].solve(market)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in asked.planners}
    now, kept = edges, live
    for tick in range(asked.ticks):
        later = after(now, asked.event, kept.shares, asked.seed + 100 + tick)
        began_s = time.process_time()
        found = solver.split(later, kept.prices)
        took_s = time.process_time() - began_s
        rows["descent"].append(_row(later, (found.shares, found.shed), took_s))
        rows["descent"][-1] |= {
            "objective": found.objective,
            "gap_ratio": found.gap_ratio,
            "peak_mb": alone_mb,
        }
        told = [f"{asked.event} {tick + 1}/{asked.ticks}: descent {1e3 * took_s:,.1f} ms"]
        for name, peer in peers.items():
            if name == "highs_cold" and tick > 0:
                continue
            rows[name].append(_peer(peer, later, found, is_warm=name == "highs_warm"))
            told.append(f"{name} {rows[name][-1]['ms']:,.0f} ms")
        tell(", ".join(told))
        if asked.lasting:
            now, kept = _settled(edges, later), found
    planners = {name: _summary(found) for name, found in rows.items() if found}
    ours = planners["descent"]["ms_p50"]
    warm = planners.get("highs_warm", {}).get("ms_p50")
    return {
        "cells": asked.size.cells,
        "flows": len(edges.flows),
        "edges": int(edges.cell.size),
        "event": asked.event,
        "seed": asked.seed,
        "planners": planners,
        "ratio_to_highs_warm": None if warm is None else round(warm / ours, 1),
    }


def _settled(edges: Edges, later: Edges) -> Edges:
    """What the next tick of a lasting event begins with: it must not befall a fleet twice."""
    return edges if later.demand_rps.sum() > 1.1 * edges.demand_rps.sum() else later


def _peer(peer: Peer, edges: Edges, found: Descent, *, is_warm: bool) -> dict[str, Any]:
    market, curves = market_of(edges, Prices())
    peer.load(market, curves, is_warm=is_warm)
    began_s = time.process_time()
    split = peer.solve(market)
    took_s = time.process_time() - began_s
    if split is None:
        return {"ms": 1e3 * took_s, "is_out_of_time": True}
    cost = objective(market, curves, *split)
    row = _row(edges, split, took_s)
    return row | {"objective": cost, "gap_ratio": gap_ratio(market, curves, cost, found.bound)}


def _row(edges: Edges, split: tuple[Floats, Floats], took_s: float) -> dict[str, Any]:
    shares, shed = split
    whole = float(edges.demand_rps.sum())
    live = shares if edges.previous is None else edges.previous
    moved = edges.sums(np.abs(shares - live)) / 2.0
    refused = {}
    for level, name in enumerate(PRIORITIES):
        mine = edges.priority == level
        asked = max(float(edges.demand_rps[mine].sum()), 1e-9)
        refused[name] = float((edges.demand_rps * shed)[mine].sum()) / asked
    return {
        "ms": 1e3 * took_s,
        "max_utilisation": float(edges.utilisation(shares).max()),
        "moved_ratio": float(edges.demand_rps @ moved) / whole,
        "shed_by_priority": refused,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    """Of the whole process, so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1)


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Times by quantile, and of everything else the worst tick."""
    times = [row["ms"] for row in rows]
    done = [row for row in rows if "objective" in row]
    summary: dict[str, Any] = {
        "ms_p50": round(float(np.quantile(times, 0.5)), 3),
        "ms_p99": round(float(np.quantile(times, 0.99)), 3),
    }
    for name in ("objective", "gap_ratio", "max_utilisation", "moved_ratio", "peak_mb"):
        summary[name] = max((row[name] for row in done), default=None)
    summary["shed_by_priority"] = {
        name: max((row["shed_by_priority"][name] for row in done), default=None)
        for name in PRIORITIES
    }
    summary["out_of_time"] = len(rows) - len(done)
    return summary
