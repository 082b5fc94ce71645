"""This module is the engine's parts with one strength less, to learn what that one is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from foreshard.engine import Engine
from foreshard.engine.workload import Profiler, Workload
from foreshard.model.plan import Plan
from foreshard.model.telemetry import Observation
from foreshard.planning.problem import Problem
from foreshard.planning.solver import Solution, Solver

__all__ = ["DeclaredEngine", "DeclaredProfiler", "SheddingNothing"]

# Of a flow that is refused as a whole, nothing says where it should go.
WHOLE = 1.0 - 1e-6


class DeclaredProfiler(Profiler):
    """Believes what cells declare: neither their queues nor their siblings tell it otherwise."""

    def update(
        self, workload: Workload, observation: Observation, live: Plan | None = None
    ) -> Workload:
        """Demand and costs are learned, capacities are not."""
        fresh = self.begin()
        learned = super().update(workload, observation, live)
        return replace(learned, factor=fresh.factor, serving=fresh.serving, burden=fresh.burden)


class DeclaredEngine(Engine):
    """Plans with what cells declare."""

    profiler = DeclaredProfiler


@dataclass(frozen=True, slots=True, kw_only=True)
class SheddingNothing:
    """A planner that serves everything, whatever comes of it.

    Attributes:
        solver: Plans; what it would shed goes where the rest of its flow goes.
    """

    solver: Solver

    def solve(self, problem: Problem) -> Solution:
        """Split every flow, all of it."""
        found = self.solver.solve(problem)
        if not found.has_plan:
            return found
        kept = 1.0 - found.shed[:, None]
        spread = found.shares / np.maximum(kept, 1.0 - WHOLE)
        shares = np.where(kept > 1.0 - WHOLE, spread, problem.reference)
        return replace(
            found,
            shares=shares,
            shed=np.zeros_like(found.shed),
            utilisation=problem.utilisation(shares),
        )
