"""This module is a problem for descent, compiled: what a flow pays where, in flat arrays.

A share x of flow f on cell c loads each resource with `scale[f] * need[f, r] * x` units of fleet
work. The objective is

    sum over f of scale[f] * (sum over edges of own(x) + shed_price[f] * shed[f])
    + sum over c, r of the integral of the cell's price over its load,

`own` being what a request pays whatever the others do: expected harm, leaving the reference,
latency, churn, and a weak quadratic pull towards the reference. It is convex, and its kinks are
only at the reference and at the live share. All integrands are piecewise linear; so the
objective is piecewise quadratic, and a step that crosses no kink can be taken exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foreshard.planning.descent.hurting import harm_prices
from foreshard.planning.descent.tariff import (
    BAD,
    KINKS,
    TAIL,
    fullness_price,
    shed_prices,
)
from foreshard.planning.edges import Edges, Ints
from foreshard.planning.formulation import CALM_MARGIN, CALM_UTILISATION, Prices
from foreshard.planning.problem import Floats, LoadRisk, work_per_request
from foreshard.planning.risk import above_floor, excess_risk_of

__all__ = [
    "AWAY",
    "BOUNDLESS",
    "HARM",
    "HOME",
    "LEAVE",
    "LIVE",
    "LOWER",
    "PULL",
    "TERMS",
    "UPPER",
    "Curves",
    "Market",
    "market_of",
]

# A flow counts as this part of all demand at least, so that one without demand is placed too.
LEAST_SCALE = 1e-9
# The pull on an edge without a reference is that of this part of an even share.
LEAST_HOME = 0.25
# Columns of `Market.terms`.
TERMS = ("lower", "upper", "home", "live", "harm", "away", "leave", "pull")
LOWER = 0
UPPER = 1
HOME = 2
LIVE = 3
HARM = 4
AWAY = 5
LEAVE = 6
PULL = 7
# Utilisation below the soft ceiling at which balance begins to count, at the latest: where it had
# no room to climb, a full fleet's cells would ask nothing up to a wall, and no price of a plan
# would say how badly a place is wanted (1,000 cells in a surge: proven to 124 %).
CLIMB = 0.16
# Infinite, as a limit on load.
BOUNDLESS = 1e18


class Curves(NamedTuple):
    """The price of every cell and resource over its load, and where load must stop.

    Attributes:
        at: [C, R, K] loads of the kinks, in fleet work; rising.
        price: [C, R, K] at each kink; constant before the first.
        tail: [C, R] slope after the last.
        limit: [C, R] load that no step may pass.
        learned: [C, R] price around which the curve is softened; see `learning`.
        flex: [C, R] load by which a softened curve gives way for a price of 1; 0 = as it is.
    """

    at: Floats
    price: Floats
    tail: Floats
    limit: Floats
    learned: Floats
    flex: Floats


class Market(NamedTuple):
    """See the module. The last resource may be the work that load-dependent risk counts.

    Attributes:
        start: [F + 1].
        cell: [E].
        scale: [F] part of all demand.
        need: [F, R] fleet work of a request.
        shed_price: [F] per request.
        least_shed: [F].
        churn: [F] price of a share above the live one.
        rank: [F] 0 = critical, 2 = sheddable.
        order: [F] in which flows are visited: critical first.
        unit: [C, R] load at which a resource's utilisation is 1; inf = bounds nothing.
        grain: [C, R] load that is as much to the cell as all it can do; finite.
        level: [F] marginal price of the last visit, the only field that visits write: where the
            next search begins.
        terms: [E, 8] lower and upper bound, home (the reference), live (-1 = nothing is), harm
            (price of expected bad requests), away and leave (prices of a share above and below
            the reference) and pull (curvature towards it), side by side: what the kernels read
            of an edge is one stretch of memory.
        round_trips: What the reference's own latency would cost. No plan is charged for it; gaps
            are ratios of the whole bill, for a bill of 0 has no ratio.
    """

    start: Ints
    cell: Ints
    scale: Floats
    need: Floats
    shed_price: Floats
    least_shed: Floats
    churn: Floats
    rank: Ints
    order: Ints
    unit: Floats
    grain: Floats
    level: Floats
    terms: Floats
    round_trips: float


def market_of(edges: Edges, prices: Prices) -> tuple[Market, Curves]:
    """Compile a problem."""
    c = len(edges.cells)
    whole_rps = max(float(edges.demand_rps.sum()), 1e-12)
    scale = np.maximum(edges.demand_rps / whole_rps, LEAST_SCALE)
    part = edges.demand_rps / whole_rps / scale
    takes = np.zeros(c, dtype=bool)
    takes[edges.cell[edges.upper > 0.0]] = True
    offered = np.where(np.isfinite(edges.capacity) & takes[:, None], edges.capacity, 0.0)
    total = offered.sum(axis=0)
    bounds = total > 0.0
    need = np.where(bounds, edges.needs * whole_rps / np.where(bounds, total, 1.0), 0.0)
    unit = np.where(np.isfinite(edges.capacity), edges.capacity, np.inf) / np.where(
        bounds, total, 1.0
    )
    unit = np.where(bounds, unit, np.inf)
    need = need * part[:, None]
    curves = _fullness(edges, need, scale, unit, prices)
    weight = edges.weight / max(
        float(edges.weight @ edges.demand_rps) / whole_rps, 1e-12 * edges.weight.max()
    )
    shed = shed_prices(need, weight, edges.demand_rps, edges.priority)
    if edges.load_risk is not None:
        need, unit, curves = _with_harm(edges, edges.load_risk, (need, unit, curves), part)
    terms, trips_s = _terms(edges, weight, prices)
    market = Market(
        start=edges.start.astype(np.int64),
        cell=edges.cell.astype(np.int64),
        scale=scale,
        need=np.ascontiguousarray(need),
        shed_price=shed,
        least_shed=edges.least_shed.astype(np.float64),
        churn=2.0 * prices.churn * edges.move_cost,
        rank=np.clip(edges.priority, 0, 2).astype(np.int64),
        order=np.argsort(edges.priority, kind="stable").astype(np.int64),
        unit=np.ascontiguousarray(unit),
        grain=_grain(unit),
        level=np.zeros(scale.size),
        terms=terms,
        round_trips=float(prices.latency_per_s * (scale @ trips_s)),
    )
    return market, curves


def _terms(edges: Edges, weight: Floats, prices: Prices) -> tuple[Floats, Floats]:
    """`Market.terms`, and [F] the mean round trip of the reference."""
    flow, count = edges.flow, np.diff(edges.start)
    home = edges.reference
    trips_s = edges.sums(home * edges.latency_s)
    slower = prices.latency_per_s * (edges.latency_s - trips_s[flow])
    floor = LEAST_HOME / count
    standing = above_floor(edges.standing_risk, edges.risk_floor)[edges.cell]
    own_risk = above_floor(edges.class_risk, edges.risk_floor)
    away = 2.0 * prices.deviation * np.where(edges.keyed, 2.0, 1.0)
    terms = np.empty((home.size, len(TERMS)))
    terms[:, LOWER] = edges.lower
    terms[:, UPPER] = edges.upper
    terms[:, HOME] = home
    terms[:, LIVE] = -1.0 if edges.previous is None else edges.previous
    terms[:, HARM] = (BAD * weight)[flow] * (1.0 - (1.0 - standing) * (1.0 - own_risk))
    terms[:, AWAY] = away[flow] + np.maximum(slower, 0.0)
    terms[:, LEAVE] = np.maximum(-slower, 0.0)
    terms[:, PULL] = 2.0 * prices.spread / np.maximum(home, floor[flow])
    return terms, trips_s


def _grain(unit: Floats) -> Floats:
    """[C, R] what a cell can do; by its other resources where one bounds nothing."""
    least = unit.min(axis=1, keepdims=True)
    mean = 1.0 / unit.shape[0]
    grain: Floats = np.where(np.isfinite(unit), unit, np.where(np.isfinite(least), least, mean))
    return grain


def _fullness(edges: Edges, need: Floats, scale: Floats, unit: Floats, prices: Prices) -> Curves:
    """Price curves of the resources themselves."""
    c, r = unit.shape
    mean = scale @ need
    soft, hard = edges.soft_utilisation, edges.hard_utilisation
    kinks = KINKS + len(prices.balance)
    at, price = np.empty((c, r, kinks)), np.empty((c, r, kinks))
    for k in range(r):
        calm = float(np.clip(mean[k] + CALM_MARGIN, CALM_UTILISATION, soft))
        calm = min(calm, soft - CLIMB)
        utilisations, levels = fullness_price(calm, soft, hard, prices)
        bounded = np.minimum(unit[:, k], BOUNDLESS)
        at[:, k], price[:, k] = bounded[:, None] * utilisations, levels
    bounded = np.minimum(unit, BOUNDLESS)
    zero = np.zeros((c, r))
    return Curves(
        at=at, price=price, tail=TAIL / bounded, limit=hard * bounded, learned=zero, flex=zero
    )


def _with_harm(
    edges: Edges, risk: LoadRisk, resources: tuple[Floats, Floats, Curves], part: Floats
) -> tuple[Floats, Floats, Curves]:
    """One more resource: the work by which load-dependent risk is counted."""
    need, unit, curves = resources
    c = unit.shape[0]
    per_request = work_per_request(edges.needs, edges.capacity)
    whole = max(float(per_request @ edges.demand_rps), 1e-12)
    work = per_request * float(edges.demand_rps.sum()) / whole * part
    kinks = curves.at.shape[2]
    excess = excess_risk_of(risk, edges.standing_risk, edges.risk_floor)
    multiples, price = harm_prices(risk.loads, excess, kinks)
    known = np.isfinite(multiples[:, :1])
    at = np.where(
        known,
        np.where(known, multiples, 0.0) * risk.present_work[:, None] / whole,
        BOUNDLESS * np.arange(1.0, kinks + 1.0),
    )[:, None]
    price = price[:, None]
    zero = np.zeros((c, curves.at.shape[1] + 1))
    more = Curves(
        learned=zero,
        flex=zero,
        at=np.concatenate([curves.at, at], axis=1),
        price=np.concatenate([curves.price, price], axis=1),
        tail=np.concatenate([curves.tail, np.zeros((c, 1))], axis=1),
        limit=np.concatenate([curves.limit, np.full((c, 1), BOUNDLESS)], axis=1),
    )
    return (
        np.column_stack([need, work]),
        np.column_stack([unit, np.full(c, np.inf)]),
        more,
    )
