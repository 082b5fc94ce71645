"""This module is the linear system of an interior-point step, solved by way of the flows.

Every edge touches one flow and one cell, and cells touch each other only through flows. So the
cells' prices are eliminated first, one small block a cell, and what is left is one dense system
in the flows' levels: at 1,000 cells 100 unknowns instead of 4,100. `plain_interior.solved` is the
same in NumPy, as one dense system.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from foreshard.planning.descent.market import Market
from foreshard.planning.edges import Ints
from foreshard.planning.problem import Floats

__all__ = ["Workbench", "factorise", "solve", "workbench_for"]

# A pivot under this part of its diagonal is rounding; its unknown stays where it is.
ROUNDING = 1e-14
STIFF = 1e60


class Workbench(NamedTuple):
    """Arrays that every step needs anew.

    Attributes:
        first: [C + 1] where a cell's edges begin in `edge`.
        edge: [E] edges by cell.
        flow: [E] of each edge, in the order of edges.
        half: [E, R] in the order of `edge`: what couples a flow to a cell, after the cell's block.
        block: [C, R, R] lower triangular factors.
        flows: [F, F] lower triangular factor.
        level: [F] step of the flows' levels.
        price: [C, R] step of the cells' prices.
    """

    first: Ints
    edge: Ints
    flow: Ints
    half: Floats
    block: Floats
    flows: Floats
    level: Floats
    price: Floats


@njit(cache=True)
def workbench_for(market: Market) -> Workbench:
    """Room for the systems of a market."""
    cells, resources = market.unit.shape
    flows, edges = market.scale.size, market.cell.size
    first = np.zeros(cells + 1, dtype=np.int64)
    flow = np.empty(edges, dtype=np.int64)
    for f in range(flows):
        for e in range(market.start[f], market.start[f + 1]):
            flow[e] = f
            first[market.cell[e] + 1] += 1
    for c in range(cells):
        first[c + 1] += first[c]
    edge, free = np.empty(edges, dtype=np.int64), first.copy()
    for e in range(edges):
        c = market.cell[e]
        edge[free[c]] = e
        free[c] += 1
    return Workbench(
        first,
        edge,
        flow,
        np.empty((edges, resources)),
        np.empty((cells, resources, resources)),
        np.empty((flows, flows)),
        np.empty(flows),
        np.empty((cells, resources)),
    )


@njit(cache=True)
def _cholesky(a: Floats) -> None:
    """Factorise in place, lower triangle; row by row of the transpose, so that loops vectorise."""
    n = a.shape[0]
    for j in range(n):
        whole = a[j, j]
        pivot = whole
        for k in range(j):
            pivot -= a[j, k] * a[j, k]
        a[j, j] = np.sqrt(pivot) if pivot > ROUNDING * abs(whole) else STIFF
        inverse = 1.0 / a[j, j]
        for i in range(j + 1, n):
            rest = a[i, j]
            for k in range(j):
                rest -= a[i, k] * a[j, k]
            a[i, j] = rest * inverse


@njit(cache=True)
def _cholesky_wide(a: Floats) -> None:  # noqa: C901 - plain loops of one formula
    """The same for many unknowns: four rows of the upper triangle at a time, transposed last.

    What is left of the matrix is read once for four pivots, and loops run along rows.
    """
    n = a.shape[0]
    whole = np.empty(n)
    for j in range(n):
        whole[j] = abs(a[j, j])
        for i in range(j):
            a[i, j] = a[j, i]
    for first in range(0, n, 4):
        last = min(first + 4, n)
        for j in range(first, last):
            pivot = a[j, j]
            root = np.sqrt(pivot) if pivot > ROUNDING * whole[j] else STIFF
            inverse = 1.0 / root
            a[j, j] = root
            for k in range(j + 1, n):
                a[j, k] *= inverse
            for i in range(j + 1, last):
                part = a[j, i]
                for k in range(i, n):
                    a[i, k] -= part * a[j, k]
        if last < first + 4:
            break
        one, two, three, four = a[first], a[first + 1], a[first + 2], a[first + 3]
        for i in range(last, n):
            p, q, r, s, row = one[i], two[i], three[i], four[i], a[i]
            for k in range(i, n):
                row[k] -= p * one[k] + q * two[k] + r * three[k] + s * four[k]
    for j in range(n):
        for i in range(j):
            a[j, i] = a[i, j]


@njit(cache=True)
def factorise(  # noqa: C901, PLR0912 - plain loops of one formula
    market: Market, flex: Floats, bench: Workbench
) -> None:
    """Take in how far every quantity gives for a price of 1.

    Args:
        market: See there.
        flex: [G] as the quantities of `pieces`; 0 = has no pieces.
        bench: Its factors are written.
    """
    first, edge, flow, half, block, flows, _, _ = bench
    cells, resources = market.unit.shape
    needs, edges, count = market.need, market.cell.size, market.scale.size
    flows[:] = 0.0
    for f in range(count):
        flows[f, f] = flex[edges + f]
    for e in range(edges):
        flows[flow[e], flow[e]] += flex[e]
    loads = edges + count
    for c in range(cells):
        a = block[c]
        a[:] = 0.0
        for i in range(first[c], first[c + 1]):
            e = edge[i]
            need, give = needs[flow[e]], flex[e]
            for r in range(resources):
                held = flex[loads + c * resources + r] > 0.0
                half[i, r] = give * need[r] if held else 0.0
                for q in range(r + 1):
                    if held and flex[loads + c * resources + q] > 0.0:
                        a[r, q] += give * need[r] * need[q]
        for r in range(resources):
            give = flex[loads + c * resources + r]
            # Without a row of its own a price does not move.
            a[r, r] = a[r, r] + give if give > 0.0 else STIFF
        _cholesky(a)
        for i in range(first[c], first[c + 1]):
            for r in range(resources):
                rest = half[i, r]
                for q in range(r):
                    rest -= a[r, q] * half[i, q]
                half[i, r] = rest / a[r, r]
        for i in range(first[c], first[c + 1]):
            f = flow[edge[i]]
            for j in range(first[c], i + 1):
                both = 0.0
                for r in range(resources):
                    both += half[i, r] * half[j, r]
                # Edges of a cell lie in the order of their flows.
                flows[f, flow[edge[j]]] -= both
    _cholesky_wide(flows)


@njit(cache=True)
def solve(  # noqa: C901, PLR0912 - plain loops of one formula
    market: Market, p: Floats, q: Floats, bench: Workbench
) -> None:
    """Write the steps of levels [F] and prices [C, R].

    Args:
        market: See there.
        p: [F] what flows lack, with what their quantities answer to their own residuals.
        q: [C, R] the same of cells; 0 where a price has no row.
        bench: Factorised.
    """
    first, edge, flow, half, block, flows, level, price = bench
    cells, resources = market.unit.shape
    count = p.size
    level[:] = p
    for c in range(cells):
        a = block[c]
        for r in range(resources):
            rest = q[c, r]
            for k in range(r):
                rest -= a[r, k] * price[c, k]
            price[c, r] = rest / a[r, r]
        for i in range(first[c], first[c + 1]):
            for r in range(resources):
                level[flow[edge[i]]] -= half[i, r] * price[c, r]
    for j in range(count):
        rest = level[j]
        for k in range(j):
            rest -= flows[j, k] * level[k]
        level[j] = rest / flows[j, j]
    for j in range(count - 1, -1, -1):
        rest = level[j]
        for k in range(j + 1, count):
            rest -= flows[j, k] * level[k]
        level[j] = rest / flows[j, j]
    for c in range(cells):
        a = block[c]
        for r in range(resources):
            price[c, r] = -price[c, r]
        for i in range(first[c], first[c + 1]):
            for r in range(resources):
                price[c, r] += half[i, r] * level[flow[edge[i]]]
        for r in range(resources - 1, -1, -1):
            rest = price[c, r]
            for k in range(r + 1, resources):
                rest -= a[k, r] * price[c, k]
            price[c, r] = rest / a[r, r]
