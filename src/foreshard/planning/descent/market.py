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

from foreshard.planning.descent.tariff import (
    BAD,
    KINKS,
    TAIL,
    fullness_price,
    harm_price,
    shed_prices,
)
from foreshard.planning.edges import Edges, Ints
from foreshard.planning.formulation import CALM_MARGIN, CALM_UTILISATION, Prices
from foreshard.planning.problem import Floats, LoadRisk, work_per_request
from foreshard.planning.risk import above_floor, excess_risk_of, segments_of

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
# Infinite, as a limit on load.
BOUNDLESS = 1e18


class Curves(NamedTuple):
    """The price of every cell and resource over its load, and where load must stop.

    Attributes:
        at: [C, R, K] loads of the kinks, in fleet work; rising.
        price: [C, R, K] at each kink; constant before the first.
        tail: [C, R] slope after the last.
        limit: [C, R] load that no step may pass.
    """

    at: Floats
    price: Floats
    tail: Floats
    limit: Floats


class Market(NamedTuple):
    """See the module. The last resource may be the work that load-dependent risk counts.

    Attributes:
        start: [F + 1].
        cell: [E].
        scale: [F] part of all demand.
        need: [F, R] fleet work of a request.
        shed_price: [F] per request.
        least_shed: [F].
        lower: [E].
        upper: [E].
        home: [E] reference shares.
        live: [E] live shares; -1 = nothing is live.
        harm: [E] price of expected bad requests.
        away: [E] price of a share above the reference.
        leave: [E] price of a share below the reference.
        churn: [F] price of a share above the live one.
        pull: [E] curvature towards the reference.
        order: [F] in which flows are visited: critical first.
        unit: [C, R] load at which a resource's utilisation is 1; inf = bounds nothing.
        terms: [E, 8] lower, upper, home, live, harm, away, leave and pull side by side: what the
            kernels read of an edge is one stretch of memory.
        round_trips: What the reference's own latency would cost. No plan is charged for it; gaps
            are ratios of the whole bill, for a bill of 0 has no ratio.
    """

    start: Ints
    cell: Ints
    scale: Floats
    need: Floats
    shed_price: Floats
    least_shed: Floats
    lower: Floats
    upper: Floats
    home: Floats
    live: Floats
    harm: Floats
    away: Floats
    leave: Floats
    churn: Floats
    pull: Floats
    order: Ints
    unit: Floats
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
    flow, count = edges.flow, np.diff(edges.start)
    home = edges.reference
    trips_s = edges.sums(home * edges.latency_s)
    slower = prices.latency_per_s * (edges.latency_s - trips_s[flow])
    floor = LEAST_HOME / count[flow]
    standing = above_floor(edges.standing_risk, edges.risk_floor)[edges.cell]
    own_risk = above_floor(edges.class_risk, edges.risk_floor)
    away = 2.0 * prices.deviation * np.where(edges.keyed, 2.0, 1.0)[flow]
    own = {
        "lower": edges.lower,
        "upper": edges.upper,
        "home": home,
        "live": np.full(home.size, -1.0) if edges.previous is None else edges.previous,
        "harm": BAD * weight[flow] * (1.0 - (1.0 - standing) * (1.0 - own_risk)),
        "away": away + np.maximum(slower, 0.0),
        "leave": np.maximum(-slower, 0.0),
        "pull": 2.0 * prices.spread / np.maximum(home, floor),
    }
    market = Market(
        start=edges.start.astype(np.int64),
        cell=edges.cell.astype(np.int64),
        scale=scale,
        need=np.ascontiguousarray(need),
        shed_price=shed,
        least_shed=edges.least_shed.astype(np.float64),
        churn=2.0 * prices.churn * edges.move_cost,
        order=np.argsort(edges.priority, kind="stable").astype(np.int64),
        unit=np.ascontiguousarray(unit),
        terms=np.stack([own[name] for name in TERMS], axis=1),
        round_trips=float(prices.latency_per_s * (scale @ trips_s)),
        **own,
    )
    return market, curves


def _fullness(edges: Edges, need: Floats, scale: Floats, unit: Floats, prices: Prices) -> Curves:
    """Price curves of the resources themselves."""
    c, r = unit.shape
    mean = scale @ need
    soft, hard = edges.soft_utilisation, edges.hard_utilisation
    kinks = KINKS + len(prices.balance)
    at, price = np.empty((c, r, kinks)), np.empty((c, r, kinks))
    for k in range(r):
        calm = float(np.clip(mean[k] + CALM_MARGIN, CALM_UTILISATION, soft))
        utilisations, levels = fullness_price(calm, soft, hard, prices)
        bounded = np.minimum(unit[:, k], BOUNDLESS)
        at[:, k], price[:, k] = bounded[:, None] * utilisations, levels
    bounded = np.minimum(unit, BOUNDLESS)
    return Curves(at=at, price=price, tail=TAIL / bounded, limit=hard * bounded)


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
    at = np.tile(BOUNDLESS * np.arange(1.0, kinks + 1.0), (c, 1, 1))
    price = np.zeros((c, 1, kinks))
    excess = excess_risk_of(risk, edges.standing_risk, edges.risk_floor)
    for cell, segments in segments_of(risk, excess).items():
        widths, slopes = np.array(segments).T
        loads, levels = harm_price(widths, slopes, kinks)
        at[cell, 0] = loads * risk.present_work[cell] / whole
        price[cell, 0] = levels
    more = Curves(
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
