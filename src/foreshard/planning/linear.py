"""This module is a fleet's problem as one linear program: the peer of descent in benchmarks.

The same market, with every curve cut into linear pieces and without the quadratic pull; tiers of
prices are pressed together (their order stays), for simplex with costs from 1e-3 to 1e10 would
only fight its own tolerances. So it is a little easier than what descent solves.
"""

from __future__ import annotations

import highspy
import numpy as np

from foreshard.planning.descent.market import (
    AWAY,
    BOUNDLESS,
    HARM,
    HOME,
    LEAVE,
    LIVE,
    LOWER,
    UPPER,
    Curves,
    Market,
)
from foreshard.planning.lexicographic import Program, assemble
from foreshard.planning.problem import Floats

__all__ = ["Peer"]

# Prices above this are pressed together by a root.
CALM = 1e3
ROOT = 0.4


class Peer:
    """HiGHS on the market, cold or from the basis of the solve before.

    Args:
        time_limit_s: For one solve.
    """

    def __init__(self, *, time_limit_s: float) -> None:
        self._highs = highspy.Highs()  # type: ignore[no-untyped-call]  # its stub has no types
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("solver", "simplex"),
            ("time_limit", time_limit_s),
        ):
            self._highs.setOptionValue(option, value)
        self._basis: highspy.HighsBasis | None = None
        self._first = 0
        self._shape = (0, 0)

    def load(self, market: Market, curves: Curves, *, is_warm: bool) -> None:
        """Hand a market to HiGHS; `is_warm` begins at the last basis."""
        highs = self._highs
        highs.clearSolver()
        lp = assemble(_program(market, curves))
        lp.col_cost_ = _costs(market, curves)
        highs.setOptionValue("presolve", "off" if is_warm else "choose")
        highs.passModel(lp)
        self._shape = (market.cell.size, market.scale.size)
        if is_warm and self._basis is not None:
            highs.setBasis(self._basis)

    def solve(self, market: Market) -> tuple[Floats, Floats] | None:
        """Shares [E] and shed [F]; None when it ran out of time. This is what to time."""
        highs = self._highs
        highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        self._basis = highs.getBasis()
        values = np.array(highs.getSolution().col_value)
        edges, flows = self._shape
        rates = values[: 3 * edges].reshape(3, edges).sum(axis=0)
        flow = np.repeat(np.arange(flows), np.diff(market.start))
        shares = np.clip(
            rates / market.scale[flow], market.terms[:, LOWER], market.terms[:, UPPER]
        )
        return shares, np.maximum(0.0, 1.0 - np.add.reduceat(shares, market.start[:-1]))


def _pressed(price: Floats) -> Floats:
    return np.where(price > CALM, CALM * (np.maximum(price, CALM) / CALM) ** ROOT, price)


def _kinks(market: Market) -> tuple[Floats, Floats]:
    """[E] the lower and the higher of the reference and the live share, within bounds."""
    live = np.where(market.terms[:, LIVE] >= 0.0, market.terms[:, LIVE], market.terms[:, HOME])
    home, lower, upper = (market.terms[:, n] for n in (HOME, LOWER, UPPER))
    low = np.clip(np.minimum(home, live), lower, upper)
    high = np.clip(np.maximum(home, live), lower, upper)
    return low, high


def _program(market: Market, curves: Curves) -> Program:
    """Rates of each edge in three pieces, shed of each flow, load of each cell in pieces."""
    program = Program()
    flow = np.repeat(np.arange(market.scale.size), np.diff(market.start))
    scale = market.scale[flow]
    low, high = _kinks(market)
    least = market.terms[:, LOWER] * scale
    lower = np.stack([least, np.zeros(flow.size), np.zeros(flow.size)])
    upper = np.stack([low, high - low, market.terms[:, UPPER] - high]) * scale
    rates = program.add_columns(np.minimum(lower, upper), upper)
    shed = program.add_columns(market.least_shed * market.scale, market.scale)
    c, r, k = curves.at.shape
    widths = np.diff(curves.at, axis=2, prepend=0.0)
    pieces = program.add_columns(np.zeros((c, r, k)), np.minimum(widths, BOUNDLESS))
    beyond = program.add_free((c, r))
    whole = program.add_rows(market.scale, market.scale)
    program.put(whole[flow][None], rates, 1.0)
    program.put(whole, shed, 1.0)
    carried = program.add_rows(np.zeros((c, r)), np.zeros((c, r)))
    for resource in range(r):
        rows = carried[market.cell, resource]
        program.put(rows[None], rates, market.need[flow, resource][None])
    program.put(carried[:, :, None], pieces, -1.0)
    program.put(carried, beyond, -1.0)
    return program


def _costs(market: Market, curves: Curves) -> Floats:
    flow = np.repeat(np.arange(market.scale.size), np.diff(market.start))
    low, high = _kinks(market)
    middles = np.stack([low / 2.0, (low + high) / 2.0, high + 1e-9])
    live = np.where(market.terms[:, LIVE] >= 0.0, market.terms[:, LIVE], np.inf)
    home, harm, away, leave = (market.terms[:, n] for n in (HOME, HARM, AWAY, LEAVE))
    rates = harm + np.where(middles > home, away, -leave)
    rates = rates + np.where(middles > live, market.churn[flow], 0.0)
    largest = np.maximum(market.need.max(axis=1), 1e-9)
    shed = _pressed(market.shed_price / largest) * largest
    levels = np.concatenate([curves.price[:, :, :1], curves.price], axis=2)
    pieces = (_pressed(levels[:, :, 1:]) + _pressed(levels[:, :, :-1])) / 2.0
    beyond = 4.0 * _pressed(curves.price[:, :, -1])
    return np.concatenate([rates.ravel(), shed, pieces.ravel(), beyond.ravel()])
