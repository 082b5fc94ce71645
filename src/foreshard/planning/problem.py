"""This module is what a planner is asked: demand, capacity, risk and bounds, as arrays.

Index letters used throughout: F flows, C cells, R resources, L points of the risk curves.
Everything that could make a problem meaningless is refused here, in words, so that a solver
only ever sees problems that have an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import PlanningError
from foreshard.model.workload import Flow

__all__ = [
    "HARD_UTILISATION",
    "SOFT_UTILISATION",
    "Custody",
    "Flags",
    "Floats",
    "LoadRisk",
    "Problem",
    "reference_shares",
    "size_of",
    "work_of",
    "work_per_request",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Above this queues hurt.
SOFT_UTILISATION = 0.85
# Above this nothing is placed.
HARD_UTILISATION = 0.97
# Shares pass through text and solvers; their feasibility tolerance is 1e-7.
SUM_TOLERANCE = 1e-6


def _unset() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadRisk:
    """P(failure) as a function of load, for every cell.

    Attributes:
        loads: [L] multiples of the present load, rising from 0.
        p: [C, L] probability at each, in [0, 1], never falling along L. It may contain the
            part that no relief cures: planners only price what is above `standing_risk`.
        present_work: [C] what load 1 means, as returned by `work_of` for the present rates.
            A cell whose present work is 0 has no load response.
    """

    loads: Floats
    p: Floats
    present_work: Floats

    def __post_init__(self) -> None:
        if self.loads.size < 2 or self.loads[0] != 0.0 or bool((np.diff(self.loads) <= 0).any()):
            raise PlanningError(f"load_risk: loads {self.loads} must rise strictly from 0")
        if self.p.shape != (self.present_work.size, self.loads.size):
            raise PlanningError(
                f"load_risk: p has shape {self.p.shape}, must be "
                f"({self.present_work.size}, {self.loads.size})"
            )
        if not bool(((self.p >= 0.0) & (self.p <= 1.0)).all()):
            raise PlanningError("load_risk: p must lie in [0, 1]")
        if bool((np.diff(self.p, axis=1) < -SUM_TOLERANCE).any()):
            raise PlanningError("load_risk: p must not fall with load")
        if not bool((np.isfinite(self.present_work) & (self.present_work >= 0.0)).all()):
            raise PlanningError(f"load_risk: present_work is {self.present_work}, must be >= 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Custody:
    """A class whose data must move before its traffic does; all its flows are split alike.

    Bounds on its shares are wishes with a price, for what data allows comes first: a share over
    `most` counts as failing, one under `least` as worth a move.

    Attributes:
        flows: Indices of its flows.
        held: [C] part of its slots that each cell holds; sums to 1.
        ways: [C, C] whether slots of the first may move to the second.
        least: [C] what a cell should have.
        most: [C] what a cell should have at most.
    """

    flows: tuple[int, ...]
    held: Floats
    ways: Flags
    least: Floats
    most: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """How should every flow be split over the cells?

    Arrays are copied and frozen. Those with a default may be left out.

    Attributes:
        cells: [C] names.
        resources: [R] names.
        flows: [F].
        demand_rps: [F] requests a second that arrive; >= 0.
        needs: [F, R] what one request costs; >= 0.
        capacity: [C, R] what a cell can really offer a second; > 0, inf = bounds nothing. A
            cell that can offer nothing is one that is not eligible.
        eligible: [F, C] whether the cell may serve the flow at all.
        weight: [F] how much one bad request counts; > 0.
        priority: [F] 0 = critical, shed last; 2 and more = sheddable, shed first.
        keyed: [F] whether moving a share moves keys away from their home.
        reference: [F, C] the quiet split; rows sum to 1 (or to 0: no cell takes the flow).
        latency_s: [F, C] round trip from the origin; default 0.
        standing_risk: [C] P(failure) that no relief cures, in [0, 1]; default 0.
        class_risk: [F, C] P that this flow alone breaches its objective there; default 0.
        load_risk: P as a function of load; default none.
        previous: [F, C] the shares that are live; default none (nothing to churn).
        lower: [F, C] bounds on shares of demand (half before whole); default 0.
        upper: [F, C] (slow return, evacuation); default 1 where eligible; always 0 elsewhere.
        least_shed: [F] of demand that must go on being refused for now; default 0.
        move_cost: [F] seconds for which a moved share counts as bad; default 3 keyed, 1 free.
        custody: Of classes that own data; default none.
        prices: What the `Solution` of the tick before said of itself, for who plans by prices; a
            hint, so that nothing is checked; default none.
        soft_utilisation: Above this, queues hurt: avoided at the price of risk, not of
            critical requests.
        hard_utilisation: Above this nothing is placed; what does not fit is shed.
        risk_floor: Risk below this is not told from noise and moves nothing.
    """

    cells: tuple[str, ...]
    resources: tuple[str, ...]
    flows: tuple[Flow, ...]
    demand_rps: Floats
    needs: Floats
    capacity: Floats
    eligible: Flags
    weight: Floats
    priority: NDArray[np.int64]
    keyed: Flags
    reference: Floats
    latency_s: Floats = field(default_factory=_unset)
    standing_risk: Floats = field(default_factory=_unset)
    class_risk: Floats = field(default_factory=_unset)
    load_risk: LoadRisk | None = None
    previous: Floats | None = None
    lower: Floats = field(default_factory=_unset)
    upper: Floats = field(default_factory=_unset)
    least_shed: Floats = field(default_factory=_unset)
    move_cost: Floats = field(default_factory=_unset)
    custody: tuple[Custody, ...] = ()
    prices: Floats | None = None
    soft_utilisation: float = SOFT_UTILISATION
    hard_utilisation: float = HARD_UTILISATION
    risk_floor: float = 0.05

    def __post_init__(self) -> None:
        self._freeze()
        self._check_values()
        self._check_bounds()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(F, C, R)."""
        return len(self.flows), len(self.cells), len(self.resources)

    @property
    def load_per_share(self) -> Floats:
        """[F, C, R] utilisation that the whole of a flow would cause in a cell."""
        work = self.demand_rps[:, None] * self.needs
        return work[:, None, :] / self.capacity[None, :, :]

    def utilisation(self, shares: Floats) -> Floats:
        """[C, R] utilisation under shares [F, C]."""
        used: Floats = np.einsum("fc,fcr->cr", shares, self.load_per_share)
        return used

    def _freeze(self) -> None:
        f, c, r = self.shape
        if not (f and c and r):
            raise PlanningError(f"problem: {f} flows, {c} cells, {r} resources: none may be 0")
        upper = np.ones((f, c)) if self.upper.size == 0 else self.upper
        costs = self.move_cost if self.move_cost.size else np.where(self.keyed, 3.0, 1.0)
        defaults: dict[str, tuple[tuple[int, ...], Floats]] = {
            "demand_rps": ((f,), self.demand_rps),
            "needs": ((f, r), self.needs),
            "capacity": ((c, r), self.capacity),
            "weight": ((f,), self.weight),
            "reference": ((f, c), self.reference),
            "latency_s": ((f, c), self.latency_s),
            "standing_risk": ((c,), self.standing_risk),
            "class_risk": ((f, c), self.class_risk),
            "lower": ((f, c), self.lower),
            "upper": ((f, c), np.where(self.eligible, upper, 0.0)),
            "least_shed": ((f,), self.least_shed),
            "move_cost": ((f,), costs),
        }
        if self.previous is not None:
            defaults["previous"] = ((f, c), self.previous)
        for name, (shape, given) in defaults.items():
            array = np.array(given, dtype=np.float64) if given.size else np.zeros(shape)
            if array.shape != shape:
                raise PlanningError(f"problem: {name} has shape {array.shape}, must be {shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        for name, shape in (("eligible", (f, c)), ("priority", (f,)), ("keyed", (f,))):
            if getattr(self, name).shape != shape:
                raise PlanningError(
                    f"problem: {name} has shape {getattr(self, name).shape}, must be {shape}"
                )

    def _check_values(self) -> None:
        for name in ("demand_rps", "needs", "latency_s", "move_cost", "reference", "lower"):
            array = getattr(self, name)
            if not bool((np.isfinite(array) & (array >= 0.0)).all()):
                raise PlanningError(f"problem: {name} has {array.min()}, must be finite and >= 0")
        for name in ("capacity", "weight"):
            array = getattr(self, name)
            if not bool((array > 0.0).all()):
                raise PlanningError(f"problem: {name} has {array.min()}, must be > 0")
        for name in ("standing_risk", "class_risk", "upper", "least_shed"):
            array = getattr(self, name)
            if not bool(((array >= 0.0) & (array <= 1.0)).all()):
                raise PlanningError(
                    f"problem: {name} ranges {array.min()} to {array.max()}, must lie in [0, 1]"
                )
        if not 0.0 < self.soft_utilisation < self.hard_utilisation:
            raise PlanningError(
                f"problem: soft_utilisation is {self.soft_utilisation}, must lie between 0 and "
                f"hard_utilisation ({self.hard_utilisation})"
            )
        if not 0.0 <= self.risk_floor < 1.0:
            raise PlanningError(f"problem: risk_floor is {self.risk_floor}, must be in [0, 1)")
        if self.load_risk is not None and self.load_risk.present_work.size != len(self.cells):
            raise PlanningError("problem: load_risk must have one row for every cell")

    def _check_bounds(self) -> None:
        totals = self.reference.sum(axis=1)
        for i, flow in enumerate(self.flows):
            name = f"flow {flow.request_class} from {flow.origin}"
            if not self.eligible[i].any():
                raise PlanningError(f"{name}: no cell is eligible, allow it at least one")
            if abs(totals[i] - 1.0) > SUM_TOLERANCE and totals[i] != 0.0:
                raise PlanningError(f"{name}: reference sums to {totals[i]}, must sum to 1")
            crossed = np.flatnonzero(self.lower[i] > self.upper[i])
            if crossed.size:
                c = int(crossed[0])
                raise PlanningError(
                    f"{name}, cell {self.cells[c]}: lower bound {self.lower[i, c]} is above "
                    f"upper bound {self.upper[i, c]} (an ineligible cell's is 0)"
                )
            least = self.lower[i].sum() + self.least_shed[i]
            if least > 1.0 + SUM_TOLERANCE:
                raise PlanningError(
                    f"{name}: lower bounds and least_shed sum to {least}, must not exceed 1"
                )


def reference_shares(capacity: Floats, eligible: Flags, takes: Flags) -> Floats:
    """The quiet split: every flow in proportion to capacity, over cells that take work.

    A cell's size is that of its scarcest resource, each measured in the mean of the fleet.

    Args:
        capacity: [C, R], > 0; inf = bounds nothing.
        eligible: [F, C].
        takes: [C] whether the cell takes work at all.

    Returns:
        [F, C]; rows sum to 1, or to 0 where no eligible cell takes work.
    """
    size = size_of(capacity) * takes
    shares = np.where(eligible, size[None, :], 0.0)
    total = shares.sum(axis=1, keepdims=True)
    return shares / np.where(total > 0.0, total, 1.0)


def work_of(needs: Floats, capacity: Floats, rates_rps: Floats) -> Floats:
    """How much work cells carry: requests, each counted by its largest need.

    A need is measured against the mean cell's capacity of that resource, so that a mean cell
    at its limit carries a work of 1. It is the unit of `LoadRisk.present_work`.

    Args:
        needs: [F, R].
        capacity: [C, R].
        rates_rps: [F, C] requests a second (or [F]: their sum).

    Returns:
        [C] (or a scalar array).
    """
    work: Floats = work_per_request(needs, capacity) @ rates_rps
    return work


def work_per_request(needs: Floats, capacity: Floats) -> Floats:
    """[F] a request's largest need, in the mean cell's capacity of that resource.

    Args:
        needs: [F, R].
        capacity: [C, R]; inf = bounds nothing.
    """
    largest: Floats = (needs / _mean_capacity(capacity)[None, :]).max(axis=1)
    return largest


def _mean_capacity(capacity: Floats) -> Floats:
    finite = np.isfinite(capacity)
    mean = np.where(finite, capacity, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    return np.where(finite.any(axis=0), mean, np.inf)


def size_of(capacity: Floats) -> Floats:
    """[C] size of a cell: that of its scarcest resource, 1 = the mean cell."""
    finite = np.isfinite(capacity)
    bounded = np.where(finite, capacity, 0.0) / _mean_capacity(capacity)[None, :]
    relative = np.where(finite, bounded, np.inf)
    size: Floats = relative.min(axis=1)
    return np.where(np.isfinite(size), size, 1.0)
