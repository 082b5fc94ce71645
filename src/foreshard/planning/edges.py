"""This module is a problem for fleets: only pairs of a flow and a cell that may serve it.

A dense problem of 2,000 flows and 10,000 cells is 20 million pairs, of which 0.4 % can ever
matter: a flow is served by cells that are near it and large enough together. Here a pair is an
*edge*, and arrays over edges are ordered by flow (compressed sparse rows). `Problem` stays the
question of small fleets; `edges_of` is the bridge.

Index letters: F flows, C cells, R resources, E edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import PlanningError
from foreshard.model.workload import Flow
from foreshard.planning.problem import (
    HARD_UTILISATION,
    SOFT_UTILISATION,
    Flags,
    Floats,
    LoadRisk,
    Problem,
)

__all__ = [
    "Edges",
    "Ints",
    "balanced_reference",
    "candidate_count",
    "dense_shares",
    "edges_of",
    "mean_cells",
]

Ints = NDArray[np.int64]

# Measured: 32 candidates fixed for every flow shed 7 % at 1,000 cells with few, large flows.
LEAST_CANDIDATES = 32
# Candidates a flow gets for each mean cell that it would fill.
CANDIDATES_PER_CELL = 5.0
SUM_TOLERANCE = 1e-6
# A quiet cell may be this much fuller than the mean of the fleet.
EVEN_MARGIN = 1.06


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """How should every flow be split over its candidate cells?

    Attributes:
        cells: [C] names.
        resources: [R] names.
        flows: [F].
        start: [F + 1] where each flow's edges begin; every flow has at least one.
        cell: [E] index of the cell; at most once per flow.
        demand_rps: [F] >= 0.
        needs: [F, R] what one request costs.
        capacity: [C, R] > 0; inf = bounds nothing.
        weight: [F] > 0.
        priority: [F] 0 = critical, 2 and more = sheddable.
        keyed: [F].
        reference: [E] the quiet split; sums to 1 per flow (or to 0).
        latency_s: [E] round trip.
        standing_risk: [C] P(failure) that no relief cures.
        class_risk: [E] P that the flow alone breaches its objective there.
        load_risk: P as a function of load; None = nothing is known.
        previous: [E] live shares; None = nothing is live.
        lower: [E] bounds on shares.
        upper: [E] 0 = the cell may take nothing of the flow.
        least_shed: [F].
        move_cost: [F] seconds for which a moved share counts as bad.
        zone: [C] index of the failure domain beyond the cell; -1 = none. Default: none.
        loss_p: [C] predicted probability that the cell is lost; default 0.
        soft_utilisation: Above this queues hurt.
        hard_utilisation: Above this nothing is placed.
        risk_floor: Risk below this is noise.
    """

    cells: tuple[str, ...]
    resources: tuple[str, ...]
    flows: tuple[Flow, ...]
    start: Ints
    cell: Ints
    demand_rps: Floats
    needs: Floats
    capacity: Floats
    weight: Floats
    priority: Ints
    keyed: Flags
    reference: Floats
    latency_s: Floats
    standing_risk: Floats
    class_risk: Floats
    load_risk: LoadRisk | None = None
    previous: Floats | None = None
    lower: Floats
    upper: Floats
    least_shed: Floats
    move_cost: Floats
    zone: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    loss_p: Floats = field(default_factory=lambda: np.empty(0))
    soft_utilisation: float = SOFT_UTILISATION
    hard_utilisation: float = HARD_UTILISATION
    risk_floor: float = 0.05

    def __post_init__(self) -> None:
        if self.zone.size == 0:
            object.__setattr__(self, "zone", np.full(len(self.cells), -1, dtype=np.int64))
        if self.loss_p.size == 0:
            object.__setattr__(self, "loss_p", np.zeros(len(self.cells)))
        self._check_shapes()
        self._check_values()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(F, C, R)."""
        return len(self.flows), len(self.cells), len(self.resources)

    @property
    def flow(self) -> Ints:
        """[E] index of the flow of each edge."""
        return np.repeat(np.arange(len(self.flows)), np.diff(self.start))

    def sums(self, values: Floats) -> Floats:
        """[F] sums of [E] values over the edges of each flow."""
        total: Floats = np.add.reduceat(values, self.start[:-1])
        return total

    def utilisation(self, shares: Floats) -> Floats:
        """[C, R] utilisation under shares [E]."""
        rates = shares * self.demand_rps[self.flow]
        c = len(self.cells)
        work = [
            np.bincount(self.cell, rates * self.needs[self.flow, r], minlength=c)
            for r in range(len(self.resources))
        ]
        used: Floats = np.stack(work, axis=1) / self.capacity
        return used

    def _check_shapes(self) -> None:
        f, c, r = self.shape
        if not (f and c and r):
            raise PlanningError(f"edges: {f} flows, {c} cells, {r} resources: none may be 0")
        e = self.cell.size
        rising = self.start.shape == (f + 1,) and bool((np.diff(self.start) > 0).all())
        if not rising or self.start[0] != 0 or self.start[-1] != e:
            raise PlanningError(
                f"edges: start must rise from 0 to {e} in {f} steps, so that every flow has a "
                "candidate cell"
            )
        if self.cell.min() < 0 or self.cell.max() >= c:
            raise PlanningError(f"edges: cell must lie in 0..{c - 1}")
        for name, shape in (
            *((n, (f,)) for n in ("demand_rps", "weight", "priority", "keyed", "least_shed")),
            *((n, (e,)) for n in ("reference", "latency_s", "class_risk", "lower", "upper")),
            ("needs", (f, r)),
            ("capacity", (c, r)),
            ("standing_risk", (c,)),
            ("move_cost", (f,)),
            ("zone", (c,)),
            ("loss_p", (c,)),
        ):
            if getattr(self, name).shape != shape:
                given = getattr(self, name).shape
                raise PlanningError(f"edges: {name} has shape {given}, must be {shape}")

    def _check_values(self) -> None:
        for name in ("demand_rps", "needs", "latency_s", "move_cost", "reference", "lower"):
            array = getattr(self, name)
            if not bool((np.isfinite(array) & (array >= 0.0)).all()):
                raise PlanningError(f"edges: {name} has {array.min()}, must be finite and >= 0")
        if not bool((self.capacity > 0.0).all()):
            raise PlanningError(f"edges: capacity has {self.capacity.min()}, must be > 0")
        if bool((self.lower > self.upper).any()):
            e = int(np.argmax(self.lower - self.upper))
            raise PlanningError(
                f"edges: lower bound {self.lower[e]} of edge {e} is above upper {self.upper[e]}"
            )
        least = self.sums(self.lower) + self.least_shed
        if float(least.max()) > 1.0 + SUM_TOLERANCE:
            raise PlanningError(
                f"edges: lower bounds and least_shed sum to {least.max()}, must not exceed 1"
            )


def mean_cells(demand_rps: Floats, needs: Floats, capacity: Floats) -> Floats:
    """[F] how many mean cells each flow would fill, by its scarcest resource.

    Args:
        demand_rps: [F].
        needs: [F, R].
        capacity: [C, R].
    """
    finite = np.isfinite(capacity)
    mean = np.where(finite, capacity, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite.any(axis=0), mean, np.inf)
    filled: Floats = (demand_rps[:, None] * needs / mean).max(axis=1)
    return filled


def candidate_count(demand_rps: Floats, needs: Floats, capacity: Floats) -> Ints:
    """[F] how many candidate cells a flow needs: 32, or 5 times what it fills.

    Args:
        demand_rps: [F].
        needs: [F, R].
        capacity: [C, R].
    """
    filled = mean_cells(demand_rps, needs, capacity)
    wanted = np.ceil(CANDIDATES_PER_CELL * filled).astype(np.int64)
    return np.minimum(np.maximum(wanted, LEAST_CANDIDATES), len(capacity))


def balanced_reference(edges: Edges, pull: Floats, rounds: int = 60) -> Floats:
    """The quiet split of a fleet: near cells first, and no cell fuller than the others.

    The gravity model of transport planning, balanced (A. G. Wilson 1967): shares are
    `pull x balance of the cell`, and balances are found by turns so that each cell's fullest
    resource is at most 6 % over the mean of the fleet. It moves little when demand does, so that
    it may be made anew once in a while; it is no answer to risk or overload.

    Args:
        edges: Their reference is not read.
        pull: [E] > 0, how much a flow likes a cell.
        rounds: Of balancing.

    Returns:
        [E] summing to 1 per flow; 0 where the upper bound is 0.
    """
    flow = edges.flow
    open_ = edges.upper > 0.0
    bounded = np.isfinite(edges.capacity).all(axis=0)
    capacity = np.where(np.isfinite(edges.capacity), edges.capacity, 1.0)[:, bounded]
    work = (edges.demand_rps[:, None] * edges.needs)[:, bounded]
    mean = work.sum(axis=0) / capacity.sum(axis=0)
    c = len(edges.cells)
    balance = np.ones(c)
    shares = np.zeros(flow.size)
    for _ in range(rounds):
        shares = np.where(open_, pull * balance[edges.cell], 0.0)
        total = edges.sums(shares)
        shares = shares / np.where(total > 0.0, total, 1.0)[flow]
        full = np.zeros(c)
        for r in np.flatnonzero(mean > 0.0):
            load = np.bincount(edges.cell, shares * work[flow, r], minlength=c)
            full = np.maximum(full, load / capacity[:, r] / mean[r])
        balance = np.minimum(1.0, balance / np.clip(full / EVEN_MARGIN, 0.5, 2.0))
    return shares


def edges_of(problem: Problem) -> Edges:
    """The edges of a dense problem: every cell that may take some of a flow.

    Where data is held (`custody`), traffic stays with the data: who plans hand-overs needs the
    exact planner.
    """
    lower, upper = problem.lower.copy(), problem.upper.copy()
    for custody in problem.custody:
        flows = list(custody.flows)
        upper[flows] = np.minimum(upper[flows], np.maximum(custody.held, lower[flows]))
    kept = problem.eligible & ((upper > 0.0) | (problem.reference > 0.0))
    # A flow that no cell takes has edges all the same; their upper bound is 0.
    kept[~kept.any(axis=1)] = problem.eligible[~kept.any(axis=1)]
    flow, cell = np.nonzero(kept)
    start = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    previous = problem.previous
    return Edges(
        cells=problem.cells,
        resources=problem.resources,
        flows=problem.flows,
        start=start,
        cell=cell,
        demand_rps=problem.demand_rps,
        needs=problem.needs,
        capacity=problem.capacity,
        weight=problem.weight,
        priority=problem.priority,
        keyed=problem.keyed,
        reference=problem.reference[flow, cell],
        latency_s=problem.latency_s[flow, cell],
        standing_risk=problem.standing_risk,
        class_risk=problem.class_risk[flow, cell],
        load_risk=problem.load_risk,
        previous=None if previous is None else previous[flow, cell],
        lower=lower[flow, cell],
        upper=upper[flow, cell],
        least_shed=problem.least_shed,
        move_cost=problem.move_cost,
        soft_utilisation=problem.soft_utilisation,
        hard_utilisation=problem.hard_utilisation,
        risk_floor=problem.risk_floor,
    )


def dense_shares(edges: Edges, shares: Floats) -> Floats:
    """[F, C] of shares [E]; 0 where there is no edge."""
    f, c, _ = edges.shape
    full = np.zeros((f, c))
    full[edges.flow, edges.cell] = shares
    return full
