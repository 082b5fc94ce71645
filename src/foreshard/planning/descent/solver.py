"""This module is the fast planner: warm-started block-coordinate descent against cell prices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from foreshard.planning.descent.beginning import begin, repaired
from foreshard.planning.descent.bill import (
    LEAST_BASE,
    gap_ratio,
    load_of,
    lower_bound,
    objective,
)
from foreshard.planning.descent.market import Curves, Market, market_of
from foreshard.planning.descent.overload import Effort, relieve
from foreshard.planning.descent.pricing import raised
from foreshard.planning.descent.quoting import PRICE, quote_all
from foreshard.planning.descent.tariff import BAD
from foreshard.planning.descent.visiting import descend
from foreshard.planning.edges import Edges, dense_shares, edges_of
from foreshard.planning.exact import costs_of
from foreshard.planning.formulation import Prices
from foreshard.planning.problem import Floats, Problem
from foreshard.planning.solver import Solution, SolveStatus

__all__ = ["Descent", "DescentSolver"]

# Marginal prices that differ by less are the same: a thousandth of distance from the reference.
TOLERANCE = 2e-5
# By round of overload mode: first the tier that everybody pays, then what lies below it.
YIELDING = (1.0, 0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent:
    """A split of every flow over its edges.

    Attributes:
        shares: [E].
        shed: [F]; shares and shed sum to 1 per flow.
        objective: In the units of `tariff`.
        bound: No split has a lower objective.
        gap_ratio: Proven distance from the optimum of the surrogate, relative to the whole bill.
        prices: [C, R] of load; kept for the next tick, they make an overload cheap.
        sweeps: That it took.
        is_still: Whether the last sweeps gained next to nothing.
    """

    shares: Floats
    shed: Floats
    objective: float
    bound: float
    gap_ratio: float
    prices: Floats
    sweeps: int
    is_still: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentSolver:
    """Plans fleets of any size; see `planning.descent`.

    Attributes:
        prices: Of comfort.
        gap: Proven, relative, at which it stops.
        progress: Of two sweeps, relative to the reference's round trips, that is worth two more.
            Where less is gained and no cell is full it stops as well: the proof is slower than
            the plan (at 1,000 cells one within .02 % of the best known is proven to 3 %).
        sweeps: Of plain descent, at most.
        relief: Sweeps of a round of overload mode.
        rounds: Of overload mode, at most 3; 0 = never.
    """

    prices: Prices = field(default_factory=Prices)
    gap: float = 2e-3
    progress: float = 2e-4
    sweeps: int = 8
    relief: int = 24
    rounds: int = 3

    def solve(self, problem: Problem) -> Solution:
        """Split every flow of a dense problem; see `Solver`."""
        edges = edges_of(problem)
        found = self.split(edges)
        shares = dense_shares(edges, found.shares)
        return Solution(
            status=SolveStatus.OPTIMAL,
            shares=shares,
            shed=found.shed,
            gap_ratio=found.gap_ratio,
            costs=costs_of(problem, shares, found.shed),
            utilisation=problem.utilisation(shares),
        )

    def split(self, edges: Edges, kept: Floats | None = None) -> Descent:
        """Split every flow; the same inputs give the same bits.

        Args:
            edges: The problem.
            kept: [C, R] prices of the tick before; None = none.
        """
        market, curves = market_of(edges, self.prices)
        best = self._descend(market, curves, begin(market, edges.priority, curves.limit))
        learned, shares, shed = kept, best.shares, best.shed
        for yielding in YIELDING[: self.rounds]:
            effort = Effort(sweeps=self.relief, yielding=yielding)
            # Where cells are full, a small gap hides what lower tiers still have to gain.
            is_tight = float(best.prices.max()) > BAD
            if not is_tight and (best.gap_ratio <= self.gap or best.is_still):
                break
            relief = relieve(market, curves, (shares, shed), learned, effort)
            learned, shares, shed = relief.prices, relief.shares, relief.shed
            split = repaired(market, edges.priority, curves.limit, relief.shares)
            other = self._descend(market, curves, split, learned)
            better = other if other.objective < best.objective else best
            bound = max(best.bound, other.bound, relief.bound)
            best = replace(
                better,
                bound=bound,
                gap_ratio=gap_ratio(market, better.objective, bound),
                sweeps=best.sweeps + relief.sweeps + other.sweeps,
            )
        return best

    def _descend(
        self,
        market: Market,
        curves: Curves,
        split: tuple[Floats, Floats],
        learned: Floats | None = None,
    ) -> Descent:
        """Plain descent, with the best bound that is known."""
        shares, shed = split
        load = load_of(market, shares)
        quotes = np.empty((*load.shape, 5))
        quote_all(load, curves, quotes)
        plan = (shares, shed, load, quotes)
        done, is_still = 0, False
        cost = np.inf
        while done < self.sweeps and not is_still:
            done += descend(market, curves, plan, 2, TOLERANCE)
            before, cost = cost, objective(market, curves, shares, shed)
            is_still = before - cost <= self.progress * (market.round_trips + LEAST_BASE)
        known = [np.ascontiguousarray(quotes[:, :, PRICE]), raised(market, plan)]
        if learned is not None:
            known.append(learned)
        bound = max(lower_bound(market, curves, shares, shed, p) for p in known)
        return Descent(
            shares=shares,
            shed=shed,
            objective=cost,
            bound=bound,
            gap_ratio=gap_ratio(market, cost, bound),
            prices=known[0] if learned is None else learned,
            sweeps=done,
            is_still=is_still,
        )
