"""This module is the interior-point method in plain NumPy: what its kernels are held to."""

from __future__ import annotations

import numpy as np

from foreshard.planning.descent.interior import Inside
from foreshard.planning.descent.market import Market
from foreshard.planning.descent.pieces import Pieces
from foreshard.planning.problem import Floats

__all__ = ["rows", "solved", "split_cost", "stepped"]


def rows(market: Market, pieces: Pieces) -> Floats:
    """[F + C x R, G] what every quantity adds to a flow's demand, and takes of a cell's load.

    A cell's row says that its load is what its edges bring; a row without pieces says nothing.
    """
    flows, edges = market.scale.size, market.cell.size
    cells, resources = market.unit.shape
    flow = np.repeat(np.arange(flows), np.diff(market.start))
    matrix = np.zeros((flows + cells * resources, pieces.base.size))
    matrix[flow, np.arange(edges)] = 1.0
    matrix[np.arange(flows), edges + np.arange(flows)] = 1.0
    held = np.diff(pieces.start)[edges + flows :] > 0
    for r in range(resources):
        row = flows + market.cell * resources + r
        matrix[row, np.arange(edges)] = -market.need[flow, r] * held[row - flows]
    own = np.arange(cells * resources)
    matrix[flows + own, edges + flows + own] = 1.0 * held
    return matrix


def solved(
    market: Market, pieces: Pieces, flex: Floats, p: Floats, q: Floats
) -> tuple[Floats, Floats]:
    """Steps of levels [F] and prices [C, R]: one dense system, by least squares.

    Args:
        market: See there.
        pieces: See there.
        flex: [G] how far every quantity gives for a price of 1.
        p: [F] what flows lack.
        q: [C, R] what cells' loads lack, turned: a price that rises is answered by less.
    """
    matrix = rows(market, pieces)
    answer = np.linalg.lstsq((matrix * flex) @ matrix.T, np.concatenate([p, -q.ravel()]))[0]
    return answer[: p.size], answer[p.size :].reshape(q.shape)


def stepped(market: Market, pieces: Pieces, at: Inside) -> Floats:
    """[P] the predictor's step of every piece, by one dense system in all unknowns.

    Unknowns are fills, prices of both bounds, and rows' prices; equations are that costs balance,
    that products of bounds become 0, and that rows add up.
    """
    owner = np.repeat(np.arange(pieces.base.size), np.diff(pieces.start))
    matrix = rows(market, pieces)
    demand = np.concatenate([market.scale, np.zeros(matrix.shape[0] - market.scale.size)])
    amount = pieces.base + np.bincount(owner, at.fill, minlength=pieces.base.size)
    price = np.concatenate([at.level, at.price.ravel()])
    by_piece = matrix[:, owner]
    n, m = owner.size, matrix.shape[0]
    system = np.zeros((3 * n + m, 3 * n + m))
    one = np.arange(n)
    system[one, one] = pieces.slope
    system[one, n + one], system[one, 2 * n + one] = -1.0, 1.0
    system[:n, 3 * n :] = -by_piece.T
    system[n + one, one], system[n + one, n + one] = at.under, at.fill
    system[2 * n + one, one], system[2 * n + one, 2 * n + one] = -at.over, at.left
    system[3 * n :, :n] = by_piece
    lacks = demand - matrix @ amount
    lacks[~matrix.any(axis=1)] = 0.0
    costs = pieces.price + pieces.slope * at.fill - by_piece.T @ price
    right = np.concatenate(
        [
            -(costs - at.under + at.over),
            -at.fill * at.under,
            -at.left * at.over,
            lacks,
        ]
    )
    # Unknowns in parts of what they are, equations in parts of their largest term: else rounding
    # hides those of ten decades less.
    unit = np.concatenate([np.minimum(at.fill, at.left), at.under, at.over, np.ones(m)])
    system *= unit
    largest = np.abs(system).max(axis=1)
    largest[largest == 0.0] = 1.0
    answer = np.linalg.lstsq(system / largest[:, None], right / largest, rcond=1e-15)[0]
    step: Floats = (unit * answer)[:n]
    return step


def split_cost(pieces: Pieces, amount: Floats) -> float:
    """What quantities [G] cost, their pieces filled one after the other."""
    total = 0.0
    for g in range(amount.size):
        left = amount[g] - pieces.base[g]
        for k in range(pieces.start[g], pieces.start[g + 1]):
            fill = min(left, pieces.width[k])
            total += (pieces.price[k] + 0.5 * pieces.slope[k] * fill) * fill
            left -= fill
    return total
