"""This module is the planning problem written as a linear program: columns, rows and prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import PlanningError
from foreshard.planning.lexicographic import Program
from foreshard.planning.problem import (
    HARD_UTILISATION,
    SOFT_UTILISATION,
    Custody,
    Flags,
    Floats,
    Problem,
    work_per_request,
)
from foreshard.planning.risk import bad_per_share, load_segments
from foreshard.planning.true_cost import weight_per_work

__all__ = [
    "BALANCE_WIDTH",
    "BANDS",
    "LEAST_DEMAND",
    "Columns",
    "Formulation",
    "Prices",
    "formulate",
    "refused_above",
]

Columns = NDArray[np.int64]

# Ends of the bands between the soft and the hard ceiling, as fractions of the way: work of the
# least priority is refused above .94, normal work above .958, critical work above .97. What is
# free goes by least request, so that cells queue like one with all their servers, and at .94 such
# a fleet hardly waits. Should an estimate be a tenth too good, the queue grows by .03 s a second
# and its cells are held to what they serve at the second look (`profile.serving`), long before
# answers are late. Refusing earlier costs requests that would have been served.
BANDS = (0.75, 0.9, 1.0)
# Utilisation up to this is not worth a moved key: queues at three servers are a few ms.
CALM_UTILISATION = 0.7
# Nor is a cell that is so little above the fleet's mean.
CALM_MARGIN = 0.08
# Width of the segments of the balance price; the last one is open.
BALANCE_WIDTH = 0.04
# Weight of a flow without demand, so that it follows the reference as well.
LEAST_DEMAND = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What comfort costs, per unit of all traffic; only ratios matter.

    Attributes:
        latency_per_s: Of one more second of round trip for all traffic. Default 10: 100 ms
            for all traffic count 1.
        balance: Slopes over utilisation above the calm level, of the mean cell; rising.
        deviation: Of a share away from the reference, free flows; keyed ones count twice.
        spread: Of the largest gain of a cell relative to its reference: what leaves a cell
            is spread over the others in proportion.
        churn: Of a share away from the live plan, times the flow's move cost in seconds. With
            data (120 s) that is .12: more than `deviation` and `spread` together can gain, so
            that it is never moved for looks, and less than what balance gains on a hot cell.
        short: Of what a cell in full service lacks of the least it should have of a class that
            owns data. Default .5: worth a move that costs up to 500 s.
    """

    latency_per_s: float = 10.0
    balance: tuple[float, ...] = (1.0, 3.0, 9.0)
    deviation: float = 0.02
    spread: float = 0.004
    churn: float = 0.0005
    short: float = 0.5

    def __post_init__(self) -> None:
        comforts = (self.deviation, self.spread, self.churn, self.short)
        priced = (self.latency_per_s, *self.balance, *comforts)
        if min(priced) < 0.0 or not self.balance or list(self.balance) != sorted(self.balance):
            raise PlanningError(f"prices: {priced} must be >= 0, those of balance must rise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Formulation:
    """The program, and what its columns mean.

    Attributes:
        program: Columns and rows.
        shares: [F, C] columns.
        shed: [F] columns.
        bands: [3, C, R] columns: utilisation in each band between the ceilings.
        over: [C, R] columns: utilisation above the hard ceiling.
        balance: [3, C, R] columns: utilisation above the calm level.
        bad: Cost vector of expected bad requests, as a fraction of all weighted requests.
        comfort: Cost vector of latency, balance, deviation, spread and churn.
    """

    program: Program
    shares: Columns
    shed: Columns
    bands: Columns
    over: Columns
    balance: Columns
    bad: Floats
    comfort: Floats


class _Costs:
    """A cost vector that grows with the program."""

    def __init__(self) -> None:
        self._parts: list[tuple[Columns, Floats]] = []

    def price(self, columns: Columns, prices: Floats | float) -> None:
        self._parts.append((columns, np.broadcast_to(np.asarray(prices), columns.shape)))

    def vector(self, size: int) -> Floats:
        cost = np.zeros(size)
        for columns, prices in self._parts:
            cost[columns] += prices
        return cost


def formulate(problem: Problem, prices: Prices) -> Formulation:
    """Write a problem as a program."""
    f, c, r = problem.shape
    program, bad, comfort = Program(), _Costs(), _Costs()
    shares = program.add_columns(problem.lower, problem.upper)
    shed = program.add_columns(problem.least_shed, np.ones(f))
    load = program.add_free((c, r))
    whole = program.add_rows(np.ones(f), np.ones(f))
    program.put(whole[:, None], shares, 1.0)
    program.put(whole, shed, 1.0)
    carried = program.add_rows(np.zeros((c, r)), np.zeros((c, r)))
    program.put(carried[None], shares[:, :, None], problem.load_per_share)
    program.put(carried, load, -1.0)

    width = problem.hard_utilisation - problem.soft_utilisation
    sizes = np.diff((0.0, *BANDS)) * width
    shape = (len(BANDS), c, r)
    bands = program.add_columns(np.zeros(shape), np.broadcast_to(sizes[:, None, None], shape))
    over = program.add_free((c, r))
    ceiling = program.at_most(np.full((c, r), problem.soft_utilisation))
    program.put(ceiling, load, 1.0)
    program.put(ceiling[None], bands, -1.0)
    program.put(ceiling, over, -1.0)

    _add_harm(problem, program, shares, bad)
    for custody in problem.custody:
        _add_custody(problem, custody, (program, shares), (prices, bad, comfort))
    balance = _add_balance(problem, program, load, (prices, comfort))
    _add_comfort(problem, program, (shares, shed), (prices, comfort))
    return Formulation(
        program=program,
        shares=shares,
        shed=shed,
        bands=bands,
        over=over,
        balance=balance,
        bad=bad.vector(program.columns),
        comfort=comfort.vector(program.columns),
    )


def _add_harm(problem: Problem, program: Program, shares: Columns, bad: _Costs) -> None:
    whole = max(float(problem.weight @ problem.demand_rps), 1e-12)
    bad.price(shares, bad_per_share(problem) / whole)
    risk = problem.load_risk
    segments = load_segments(problem)
    if risk is None or not segments:
        return
    work = work_per_request(problem.needs, problem.capacity) * problem.demand_rps
    for c, parts in segments.items():
        present = float(risk.present_work[c])
        widths, slopes = np.array(parts).T
        multiples = program.add_columns(np.zeros(widths.size), widths)
        balanced = program.add_rows(np.zeros(1), np.zeros(1))
        program.put(balanced, shares[:, c], work / present)
        program.put(balanced, multiples, -1.0)
        bad.price(multiples, slopes * weight_per_work(problem) * present / whole)


def _add_balance(
    problem: Problem, program: Program, load: Columns, costs: tuple[Prices, _Costs]
) -> Columns:
    prices, comfort = costs
    c, r = load.shape
    takes: Flags = np.any(problem.upper > 0.0, axis=0)
    offered = np.where(np.isfinite(problem.capacity) & takes[:, None], problem.capacity, 0.0)
    work = problem.demand_rps @ problem.needs
    total = offered.sum(axis=0)
    mean = np.where(total > 0.0, work / np.where(total > 0.0, total, 1.0), 0.0)
    calm = np.clip(mean + CALM_MARGIN, CALM_UTILISATION, problem.soft_utilisation)
    widths = np.full(len(prices.balance), BALANCE_WIDTH)
    widths[-1] = np.inf
    shape = (widths.size, c, r)
    upper = np.broadcast_to(widths[:, None, None], shape)
    columns = program.add_columns(np.zeros(shape), upper)
    rows = program.at_most(np.broadcast_to(calm, (c, r)))
    program.put(rows, load, 1.0)
    program.put(rows[None], columns, -1.0)
    size = offered / np.where(total > 0.0, total, 1.0)[None, :]
    comfort.price(columns, np.array(prices.balance)[:, None, None] * size[None])
    return columns


def _add_comfort(
    problem: Problem,
    program: Program,
    split: tuple[Columns, Columns],
    costs: tuple[Prices, _Costs],
) -> None:
    shares, shed = split
    prices, comfort = costs
    f, c = shares.shape
    home = problem.reference
    demand = problem.demand_rps / max(float(problem.demand_rps.sum()), 1e-12)
    demand = np.maximum(demand, LEAST_DEMAND)

    mean_s = (home * problem.latency_s).sum(axis=1)
    if np.ptp(problem.latency_s, axis=1).any():
        slower = program.add_free((f,))
        rows = program.at_most(mean_s)
        program.put(rows[:, None], shares, problem.latency_s)
        program.put(rows, shed, mean_s)
        program.put(rows, slower, -1.0)
        comfort.price(slower, prices.latency_per_s * demand)

    above = program.add_free((f, c))
    rows = program.at_most(home)
    program.put(rows, shares, 1.0)
    program.put(rows, shed[:, None], home)
    program.put(rows, above, -1.0)
    keyed = prices.deviation * (1.0 + problem.keyed)
    comfort.price(above, (2.0 * keyed * demand)[:, None])

    gain = program.add_free((f,))
    rows = program.at_most(home)
    program.put(rows, shares, np.where(home > 0.0, 1.0, 0.0))
    program.put(rows, shed[:, None], home)
    program.put(rows, gain[:, None], -home)
    comfort.price(gain, prices.spread * demand)

    if problem.previous is not None:
        moved = program.add_free((f, c))
        rows = program.at_most(problem.previous)
        program.put(rows, shares, 1.0)
        program.put(rows, moved, -1.0)
        cost = 2.0 * prices.churn * problem.move_cost * demand
        # Priced by the slots that move, where they own data.
        cost[[f for custody in problem.custody for f in custody.flows]] = 0.0
        comfort.price(moved, cost[:, None])


def _add_custody(
    problem: Problem,
    custody: Custody,
    split: tuple[Program, Columns],
    costs: tuple[Prices, _Costs, _Costs],
) -> None:
    """Slots move along declared ways; a cell serves at most what it holds after that."""
    program, shares = split
    prices, bad, comfort = costs
    flows = np.array(custody.flows)
    mine = shares[flows]
    demand = problem.demand_rps[flows] / max(float(problem.demand_rps.sum()), 1e-12)
    demand = np.maximum(demand, LEAST_DEMAND)
    source, target = np.nonzero(custody.ways)
    ways = program.add_columns(np.zeros(source.size), custody.held[source])
    gone = program.at_most(custody.held)
    program.put(gone[source], ways, 1.0)
    held = program.at_most(np.broadcast_to(custody.held, mine.shape))
    program.put(held, mine, 1.0)
    program.put(held[:, target], ways[None], -1.0)
    program.put(held[:, source], ways[None], 1.0)
    move_cost = float(problem.move_cost[flows] @ demand)
    comfort.price(ways, 2.0 * prices.churn * move_cost)

    whole = max(float(problem.weight @ problem.demand_rps), 1e-12)
    excess = program.add_free(mine.shape)
    rows = program.at_most(np.broadcast_to(custody.most, mine.shape))
    program.put(rows, mine, 1.0)
    program.put(rows, excess, -1.0)
    hurt = problem.weight[flows] * problem.demand_rps[flows] / whole
    bad.price(excess, np.maximum(hurt, LEAST_DEMAND)[:, None])
    short = program.add_free(mine.shape)
    rows = program.at_most(-np.broadcast_to(custody.least, mine.shape))
    program.put(rows, mine, -1.0)
    program.put(rows, short, -1.0)
    comfort.price(short, (prices.short * demand)[:, None])


def refused_above(priority: NDArray[np.int64]) -> Floats:
    """[F] the utilisation above which work of a priority (0 = critical) is refused."""
    ends = np.array(BANDS)[::-1][np.clip(priority, 0, len(BANDS) - 1)]
    return np.asarray(SOFT_UTILISATION + ends * (HARD_UTILISATION - SOFT_UTILISATION))
