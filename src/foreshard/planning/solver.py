"""This module is the contract of a planner: a problem in, a split of every flow out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from foreshard.planning.problem import Floats, Problem

__all__ = ["Solution", "SolveStatus", "Solver"]


class SolveStatus(StrEnum):
    """How a solve ended; none of them is an error."""

    OPTIMAL = "optimal"
    OUT_OF_TIME = "out_of_time"
    INFEASIBLE = "infeasible"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """The answer, good or not.

    Attributes:
        status: How it ended.
        shares: [F, C] fractions of demand; all NaN when not even a feasible split was found.
        shed: [F] fraction of demand refused; shares and shed sum to 1 per flow.
        gap_ratio: Proven relative distance from the optimum of the surrogate; 0 = optimal,
            inf = unknown.
        costs: By term, in its own unit: `overload` (utilisation above the hard ceiling),
            `soft` (utilisation above the soft one), `shed` and `bad` (weighted requests a
            second; `bad` is the surrogate), `latency` (request seconds a second above the
            reference), `balance`, `deviation` and `churn` (share of demand),
            `moving` (weighted requests that are bad once, because their share moves).
        utilisation: [C, R] predicted.
        prices: What cells ask for load, as the planner counts it: the next `Problem` takes it
            back, and a full fleet is then planned from where it was. None = it plans without.
    """

    status: SolveStatus
    shares: Floats
    shed: Floats
    gap_ratio: float
    costs: Mapping[str, float] = field(default_factory=dict)
    utilisation: Floats
    prices: Floats | None = None

    @property
    def has_plan(self) -> bool:
        """Whether shares are a feasible split, be it optimal or only the best so far."""
        return bool((self.shares == self.shares).all())


class Solver(Protocol):
    """Something that plans; pure, and deterministic in the problem."""

    def solve(self, problem: Problem) -> Solution:
        """Split every flow. Never raises for a problem that `Problem` accepted."""
