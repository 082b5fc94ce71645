"""This module is the fast planner: warm-started block-coordinate descent against cell prices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from foreshard.planning.descent.beginning import begin, repaired
from foreshard.planning.descent.bill import gap_ratio, load_of, objective, own_cost, settled
from foreshard.planning.descent.elimination import workbench_for
from foreshard.planning.descent.interior import begin_inside, filled
from foreshard.planning.descent.learning import first_prices, learn
from foreshard.planning.descent.market import LOWER, Curves, Market, market_of
from foreshard.planning.descent.pieces import pieces_of
from foreshard.planning.descent.pressing import press
from foreshard.planning.descent.proving import lower_bound
from foreshard.planning.descent.quoting import quote_all
from foreshard.planning.descent.tariff import BAD, QUEUES
from foreshard.planning.descent.visiting import descend
from foreshard.planning.edges import Edges, dense_shares, edges_of
from foreshard.planning.exact import costs_of
from foreshard.planning.formulation import Prices
from foreshard.planning.problem import Floats, Problem
from foreshard.planning.solver import Solution, SolveStatus

__all__ = ["Descent", "DescentSolver"]

# Marginal prices that differ by less are the same: a thousandth of distance from the reference.
TOLERANCE = 2e-5
# Sweeps of plain descent on what was learned: a place for what repair put out, and one look back.
POLISH = 1
# A fleet is full where this part of its cells asks so many times what comfort asks at most, after
# so many sweeps.
MANY = 0.25
ABOVE_COMFORT = 1.5
SETTLED = 16
# How far from its end an interior-point method begins: from prices of this tick's sweeps, times
# what they are of comfort's dearest, and from those of the tick before. How near it goes, as parts
# of the gap that is wanted; after how many steps it gives up; and up to how many flows it is
# tried, for a step costs the cube of that.
SPREAD = 100.0
NEAR = 30.0
AIMS = (0.5, 0.05)
STEPS = 60
MOST_FLOWS = 800
# Sweeps before which the running mean of prices proves less than the newest ones.
YOUNG = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent:
    """A split of every flow over its edges.

    Attributes:
        shares: [E].
        shed: [F]; shares and shed sum to 1 per flow.
        objective: In the units of `tariff`.
        bound: No split has a lower objective.
        gap_ratio: Proven distance from the optimum of the surrogate, relative to the bill that can
            be chosen; see `bill.settled`.
        prices: [C, R] of load; kept for the next tick, they make an overload cheap.
        sweeps: That it took.
    """

    shares: Floats
    shed: Floats
    objective: float
    bound: float
    gap_ratio: float
    prices: Floats
    sweeps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentSolver:
    """Plans fleets of any size; see `planning.descent`.

    Prices are learned for some sweeps; then the plan is repaired, brought down by plain descent
    and proven. Where the proof is not good enough, it learns on.

    Attributes:
        prices: Of comfort.
        gap: Proven, relative, at which it stops.
        tight_gap: The same where cells are full.
        tight_sweeps: Then it learns for so long at least: a small part of what is shed hides all
            that lower goals have to gain.
        lessons: Sweeps after which it looks whether that is enough, rising; after the last it
            stops. None = the live plan, repaired.
    """

    prices: Prices = field(default_factory=Prices)
    gap: float = 2e-3
    tight_gap: float = 1e-2
    tight_sweeps: int = 64
    lessons: tuple[int, ...] = (3, 8, 16, 28, 44, 64, 96)

    def solve(self, problem: Problem) -> Solution:
        """Split every flow of a dense problem; see `Solver`."""
        edges = edges_of(problem)
        found = self.split(edges, problem.prices)
        shares = dense_shares(edges, found.shares)
        return Solution(
            status=SolveStatus.OPTIMAL,
            shares=shares,
            shed=found.shed,
            gap_ratio=found.gap_ratio,
            costs=costs_of(problem, shares, found.shed),
            utilisation=problem.utilisation(shares),
            prices=found.prices,
        )

    def split(self, edges: Edges, kept: Floats | None = None) -> Descent:
        """Split every flow; the same inputs give the same bits.

        Args:
            edges: The problem.
            kept: [C, R] prices of the tick before; None = none.
        """
        market, curves = market_of(edges, self.prices)
        shares, shed = begin(market, curves.limit)
        load = load_of(market, shares)
        kept = None if kept is None else _fitting(kept, load.shape)
        lesson, least = first_prices(market, curves, load, kept)
        first = lesson[0].copy()
        best = Descent(
            shares=shares.copy(),
            shed=shed.copy(),
            objective=objective(market, curves, shares, shed),
            bound=-np.inf,
            gap_ratio=np.inf,
            prices=lesson[0],
            sweeps=0,
        )
        plan = (shares, shed, load, np.empty((*load.shape, 5)))
        for sweeps in self.lessons:
            learn(market, curves, plan, lesson, least, sweeps - best.sweeps, TOLERANCE)
            # The mean of few sweeps is worth nothing yet.
            known = lesson[:2] if sweeps > YOUNG else lesson[:1]
            bound = max(lower_bound(market, curves, prices) for prices in known)
            best = _better(market, curves, best, shares)
            bound = max(best.bound, bound)
            gap = gap_ratio(market, curves, best.objective, bound)
            best = replace(best, bound=bound, gap_ratio=gap, prices=lesson[0], sweeps=sweeps)
            is_tight = float(lesson[0].max()) > BAD
            if gap <= (self.tight_gap if is_tight else self.gap) and not (
                is_tight and sweeps < self.tight_sweeps
            ):
                break
            if market.scale.size > MOST_FLOWS:
                continue
            # From prices of the tick before at once, else when those of this one have settled.
            if sweeps == self.lessons[0] and kept is not None and self._is_full(first):
                best = self._press(market, curves, best, (kept, NEAR))
            elif sweeps >= SETTLED and self._is_full(lesson[0]):
                off = SPREAD * max(1.0, float(lesson[0].max()) / max(self.prices.balance))
                best = self._press(market, curves, best, (lesson[0], off))
            # Where they turn out to be a tier's, what is shed hides the rest: it learns on.
            if best.gap_ratio <= self.gap and float(best.prices.max()) <= BAD:
                break
        return best

    def _is_full(self, prices: Floats) -> bool:
        """Whether many cells [C, R] ask more than comfort does: only harm elsewhere sets that."""
        above = prices.max(axis=1) > ABOVE_COMFORT * max(self.prices.balance)
        return float(prices.max()) <= BAD and bool(above.mean() >= MANY)

    def _press(
        self, market: Market, curves: Curves, best: Descent, begin_at: tuple[Floats, float]
    ) -> Descent:
        """All flows at once, from prices [C, R] that are about so far off; see `interior`."""
        pieces, bench = pieces_of(market, curves, QUEUES[0]), workbench_for(market)
        prices, spread = begin_at
        at = begin_inside(market, pieces, np.maximum(prices, 0.0), spread)
        lower = np.ascontiguousarray(market.terms[:, LOWER])
        offset = own_cost(market, lower, market.least_shed)
        offset += market.round_trips - settled(market, curves)
        scale = np.repeat(market.scale, np.diff(market.start))
        for aim in AIMS:
            press(market, pieces, at, bench, aim * self.gap, offset, STEPS)
            shares = filled(pieces, at.fill)[: scale.size] / scale
            prices = np.maximum(at.price, 0.0)
            if not (np.isfinite(shares).all() and np.isfinite(prices).all()):
                break
            best = _better(market, curves, best, shares)
            bound = max(best.bound, lower_bound(market, curves, prices))
            gap = gap_ratio(market, curves, best.objective, bound)
            best = replace(best, bound=bound, gap_ratio=gap, prices=prices)
            if gap <= self.gap:
                break
        return best


def _fitting(kept: Floats, shape: tuple[int, ...]) -> Floats | None:
    """Kept prices as this tick has resources: the last, of load's own risk, may come and go."""
    if kept.shape[0] != shape[0] or abs(kept.shape[1] - shape[1]) > 1:
        return None
    fitted = np.zeros(shape)
    columns = min(kept.shape[1], shape[1])
    fitted[:, :columns] = kept[:, :columns]
    return fitted


def _better(market: Market, curves: Curves, best: Descent, learned: Floats) -> Descent:
    """The better of what is known and of what was learned, repaired and descended from."""
    shares, shed = repaired(market, curves.limit, learned)
    load = load_of(market, shares)
    quotes = np.empty((*load.shape, 5))
    quote_all(load, curves, quotes)
    descend(market, curves, (shares, shed, load, quotes), POLISH, TOLERANCE)
    cost = objective(market, curves, shares, shed)
    if cost >= best.objective:
        return best
    return replace(best, shares=shares, shed=shed, objective=cost)
