"""This module is how risk is priced: what noise is, and how a curve over load becomes convex.

Weighted rate times p(load) is bilinear in the classes and not convex. Planners use a convex
surrogate: load-independent risk times rate, plus the lower convex hull of load x p(load) per
cell, at the fleet's mean weight per unit of work. `true_cost` measures the distance.
"""

from __future__ import annotations

import numpy as np

from foreshard.planning.problem import Floats, LoadRisk, Problem

__all__ = [
    "Segments",
    "above_floor",
    "bad_per_share",
    "excess_risk",
    "excess_risk_of",
    "load_segments",
    "lower_hull",
    "segments_of",
]

Segments = tuple[tuple[float, float], ...]


def above_floor(p: Floats, floor: float) -> Floats:
    """Probability with the noise taken off: 0 up to the floor, then straight up to 1 at 1."""
    return np.maximum(0.0, p - floor) / (1.0 - floor)


def bad_per_share(problem: Problem) -> Floats:
    """[F, C] weighted bad requests a second if all of a flow went to a cell.

    Only risk that no relief cures and risk of the class alone; the two are independent.
    """
    standing = above_floor(problem.standing_risk, problem.risk_floor)
    own = above_floor(problem.class_risk, problem.risk_floor)
    p = 1.0 - (1.0 - standing[None, :]) * (1.0 - own)
    rate: Floats = problem.weight * problem.demand_rps
    return rate[:, None] * p


def excess_risk(problem: Problem) -> Floats:
    """[C, L] the part of P(failure) that relief of load cures; 0 where nothing is known."""
    risk = problem.load_risk
    if risk is None:
        return np.zeros((len(problem.cells), 1))
    return excess_risk_of(risk, problem.standing_risk, problem.risk_floor)


def excess_risk_of(risk: LoadRisk, standing_risk: Floats, floor: float) -> Floats:
    """[C, L] the same of a curve alone; standing_risk is [C]."""
    standing = above_floor(standing_risk, floor)
    excess = np.maximum(0.0, above_floor(risk.p, floor) - standing[:, None])
    return np.where(risk.present_work[:, None] > 0.0, excess, 0.0)


def lower_hull(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Vertices of the largest convex function below the points (x rising)."""
    kept: list[int] = []
    for i in range(x.size):
        while len(kept) >= 2 and _is_above(x, y, (kept[-2], kept[-1], i)):
            kept.pop()
        kept.append(i)
    return x[kept], y[kept]


def _is_above(x: Floats, y: Floats, points: tuple[int, int, int]) -> bool:
    a, b, c = points
    return bool((y[b] - y[a]) * (x[c] - x[a]) >= (y[c] - y[a]) * (x[b] - x[a]))


def load_segments(problem: Problem) -> dict[int, Segments]:
    """The convex surrogate of load-dependent harm, for the cells that have any.

    Returns:
        By cell index: (width in load multiples, slope in load x probability per load); the
        last width is inf. Slopes never fall.
    """
    risk = problem.load_risk
    return {} if risk is None else segments_of(risk, excess_risk(problem))


def segments_of(risk: LoadRisk, excess: Floats) -> dict[int, Segments]:
    """The same from a curve and its [C, L] excess."""
    found: dict[int, Segments] = {}
    for c in np.flatnonzero(excess.max(axis=1) > 0.0):
        x, y = lower_hull(risk.loads, risk.loads * excess[c])
        slopes = np.diff(y) / np.diff(x)
        beyond = max(float(slopes[-1]), float(excess[c, -1]))
        found[int(c)] = (
            *zip(np.diff(x).tolist(), slopes.tolist(), strict=True),
            (float("inf"), beyond),
        )
    return found
