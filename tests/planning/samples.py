"""This module is the sample problems that planning tests share: the shop, and random ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from foreshard.model.workload import Flow
from foreshard.planning.problem import LoadRisk, Problem, reference_shares

__all__ = ["CELLS", "LOADS", "problems", "shop"]

CELLS = ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3")
LOADS = np.linspace(0.0, 2.0, 9)


def shop(load: float = 0.62, **changes: Any) -> Problem:  # noqa: ANN401 - any field of a Problem
    """Six equal cells of three cpus; search is half of the cpu time, report a third."""
    capacity = np.full((6, 1), 3.0)
    eligible = np.ones((3, 6), dtype=bool)
    problem = Problem(
        cells=CELLS,
        resources=("cpu",),
        flows=tuple(Flow("edge", name) for name in ("checkout", "search", "report")),
        demand_rps=18.0 / 0.0248 * load * np.array([0.4, 0.5, 0.1]),
        needs=np.array([[0.012], [0.024], [0.08]]),
        capacity=capacity,
        eligible=eligible,
        weight=np.array([10.0, 3.0, 1.0]),
        priority=np.array([0, 1, 2]),
        keyed=np.array([True, False, False]),
        reference=reference_shares(capacity, eligible, np.ones(6, dtype=bool)),
    )
    return replace(problem, **changes)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Random problems of all kinds: residency, bounds, risk, two resources, any load."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    f, c = draw(st.integers(1, 5)), draw(st.integers(2, 7))
    r = draw(st.integers(1, 2))
    load = draw(st.sampled_from([0.0, 0.3, 0.6, 0.8, 0.95, 1.3, 3.0]))
    capacity = rng.uniform(0.5, 2.0, (c, r))
    if r == 2 and draw(st.booleans()):
        capacity[:, 1] = np.inf
    eligible = rng.random((f, c)) < draw(st.sampled_from([1.0, 0.7]))
    eligible[np.arange(f), rng.integers(0, c, f)] = True
    needs = rng.uniform(0.2, 3.0, (f, r)) * 1e-2
    takes = rng.random(c) < 0.9
    demand = rng.uniform(0.1, 1.0, f)
    work = demand @ needs
    bounding = np.isfinite(capacity).all(axis=0)
    demand *= load * float((capacity.sum(axis=0) / work)[bounding].min())
    upper = np.where(takes[None, :] & (rng.random((f, c)) < 0.8), 1.0, rng.uniform(0.0, 0.3))
    upper = np.where(takes[None, :], upper, 0.0)
    reference = reference_shares(capacity, eligible, takes)
    lower = np.where(rng.random((f, c)) < 0.2, 0.5 * reference, 0.0)
    risky = draw(st.booleans())
    load_p = np.maximum.accumulate(rng.random((c, LOADS.size)) ** 4, axis=1)
    return Problem(
        cells=tuple(f"cell-{i}" for i in range(c)),
        resources=("cpu", "net")[:r],
        flows=tuple(Flow(f"region-{i % 2}", f"class-{i}") for i in range(f)),
        demand_rps=demand,
        needs=needs,
        capacity=capacity,
        eligible=eligible,
        weight=rng.choice([1.0, 3.0, 10.0], f),
        priority=rng.integers(0, 3, f),
        keyed=rng.random(f) < 0.5,
        reference=reference,
        latency_s=rng.choice([0.0, 0.01, 0.08], (f, c)),
        standing_risk=np.where(rng.random(c) < 0.3, rng.random(c), 0.0) * risky,
        class_risk=np.where(rng.random((f, c)) < 0.2, rng.random((f, c)), 0.0) * risky,
        load_risk=LoadRisk(loads=LOADS, p=load_p, present_work=rng.uniform(0.0, 1.0, c))
        if risky and draw(st.booleans())
        else None,
        previous=reference if draw(st.booleans()) else None,
        lower=np.minimum(lower, np.where(eligible, upper, 0.0)),
        upper=upper,
    )
