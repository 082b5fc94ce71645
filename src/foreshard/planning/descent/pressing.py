"""This module is how a full fleet is planned: a primal-dual interior-point method on `pieces`.

Where sound cells are full to a wall, what they ask is set by harm somewhere else, and flows can
only change places together. One flow at a time (`visiting`) they cannot: even from the right
prices, 1,000 cells in a surge needed more than 64 sweeps. A Newton step moves all of them at once
(`elimination`). Predictor and corrector as in S. Mehrotra, "On the implementation of a primal-dual
interior point method" (1992), with the correctors of J. Gondzio, "Multiple centrality corrections
in a primal-dual method for linear programming" (1996): a cell's curve is a chain of pieces, and a
load that moves along it is stopped at the end of each. `plain_interior.stepped` is a step in
NumPy. Kernels are called one by one: compiled into one, they took 20 s to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from foreshard.planning.descent.bill import LEAST_BASE
from foreshard.planning.descent.elimination import Workbench, factorise, solve
from foreshard.planning.descent.interior import Inside, earned, filled, filling_cost
from foreshard.planning.descent.market import Market
from foreshard.planning.descent.pieces import Pieces
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = ["predict", "press"]

# Of the way to the nearest bound.
NEAREST = 0.995
# A flow may lack this part of its demand in the end; repair finds it a place.
LACKING = 1e-6
# The product aimed at is no less a part of the mean one.
LEAST_AIM = 1e-2
# Correctors of centrality: at most so many, while a step falls short of `FAR_ENOUGH` and each
# brings it on by so much. A fraction of what factorising costs, and of 68 steps 36 are left.
CORRECTORS = 3
FAR_ENOUGH = 0.9
WORTH_IT = 1.1
# They make room for a step so much longer, and bring products back between these parts of the aim.
AMBITION = 2.0
HOPE = 0.2
LEAST = 0.1
MOST = 10.0
# A step that can go no farther than this is none.
STUCK = 1e-9


class _Task(NamedTuple):
    """What all solves of one step share.

    Attributes:
        owner: [P] the quantity of each piece.
        asked: [G] see `earned`.
        p: [F] what flows lack.
        q: [C, R] what cells lack.
        sums: [G] room to work in.
        step: [P] of the fills, the answer; those of prices are left in the bench.
        bench: Factorised.
    """

    owner: Ints
    asked: Floats
    p: Floats
    q: Floats
    sums: Floats
    step: Floats
    bench: Workbench


@njit(cache=True)
def _task_for(market: Market, pieces: Pieces, bench: Workbench) -> _Task:
    owner = np.empty(pieces.width.size, dtype=np.int64)
    for g in range(pieces.base.size):
        owner[pieces.start[g] : pieces.start[g + 1]] = g
    return _Task(
        owner,
        np.empty(pieces.base.size),
        np.empty(market.scale.size),
        np.empty(market.unit.shape),
        np.empty(pieces.base.size),
        np.empty(pieces.width.size),
        bench,
    )


@njit(cache=True)
def _lacks(market: Market, pieces: Pieces, fill: Floats, p: Floats, q: Floats) -> float:
    """Write what flows [F] and cells [C, R] lack; returns the largest part of a flow's."""
    amount = filled(pieces, fill)
    edges, count, resources = market.cell.size, market.scale.size, q.shape[1]
    most = 0.0
    q[:] = 0.0
    for f in range(count):
        p[f] = market.scale[f] - amount[edges + f]
        for e in range(market.start[f], market.start[f + 1]):
            p[f] -= amount[e]
            for r in range(resources):
                q[market.cell[e], r] -= market.need[f, r] * amount[e]
        most = max(most, abs(p[f]) / market.scale[f])
    for c in range(q.shape[0]):
        for r in range(resources):
            g = edges + count + c * resources + r
            q[c, r] = q[c, r] + amount[g] if pieces.start[g + 1] > pieces.start[g] else 0.0
    return most


@njit(cache=True)
def _bend(pieces: Pieces, at: Inside) -> float:
    """Write how far each piece gives for a price of 1; returns the mean product of the bounds."""
    fill, left, under, over, _, _, _, _, flex = at
    total = 0.0
    for k in range(fill.size):
        u, v = fill[k], left[k]
        flex[k] = 1.0 / (pieces.slope[k] + under[k] / u + over[k] / v)
        total += under[k] * u + over[k] * v
    return total / (2.0 * fill.size)


@njit(cache=True)
def _grouped(pieces: Pieces, values: Floats, sums: Floats) -> None:
    """Write sums [G] of pieces' values [P]."""
    for g in range(sums.size):
        total = 0.0
        for k in range(pieces.start[g], pieces.start[g + 1]):
            total += values[k]
        sums[g] = total


@njit(cache=True)
def _turn(market: Market, pieces: Pieces, at: Inside, task: _Task) -> None:
    """Solve for the step that brings all bounds' products to those in `at`."""
    fill, left, _, _, _, _, low, high, flex = at
    owner, asked, lacks, more, sums, step, bench = task
    edges, count, resources = market.cell.size, market.scale.size, at.price.shape[1]
    for k in range(fill.size):
        rest = pieces.price[k] + pieces.slope[k] * fill[k] - asked[owner[k]]
        step[k] = flex[k] * (rest - low[k] / fill[k] + high[k] / left[k])
    _grouped(pieces, step, sums)
    p, q = lacks.copy(), more.copy()
    for e in range(edges):
        f, c = bench.flow[e], market.cell[e]
        p[f] += sums[e]
        for r in range(resources):
            q[c, r] += market.need[f, r] * sums[e]
    for f in range(count):
        p[f] += sums[edges + f]
    for c in range(q.shape[0]):
        for r in range(resources):
            g = edges + count + c * resources + r
            q[c, r] = q[c, r] - sums[g] if pieces.start[g + 1] > pieces.start[g] else 0.0
    solve(market, p, q, bench)
    earned(market, bench.level, bench.price, sums)
    for k in range(fill.size):
        step[k] = flex[k] * sums[owner[k]] - step[k]


@njit(cache=True)
def _reach(at: Inside, step: Floats) -> tuple[float, float, float]:
    """How far a step may go, and the sums of the bounds' products' first and second change."""
    fill, left, under, over, _, _, low, high, _ = at
    # The inverse of the reach, so that the loop has no branch.
    most, first, second = 1.0, 0.0, 0.0
    for k in range(fill.size):
        u, v, du = fill[k], left[k], step[k]
        down = (low[k] - under[k] * (u + du)) / u
        up = (high[k] - over[k] * (v - du)) / v
        most = max(most, -du / u, du / v, -down / under[k], -up / over[k])
        first += u * down + under[k] * du + v * up - over[k] * du
        second += du * (down - up)
    return 1.0 / most, first, second


@njit(cache=True)
def _aim(at: Inside, step: Floats, aim: float) -> None:
    """Aim at a product, less what the predictor's step adds to it by its curvature."""
    fill, left, under, over, _, _, low, high, _ = at
    for k in range(fill.size):
        d = step[k]
        low[k] = aim + under[k] * d * (1.0 + d / fill[k])
        high[k] = aim + over[k] * d * (d / left[k] - 1.0)


@njit(cache=True)
def _centre(at: Inside, step: Floats, aim: float, far: float) -> None:
    """Correct the products that a step so far would leave far from where all are aimed.

    Multiple centrality correctors, J. Gondzio (1996).
    """
    fill, left, under, over, _, _, low, high, _ = at
    for k in range(fill.size):
        u, v, du = fill[k], left[k], step[k]
        down = (low[k] - under[k] * (u + du)) / u
        up = (high[k] - over[k] * (v - du)) / v
        there = (u + far * du) * (under[k] + far * down)
        low[k] += max(min(max(there, LEAST * aim), MOST * aim) - there, -MOST * aim)
        there = (v - far * du) * (over[k] + far * up)
        high[k] += max(min(max(there, LEAST * aim), MOST * aim) - there, -MOST * aim)


@njit(cache=True)
def _go(at: Inside, bench: Workbench, step: Floats, far: float) -> None:
    """Take a part of a step."""
    fill, left, under, over, level, price, low, high, _ = at
    for k in range(fill.size):
        u, v, du = fill[k], left[k], step[k]
        under[k] += far * (low[k] - under[k] * (u + du)) / u
        over[k] += far * (high[k] - over[k] * (v - du)) / v
        fill[k] += far * du
        left[k] -= far * du
    for f in range(level.size):
        level[f] += far * bench.level[f]
    for c in range(price.shape[0]):
        for r in range(price.shape[1]):
            price[c, r] += far * bench.price[c, r]


def _prepare(market: Market, pieces: Pieces, at: Inside, task: _Task) -> tuple[float, float]:
    """Look at where it stands: the mean product of the bounds, and the most that a flow lacks."""
    lacking = _lacks(market, pieces, at.fill, task.p, task.q)
    earned(market, at.level, at.price, task.asked)
    return float(_bend(pieces, at)), float(lacking)


def _predict(market: Market, pieces: Pieces, at: Inside, task: _Task) -> None:
    _grouped(pieces, at.flex, task.sums)
    factorise(market, task.sums, task.bench)
    at.low[:] = 0.0
    at.high[:] = 0.0
    _turn(market, pieces, at, task)


def predict(market: Market, pieces: Pieces, at: Inside, bench: Workbench) -> Floats:
    """[P] the step that would bring all bounds' products to 0, if it could be taken."""
    task = _task_for(market, pieces, bench)
    _prepare(market, pieces, at, task)
    _predict(market, pieces, at, task)
    return task.step


def _choose(market: Market, pieces: Pieces, at: Inside, task: _Task, mean: float) -> float:
    """Predictor, corrector, and correctors of centrality; returns how far the step may go."""
    step, bench, count = task.step, task.bench, at.fill.size
    _predict(market, pieces, at, task)
    reach, first, second = _reach(at, step)
    ahead = mean + reach * (first + reach * second) / (2.0 * count)
    aim = mean * min(1.0, max(ahead / mean, LEAST_AIM)) ** 3
    _aim(at, step, aim)
    _turn(market, pieces, at, task)
    reach, _, _ = _reach(at, step)
    for _ in range(CORRECTORS):
        if reach >= FAR_ENOUGH:
            break
        fills, low, high = step.copy(), at.low.copy(), at.high.copy()
        level, price = bench.level.copy(), bench.price.copy()
        _centre(at, step, aim, min(1.0, AMBITION * reach + HOPE))
        _turn(market, pieces, at, task)
        further, _, _ = _reach(at, step)
        if further < reach:
            step[:], at.low[:], at.high[:] = fills, low, high
            bench.level[:], bench.price[:] = level, price
            break
        is_little, reach = further < WORTH_IT * reach, further
        if is_little:
            break
    return reach


def press(
    market: Market,
    pieces: Pieces,
    at: Inside,
    bench: Workbench,
    gap_ratio: float,
    offset: float,
    steps: int,
) -> int:
    """Newton steps until what the bounds' products sum to is a part of the cost.

    Args:
        market: See there.
        pieces: See there.
        at: Brought up to date.
        bench: Room to work in.
        gap_ratio: The part.
        offset: What is added to the cost of the fills before the part is taken.
        steps: That are taken at most.

    Returns:
        How many were taken.
    """
    count = at.fill.size
    task = _task_for(market, pieces, bench)
    for done in range(steps):
        mean, lacking = _prepare(market, pieces, at, task)
        total = 2.0 * mean * count
        whole = max(filling_cost(pieces, at.fill) + offset - total, LEAST_BASE)
        if total <= gap_ratio * whole and lacking <= LACKING:
            return done
        reach = _choose(market, pieces, at, task, mean)
        if not reach > STUCK:
            return done
        _go(at, bench, task.step, min(1.0, NEAREST * reach))
    return steps
