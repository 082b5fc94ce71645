"""This module is the question of one tick: what the planner is asked, given what is believed."""

from __future__ import annotations

import numpy as np

from foreshard.engine.ledger import can_leave, short_cells, still_refused, takers
from foreshard.engine.scrutiny import is_heard
from foreshard.engine.state import EngineState
from foreshard.engine.witness import limits
from foreshard.model.telemetry import Observation
from foreshard.planning.bounds import Standing, caps_of
from foreshard.planning.brief import Bounds, Estimate, Ground, Risks, problem_of, shares_of
from foreshard.planning.budget import Budget
from foreshard.planning.phases import Phase, Why
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Problem

__all__ = ["pose"]


def pose(
    state: EngineState,
    estimate: Estimate,
    observation: Observation,
    ground: Ground,
    *,
    policy: Policy,
    budget: Budget,
) -> Problem:
    """The planning problem of one tick.

    Args:
        state: With a plan.
        estimate: Demand, needs, capacity.
        observation: The newest.
        ground: Fleet, classes, flows.
        policy: Timings.
        budget: Ceilings.
    """
    assert state.plan is not None  # noqa: S101 - the first plan was made before
    cells = state.cells
    takes, eligible = takers(cells, ground), ground.eligible
    live = shares_of(state.plan, ground)
    doomed = frozenset(
        name
        for name, cell in cells.items()
        if cell.why is Why.FORECAST and cell.phase in (Phase.DRAINING, Phase.DRAINED)
    )
    crowded = frozenset(
        name
        for name in doomed
        if not can_leave(state, estimate, ground, name, part=1.0, ceiling=budget.rest_ceiling)
    )
    home = ground.quiet_shares(estimate, np.ones_like(takes))
    standing = Standing(
        cells=ground.fleet.names,
        flows=ground.flows,
        home=home,
        live=live,
        eligible=eligible,
        silent=frozenset(
            n for n, r in observation.cells.items() if not is_heard(r, budget.stale_s)
        ),
        crowded=crowded,
        most=estimate.most_shares(ground.flows),
        trusted=limits(state.trust, ground),
        short=short_cells(estimate, eligible, home, takes, ceiling=budget.rest_ceiling),
    )
    lower, upper = caps_of(cells, state.shuns, standing, now_s=observation.now_s, policy=policy)
    apart = state.workload.factor.max(axis=1) > 1.0
    risks = Risks(
        standing=np.array([float(n in doomed) for n in ground.fleet.names]),
        load=state.caution.load_risk(apart.tolist()),
    )
    bounds = Bounds(
        takes=takes,
        lower=lower,
        upper=upper,
        least_shed=still_refused(live, estimate, ground, takes, interval_s=observation.interval_s),
    )
    return problem_of(ground, estimate, bounds, risks, previous=state.plan, prices=state.prices)
