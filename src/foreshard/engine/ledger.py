"""This module is what the fleet can carry, and who is being relieved of how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from foreshard.engine.scrutiny import change_freeze
from foreshard.engine.state import EngineState
from foreshard.engine.witness import distrusted, limits
from foreshard.model.plan import Reason
from foreshard.model.telemetry import Fresh, Observation
from foreshard.model.workload import RequestClass
from foreshard.planning.bounds import KEPT_RATIO, OUT, takes_work
from foreshard.planning.brief import Estimate, Ground, shares_of
from foreshard.planning.budget import Budget
from foreshard.planning.formulation import refused_above
from foreshard.planning.phases import CellState, Phase, Why
from foreshard.planning.problem import Flags, Floats, Problem
from foreshard.planning.restoring import Room, cell_sets, least_shed
from foreshard.planning.shunning import Stage
from foreshard.planning.situation import Evacuation, Situation
from foreshard.planning.true_cost import expected_bad

__all__ = [
    "CHANGED",
    "alternatives",
    "can_leave",
    "class_leaves",
    "evacuations",
    "half_leaves",
    "is_affordable",
    "is_of_others",
    "is_worth_it",
    "lightened",
    "short_cells",
    "situation_of",
    "step_of",
    "still_refused",
    "takers",
    "untried",
]

# A share that would change by less than this part of a mean cell's share stays where it is:
# moving it costs more than it brings.
DEAD_BAND = 0.08
# What is shed is a request refused, not one moved: it is worth less of a band.
SHED_BAND = 0.005
# Rounding of shares to slots and weights.
ROUNDING = 2e-3
# A cell that loses less of what it had is not worth a word.
LIGHTENED_RATIO = 0.05


CHANGED = Reason(
    subject="fleet",
    code="classes.changed",
    text="the request classes have changed: balancers are told, shares stay as they are",
)
"""Why a table is sent that moves nothing."""


def is_of_others(state: EngineState, classes: Sequence[RequestClass], default: str) -> bool:
    """Whether the live table is of other classes than these and nothing is to take its place."""
    table = state.table
    if table is None or state.pending is not None:
        return False
    served = tuple(route.request_class for route in table.classes)
    return served != tuple(classes) or table.default_class != default


def takers(cells: Mapping[str, CellState], ground: Ground) -> Flags:
    """[C] which cells take work."""
    return np.array([takes_work(cells[name]) for name in ground.fleet.names])


def untried(state: EngineState, estimate: Estimate, ground: Ground) -> frozenset[str]:
    """Returning cells that the live plan gives nothing, though they have a share to return to."""
    returning = [n for n, cell in state.cells.items() if cell.phase is Phase.WARMING]
    if not returning or state.plan is None:
        return frozenset()
    served = (shares_of(state.plan, ground) > 0.0).any(axis=0)
    home = ground.quiet_shares(estimate, np.ones_like(served))
    idle = np.flatnonzero(~served & (home > 0.0).any(axis=0)).tolist()
    return frozenset(returning) & {ground.fleet.names[c] for c in idle}


def can_leave(
    state: EngineState,
    estimate: Estimate,
    ground: Ground,
    cell: str,
    *,
    part: float,
    ceiling: float,
) -> bool:
    """Whether those that are trusted could carry `part` of a cell's share; see `is_affordable`."""
    return is_affordable(
        estimate,
        takers(state.cells, ground) & ~state.trust.doubted,
        ground.eligible,
        ground.fleet.index[cell],
        part=part,
        ceiling=ceiling,
    )


def half_leaves(
    state: EngineState, estimate: Estimate, ground: Ground, budget: Budget
) -> Callable[[str], bool]:
    """Whether half of a cell's share could leave it, on a forecast."""
    ceiling = budget.rest_ceiling
    return lambda cell: can_leave(state, estimate, ground, cell, part=0.5, ceiling=ceiling)


def class_leaves(
    state: EngineState, estimate: Estimate, ground: Ground, budget: Budget
) -> Callable[[str, str], bool]:
    """Whether one class could leave a cell, on a forecast, by class and cell.

    The others take it under `budget.rest_ceiling`; what else they serve may change places with
    it, so each set of cells that some flow is confined to is counted as a whole.
    """
    takes = takers(state.cells, ground)
    able = ground.eligible & takes
    if (part := limits(state.trust, ground)) is not None:
        able &= part >= 1.0
    names = np.array([flow.request_class for flow in ground.flows])
    for (request_class, name), off in state.shuns.items():
        if off.stage is Stage.AWAY:
            able[names == request_class, ground.fleet.index[name]] = False
    bounds = np.isfinite(estimate.capacity).all(axis=0)
    most = budget.rest_ceiling * estimate.capacity[:, bounds]
    work = estimate.demand_rps[:, None] * estimate.needs[:, bounds]

    def leaves(request_class: str, cell: str) -> bool:
        left = able.copy()
        left[names == request_class, ground.fleet.index[cell]] = False
        sets = cell_sets(left, takes)
        fits = (
            (work[~(left & ~cells).any(axis=1)].sum(axis=0) <= most[cells].sum(axis=0)).all()
            for cells in sets
        )
        return bool(left[names == request_class].any(axis=1).all()) and all(fits)

    return leaves


def is_affordable(
    estimate: Estimate, takes: Flags, able: Flags, cell: int, *, part: float, ceiling: float
) -> bool:
    """Whether the rest could carry `part` of a cell's share under a ceiling.

    What may not leave a region has to fit into the rest of that region.

    Args:
        estimate: Demand, needs, capacity.
        takes: [C] which cells take work; the cell itself is counted in.
        able: [F, C] who may serve what.
        cell: Its index.
        part: Of its share that would leave, in [0, 1].
        ceiling: Utilisation that no resource of the rest may pass, taken together.
    """
    takes = takes.copy()
    takes[cell] = True
    bounds = np.isfinite(estimate.capacity).all(axis=0)
    capacity = estimate.capacity[:, bounds]
    work = estimate.demand_rps[:, None] * estimate.needs[:, bounds]
    for cells in cell_sets(able & takes, takes):
        if not cells[cell]:
            continue
        confined = work[~(able & takes & ~cells).any(axis=1)].sum(axis=0)
        own = capacity[cell] / capacity[cells].sum(axis=0) * confined
        rest = capacity[cells].sum(axis=0) - capacity[cell]
        if ((confined - (1.0 - part) * own) > ceiling * rest).any():
            return False
    return bool(takes.sum() > 1)


def short_cells(
    estimate: Estimate, able: Flags, home: Floats, takes: Flags, *, ceiling: float
) -> Flags:
    """[C] cells whose floors must yield: what must stay there passes a ceiling.

    Residency can make a region short while the fleet has room: what may go nowhere else, and
    what others keep there at least, are held against the region's capacity.

    Args:
        estimate: Demand, needs, capacity.
        able: [F, C] who may serve what.
        home: [F, C] the quiet split of the whole fleet.
        takes: [C] which cells take work.
        ceiling: Utilisation that no resource of such a set of cells may pass, taken together.
    """
    work = estimate.demand_rps[:, None] * estimate.needs
    short = np.zeros(takes.size, dtype=np.bool_)
    for cells in cell_sets(able & takes, takes):
        confined = ~(able & takes & ~cells).any(axis=1)
        stays = np.where(confined, 1.0, KEPT_RATIO * home[:, cells].sum(axis=1))
        if (stays @ work > ceiling * estimate.capacity[cells].sum(axis=0)).any():
            short |= cells
    return short


def still_refused(
    live: Floats, estimate: Estimate, ground: Ground, takes: Flags, *, interval_s: float
) -> Floats:
    """[F] the least that goes on being shed: refused work is let in again in steps.

    Args:
        live: [F, C] shares that are live.
        estimate: Demand, needs, capacity.
        ground: Flows and classes.
        takes: [C] which cells take work.
        interval_s: Since the last decision.
    """
    able = ground.eligible & takes
    return least_shed(
        np.clip(1.0 - live.sum(axis=1), 0.0, 1.0),
        ground.priority,
        estimate.demand_rps[:, None] * estimate.needs,
        Room(
            able=able,
            capacity=np.where(takes[:, None], estimate.capacity, 0.0),
            servable=np.where(able, estimate.most_shares(ground.flows), 0.0).sum(axis=1),
        ),
        ceiling=refused_above(ground.priority),
        interval_s=interval_s,
    )


def situation_of(
    state: EngineState,
    estimate: Estimate,
    ground: Ground,
    observation: Observation,
) -> Situation:
    """The fleet as the guards see it."""
    readings = observation.cells
    barred = {
        name
        for name, cell in state.cells.items()
        if cell.phase in OUT and not (cell.phase is Phase.DRAINED and cell.why is Why.FORECAST)
    }
    return Situation(
        now_s=observation.now_s,
        cells=ground.fleet.names,
        flows=ground.flows,
        eligible=ground.eligible,
        demand_rps=estimate.demand_rps,
        weight=ground.weight,
        needs=estimate.needs,
        capacity=estimate.capacity,
        health={name: reading.health for name, reading in readings.items()},
        telemetry_age_s={
            name: reading.reading.age_s
            for name, reading in readings.items()
            if isinstance(reading.reading, Fresh)
        },
        barred=frozenset(barred),
        evacuating=state.evacuating,
        moved=state.moved,
        distrusted=distrusted(state.trust, ground.fleet),
        returning=frozenset(n for n, cell in state.cells.items() if cell.phase is Phase.WARMING),
        shunned=frozenset(p for p, off in state.shuns.items() if off.stage is not Stage.SUSPECT),
        peers=ground.fleet.peers | observation.lost,
        places=ground.places,
        frozen=frozen.text if (frozen := change_freeze(observation)) else "",
    )


def evacuations(
    state: EngineState,
    cells: Mapping[str, CellState],
    estimate: Estimate,
    ground: Ground,
    observation: Observation,
) -> Mapping[str, Evacuation]:
    """Who is being emptied after this tick, with what each carried before it began."""
    found = {}
    for name, cell in cells.items():
        if cell.phase in (Phase.ACTIVE, Phase.WARMING):
            continue
        before = state.evacuating.get(name)
        if before is not None and before.why is cell.why:
            found[name] = before
            continue
        carried = float("nan")
        if state.plan is not None:
            traffic = situation_of(state, estimate, ground, observation).traffic(
                shares_of(state.plan, ground)
            )
            carried = float(traffic[ground.fleet.index[name]])
        found[name] = Evacuation(since_s=observation.now_s, why=cell.why, share_before=carried)
    return found


def lightened(state: EngineState, problem: Problem, shares: Floats) -> tuple[Reason, ...]:
    """Why cells in full service get less than before: they need more for the same work.

    Args:
        state: Before the plan.
        problem: What the plan answers.
        shares: [F, C] of the plan.
    """
    if problem.previous is None:
        return ()
    weight = problem.demand_rps / max(float(problem.demand_rps.sum()), 1e-9)
    before, after = weight @ problem.previous, weight @ shares
    factor = state.workload.factor.max(axis=1)
    found = []
    for c, name in enumerate(problem.cells):
        if state.cells[name].phase is not Phase.ACTIVE or factor[c] <= 1.0:
            continue
        if after[c] < (1.0 - LIGHTENED_RATIO) * before[c]:
            text = (
                f"needs {factor[c]:.1f} x what its siblings need for the same work; its part of "
                f"the requests falls from {before[c]:.1%} to {after[c]:.1%}"
            )
            facts = {"factor": round(float(factor[c]), 3), "share": round(float(after[c]), 4)}
            found.append(Reason(subject=name, code="cell.lightened", text=text, facts=facts))
    return tuple(found)


def alternatives(problem: Problem, shares: Floats) -> tuple[Reason, ...]:
    """What leaving everything as it is would have cost, beside what was chosen."""
    assert problem.previous is not None  # noqa: S101 - there is a live plan
    stay = expected_bad(problem, problem.previous)
    go = expected_bad(problem, shares)
    busiest = float(problem.utilisation(problem.previous).max())
    text = (
        f"leaving every share as it is: {stay:.1f} expected weighted bad requests/s instead "
        f"of {go:.1f}, the busiest cell at {busiest:.0%}"
    )
    facts = {"stay": round(stay, 3), "go": round(go, 3), "busiest": round(busiest, 3)}
    return (Reason(subject="fleet", code="plan.unchanged", text=text, facts=facts),)


def is_worth_it(problem: Problem, shares: Floats) -> bool:
    """Whether shares differ from the live ones by more than moving is worth."""
    assert problem.previous is not None  # noqa: S101 - there is a live plan
    live = problem.previous
    band = DEAD_BAND / len(problem.cells)
    forced = (live > problem.upper + ROUNDING) | (live < problem.lower - ROUNDING / 20.0)
    # Nothing means nothing: a trace of a class in a cell that fails it is bad requests.
    forced |= (problem.upper <= 0.0) & (live > 0.0)
    shed = np.abs(shares.sum(axis=1) - live.sum(axis=1)) > SHED_BAND
    return bool(forced.any() or shed.any() or (np.abs(shares - live) > band).any())


def step_of(state: EngineState, tried: frozenset[str]) -> Reason:
    """Why shares move when nothing happened: returning cells climb, or load has shifted."""
    moved = state.pending_moved.ratio if state.pending_moved else 0.0
    climbing = [n for n, cell in sorted(state.cells.items()) if cell.phase is Phase.WARMING]
    climbing += sorted(({cell for _, cell in state.shuns} | tried) - set(climbing))
    what = f"next step of the return of {', '.join(climbing)}" if climbing else "load has shifted"
    text = f"{what}; {moved:.1%} of traffic moves"
    return Reason(subject="fleet", code="plan.stepped", text=text)
