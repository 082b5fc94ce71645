"""This module is the overload mode: an augmented Lagrangian with a price for every cell.

Where cells are full, the price climbs tiers within a few thousandths of utilisation and flows
that sweep one by one get stuck against each other: nobody can leave before somebody else did. Here
each cell's cost is replaced by its Moreau envelope around a price that is learned: a price curve
that is as soft as wanted and gives, at the right price, the same optimum (the proximal method of
multipliers, R. T. Rockafellar 1976). On a piecewise linear curve the envelope only moves the
kinks, `at + (price - learned) / stiffness`, so the same sweeps serve.

Not monotone: its plan is kept only if it is better, after repair and plain descent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.planning.descent.bill import load_of, lower_bound
from foreshard.planning.descent.market import BOUNDLESS, Curves, Market
from foreshard.planning.descent.pricing import raised
from foreshard.planning.descent.quoting import PRICE, quote_all
from foreshard.planning.descent.tariff import CEILING
from foreshard.planning.descent.visiting import sweep
from foreshard.planning.problem import Floats

__all__ = ["Effort", "Relief", "fluid_price", "relieve", "softened"]

# A price of comfort; softer cells than this one's would learn nothing.
LEAST_PRICE = 1.0
# Utilisation over which a soft cell's price doubles.
GIVE = 0.2
# A cell off its place by so much utilisation, to the same side as before, is made stiffer: its
# price lags behind. One that swung to the other side is made softer.
OFF = 0.001
STIFFER = 2.0
SOFTER = 0.5
# Softer than this part of its first stiffness no cell gets: prices could not follow a disturbance.
SOFTEST = 3e-4
HALVINGS = 60
TOLERANCE = 2e-5
# A sweep that moves no more than this part of all demand has learned what it can.
SETTLED = 1e-6
# Sweeps between looks at the bound.
PROVEN_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How a round of overload mode goes about it.

    Attributes:
        sweeps: At most.
        yielding: What a cell that is at its place multiplies its stiffness by: 1 finds the tier
            that everybody pays, less lets flows change places at that price, so that lower goals
            are met too; but a cell that yields too early loses its tier.
    """

    sweeps: int
    yielding: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relief:
    """What overload mode found.

    Attributes:
        shares: [E]; cells may be over their limits, repair comes after.
        shed: [F].
        prices: [C, R] of load, learned.
        bound: No split costs less. It is tighter here than after repair, for here flows are in
            balance with the prices.
        sweeps: That it took.
    """

    shares: Floats
    shed: Floats
    prices: Floats
    bound: float
    sweeps: int


def softened(curves: Curves, learned: Floats, stiffness: Floats) -> Curves:
    """The envelopes of the curves around learned prices.

    Args:
        curves: As they are.
        learned: [C, R].
        stiffness: [C, R] price per load; inf leaves a curve as it is.
    """
    shift = (curves.price - learned[:, :, None]) / stiffness[:, :, None]
    with np.errstate(divide="ignore"):
        tail = 1.0 / (1.0 / curves.tail + 1.0 / stiffness)
    return Curves(
        at=np.ascontiguousarray(curves.at + shift),
        price=curves.price,
        tail=tail,
        limit=np.full(curves.limit.shape, BOUNDLESS),
    )


def fluid_price(market: Market, curves: Curves) -> Floats:
    """[R] the price at which the whole fleet, as one cell, carries what does not shed first."""
    found = np.zeros(market.unit.shape[1])
    sizes = np.where(np.isfinite(market.unit), market.unit, 0.0)
    for r in np.flatnonzero(sizes.sum(axis=0) > 0.0):
        c = int(np.argmax(sizes[:, r]))
        kinks, levels = curves.at[c, r] / sizes[c, r], curves.price[c, r]
        need = market.need[:, r]
        low, high = 0.0, float(levels[-1])
        for _ in range(HALVINGS):
            mid = 0.5 * (low + high)
            asked = (market.scale * need)[market.shed_price > mid * need].sum()
            offered = sizes[:, r].sum() * np.interp(mid, levels, kinks)
            low, high = (mid, high) if asked > offered else (low, mid)
        found[r] = low
    return found


def relieve(
    market: Market,
    curves: Curves,
    split: tuple[Floats, Floats],
    kept: Floats | None,
    effort: Effort,
) -> Relief:
    """Learn the prices of full cells.

    Args:
        market: See there.
        curves: See there.
        split: Shares [E] and shed [F] to begin with.
        kept: [C, R] prices of the tick before; None = none.
        effort: How long, and how soft.
    """
    shares, shed = split[0].copy(), split[1].copy()
    load = load_of(market, shares)
    learned = np.broadcast_to(fluid_price(market, curves), load.shape).copy()
    if kept is not None:
        learned = np.maximum(learned, kept)
    sized = np.isfinite(market.unit)
    unit = np.where(sized, market.unit, 1.0)
    stiffness = np.where(sized, np.maximum(learned, LEAST_PRICE) / GIVE / unit, np.inf)
    quotes = np.empty((*load.shape, 5))
    off = np.zeros(load.shape)
    done, bound = 0, -np.inf
    while done < effort.sweeps:
        soft = softened(curves, learned, stiffness)
        quote_all(load, soft, quotes)
        state = (shares, shed, load, quotes)
        moved = sweep(market, soft, state, TOLERANCE)
        done += 1
        if done % PROVEN_EVERY == 0:
            for prices in (np.ascontiguousarray(quotes[:, :, PRICE]), raised(market, state)):
                bound = max(bound, lower_bound(market, curves, shares, shed, prices))
        now = quotes[:, :, PRICE].copy()
        over = np.where(sized, (now - learned) / stiffness / unit, 0.0)
        learned = now
        if float(np.abs(over).max()) <= OFF and moved <= SETTLED:
            break
        again = (np.abs(over) > OFF) & (over * off > 0.0)
        swung = over * off < 0.0
        factor = np.where(again, STIFFER, np.where(swung, SOFTER, effort.yielding))
        softest = np.maximum(LEAST_PRICE, SOFTEST * learned) / GIVE / unit
        stiffness = np.where(sized, np.clip(factor * stiffness, softest, CEILING / unit), np.inf)
        off = over
    return Relief(shares=shares, shed=shed, prices=learned, bound=bound, sweeps=done)
