"""This module is what things cost a fleet: tiers of prices, and the price of a cell's fullness.

The exact planner solves goal after goal. Descent has one objective, so goals become tiers of
prices that are far enough apart. All prices are per unit of *fleet work*: 1 is the work of all
demand at the fleet's own mean mix; a price of 1 is that of 100 ms more round trip for all
traffic, as in `formulation.Prices`.

| tier | per unit of work | what it outranks |
|---|---|---|
| balance | 0 to 9 | distance from the reference, churn |
| bad requests | 1e4 x weight / mean weight x P | balance and latency |
| queues (soft to 75 % of the band) | 1e6 | bad requests |
| shed sheddable | 4e6 to 8e6 | queues |
| long queues (to 90 %) | 3.2e7 | shedding sheddable work |
| shed normal | 1.28e8 to 2.56e8 | long queues |
| very long queues | 1e9 | shedding normal work |
| shed critical | 4e9 to 8e9 | very long queues |
| the hard ceiling | 3.2e10 | shedding critical work |

**Tolerance.** Neighbouring shedding tiers are `STEP` = 32 apart (at least 16 between the dearest
of one and the cheapest of the next). A request may be kept while one of a higher priority is
shed only where giving it up would free, of what is scarce, less than a sixteenth of its largest
need. Within a priority what is shed first is what is worth least per unit of work, as in the
exact planner.

A cell's price is continuous and never falls: between tiers it climbs a ramp. Ramps begin where
the exact planner's bands end and are `RAMP` wide; the last ends at the hard ceiling.
"""

from __future__ import annotations

import numpy as np

from foreshard.planning.edges import Ints
from foreshard.planning.formulation import (
    BALANCE_WIDTH,
    BANDS,
    Prices,
)
from foreshard.planning.problem import Floats

__all__ = [
    "BAD",
    "CEILING",
    "KINKS",
    "QUEUES",
    "RAMP",
    "SHED",
    "STEP",
    "TAIL",
    "fullness_price",
    "shed_prices",
]

BAD = 1e4
STEP = 32.0
# Using the bands above the soft ceiling, lowest first.
QUEUES = (1e6, 1e6 * STEP, 1e6 * STEP**2)
# Shedding, critical first; a flow pays 1 to 2 times this.
SHED = (4.0 * QUEUES[2], 4.0 * QUEUES[1], 4.0 * QUEUES[0])
CEILING = 1e6 * STEP**3
# Utilisation over which the price climbs from one tier to the next.
RAMP = 0.004
# Slope of the price beyond the last kink, as a part of the ceiling's price per utilisation: only
# bounds on shares can force a cell there, and then less is better.
TAIL = 100.0 * CEILING
# The exact planner's balance begins with a step at the calm level. Here it begins one segment
# earlier, at 0, and is these parts of the first slope at the next two kinks: a wall makes prices
# jump with each small step, so that no bound is tight.
GENTLE = np.array((0.1, 0.5))
# Kinks of a price of fullness, beside one for each price of balance.
KINKS = 11


def fullness_price(calm: float, soft: float, hard: float, prices: Prices) -> tuple[Floats, Floats]:
    """Price per work over utilisation: balance, then the bands, then the ceiling.

    Args:
        calm: Utilisation up to which balance costs nothing.
        soft: Soft ceiling.
        hard: Hard ceiling.
        prices: Slopes of balance.

    Returns:
        [KINKS + len(balance)] utilisations, rising, and the price at each; linear in between,
        constant before.
    """
    slopes = np.array(prices.balance)
    levels = np.array(
        (0.0, *(GENTLE * slopes[0]), *((slopes[:-1] + slopes[1:]) / 2.0), slopes[-1])
    )
    steps = calm + BALANCE_WIDTH * (np.arange(levels.size) - 1.0)
    width = hard - soft
    ends = soft + width * np.array((0.0, *BANDS[:-1]))
    ramp = min(RAMP, 0.1 * width)
    at = np.concatenate([np.column_stack([ends, ends + ramp]).ravel(), [hard - ramp, hard]])
    tiers = np.array((0.0, *np.repeat(QUEUES, 2), CEILING))
    kinks = np.sort(np.concatenate([steps, at]))
    price = np.interp(kinks, steps, levels) + np.interp(kinks, at, tiers)
    return kinks, np.maximum.accumulate(price)


def shed_prices(need: Floats, weight: Floats, demand_rps: Floats, priority: Ints) -> Floats:
    """[F] what shedding one request costs: its tier, times its largest need, and its harm.

    Args:
        need: [F, R] fleet work of a request.
        weight: [F] in units of the mean request's weight.
        demand_rps: [F].
        priority: [F].
    """
    largest = need.max(axis=1)
    rank = np.clip(priority, 0, len(SHED) - 1).astype(np.int64)
    worth = np.log(weight / np.maximum(largest, 1e-12))
    dearness = np.ones(need.shape[0])
    for level in range(len(SHED)):
        mine = (rank == level) & (demand_rps > 0.0) & (largest > 0.0)
        if mine.any():
            low, high = worth[mine].min(), worth[mine].max()
            dearness[mine] += (worth[mine] - low) / max(float(high - low), 1e-12)
    dearness = np.minimum(dearness, 2.0)
    base: Floats = np.array(SHED)[rank] * dearness * largest + 4.0 * BAD * (1.0 + weight)
    return base
