"""This module is how cells' prices are learned: an augmented Lagrangian.

Where cells are full, a price climbs within a few thousandths of utilisation and flows that sweep
one by one get stuck against each other: nobody can leave before somebody else did. Here each
cell's cost is replaced by its Moreau envelope around a price that is learned: a curve that is as
soft as wanted and gives, at the right price, the same optimum (the proximal method of multipliers,
R. T. Rockafellar 1976). On a piecewise linear curve the envelope only moves the kinks, `at +
(price - learned) x flex`, so the same sweeps serve; every sweep brings the prices up to date.

Softness is the same for all cells and does not change: made stiffer where a cell lags behind,
cells are soon as stiff as their curves, and nobody moves again (doubled demand at 1,000 cells,
after 36 sweeps: proven to 78 %, with one softness to 4 %).

Not monotone: its plan is kept only if it is better, after repair and plain descent.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foreshard.planning.descent.market import BOUNDLESS, Curves, Market
from foreshard.planning.descent.opening import State
from foreshard.planning.descent.quoting import PRICE, quote_all
from foreshard.planning.descent.tariff import BAD
from foreshard.planning.descent.visiting import sweep
from foreshard.planning.problem import Floats

__all__ = ["Lesson", "first_prices", "fluid_price", "learn"]

# A price of comfort; cells are no softer than if they asked this.
LEAST_PRICE = 1.0
# Utilisation over which a soft cell's price doubles, where comfort rules and where tiers do:
# softer cells agree on a price sooner, stiffer ones are less over their limits in the end.
GIVE = 0.7
GIVE_TIERS = 1.5
# A cell under a tier's price that is off its place by no more utilisation than this gets softer by
# so much: at the price that everybody pays, flows change places for the sake of lower goals. It
# stays as hard as if it asked for `HARDEST`; softer ones would not hold their tier.
AT_PLACE = 0.001
EASIER = 1.3
HARDEST = 1e3
# One that stays off by nearly as much, to the same side, gets twice as hard: its price lags far
# behind. Under a tier's price only where it is far off: hard cells hold each other up.
STUCK = 0.95
FAR_OFF = 0.02
MOST_EASE = 1e6
# Weight of the newest prices in their running mean.
NEWEST = 0.25
# A price kept from the tick before may be that of so much more load than is there now.
FULLER = 1.1
HALVINGS = 60
# What a visit may miss, as a part of what it could gain at most: prices are not right yet anyway.
# A tenth of the time of a tick.
HASTE = 0.01

# Learned prices, their running mean, how much softer than usual each cell is, and by how much
# utilisation it was off its place, [C, R] each.
Lesson = tuple[Floats, Floats, Floats, Floats]


@njit(cache=True)
def _offered(at: Floats, levels: Floats, price: float) -> float:
    """Load at which a curve asks a price."""
    k = 0
    while k < at.size - 1 and levels[k] < price:
        k += 1
    part = 1.0
    if k > 0 and levels[k] > price:
        part = (price - levels[k - 1]) / (levels[k] - levels[k - 1])
    offered: float = at[k - 1] + part * (at[k] - at[k - 1]) if k > 0 else at[0]
    return offered


@njit(cache=True)
def fluid_price(market: Market, curves: Curves) -> Floats:
    """[R] the price at which the whole fleet, as one cell, carries what does not shed first."""
    found = np.zeros(market.unit.shape[1])
    for r in range(found.size):
        whole, c = 0.0, -1
        for i in range(market.unit.shape[0]):
            if market.unit[i, r] < np.inf:
                whole += market.unit[i, r]
                c = i if c < 0 or market.unit[i, r] > market.unit[c, r] else c
        if c < 0:
            continue
        at, levels = curves.at[c, r] / market.unit[c, r], curves.price[c, r]
        low, high = 0.0, levels[-1]
        for _ in range(HALVINGS):
            mid = 0.5 * (low + high)
            asked = 0.0
            for f in range(market.scale.size):
                if market.shed_price[f] > mid * market.need[f, r]:
                    asked += market.scale[f] * market.need[f, r]
            if asked > whole * _offered(at, levels, mid):
                low = mid
            else:
                high = mid
        found[r] = low
    return found


def first_prices(
    market: Market, curves: Curves, load: Floats, kept: Floats | None
) -> tuple[Lesson, Floats]:
    """Prices [C, R] to begin with, and [C, R] the least at which a cell's softness is measured.

    Those of the fleet as one cell, or those kept from the tick before where they are higher and
    not of another world: an overload that has passed must not be believed any longer.
    """
    fluid = np.broadcast_to(fluid_price(market, curves), load.shape)
    start = fluid.copy()
    if kept is not None and kept.shape == load.shape:
        quotes = np.empty((*load.shape, 5))
        quote_all(FULLER * load, curves, quotes)
        start = np.maximum(fluid, np.minimum(kept, quotes[:, :, PRICE]))
    return (start, start.copy(), np.ones(load.shape), np.zeros(load.shape)), np.maximum(
        fluid, LEAST_PRICE
    )


@njit(cache=True)
def _soften(market: Market, lesson: Lesson, least: Floats, flex: Floats) -> None:
    """Write how far each cell gives way for a price of 1 into flex [C, R]."""
    learned, _, ease, _ = lesson
    for c in range(learned.shape[0]):
        for r in range(learned.shape[1]):
            price = max(learned[c, r], least[c, r])
            if price < BAD:
                give = GIVE * min(ease[c, r], 1.0)
            else:
                give = GIVE_TIERS * min(ease[c, r], price / HARDEST)
            flex[c, r] = give * market.grain[c, r] / price


@njit(cache=True)
def _note(market: Market, quotes: Floats, lesson: Lesson, flex: Floats) -> None:
    """Take the prices of a sweep into the lesson."""
    learned, mean, ease, off = lesson
    for c in range(learned.shape[0]):
        for r in range(learned.shape[1]):
            now = quotes[c, r, PRICE]
            was, step = off[c, r], (now - learned[c, r]) * flex[c, r] / market.grain[c, r]
            off[c, r] = step
            if abs(step) <= AT_PLACE:
                ease[c, r] = min(EASIER * ease[c, r], MOST_EASE)
            elif step * was > 0.0 and abs(step) > max(
                STUCK * abs(was), 0.0 if now < BAD else FAR_OFF
            ):
                ease[c, r] = max(0.5 * ease[c, r], 1.0 / MOST_EASE)
            elif ease[c, r] > 1.0:
                ease[c, r] *= 0.5
            learned[c, r] = now
            mean[c, r] += NEWEST * (now - mean[c, r])


@njit(cache=True)
def learn(
    market: Market,
    curves: Curves,
    plan: State,
    lesson: Lesson,
    least: Floats,
    sweeps: int,
    tol: float,
) -> None:
    """Sweep against softened curves, and bring the prices up to date after every sweep.

    Args:
        market: See there.
        curves: As they are.
        plan: Shares [E], shed [F], load [C, R] (cells may be over their limits, repair comes
            after) and quotes [C, R, 5].
        lesson: Brought up to date.
        least: See `first_prices`.
        sweeps: How many.
        tol: See `visiting.visit`.
    """
    flex = np.empty(least.shape)
    limit = np.full(least.shape, BOUNDLESS)
    soft = Curves(curves.at, curves.price, curves.tail, limit, lesson[0], flex)
    for _ in range(sweeps):
        _soften(market, lesson, least, flex)
        quote_all(plan[2], soft, plan[3])
        sweep(market, soft, plan, tol, HASTE)
        _note(market, plan[3], lesson, flex)
