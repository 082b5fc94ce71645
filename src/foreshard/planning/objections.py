"""This module is the guards: each one reason not to act, none of them a planner.

A guard takes a `Case` and yields its objections. None objects to the base (what happens if
nothing is decided), so a plan that is no worse than the base is never refused for what the
base has already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from foreshard.model.plan import Plan, Reason
from foreshard.planning.case import TOLERANCE, Case
from foreshard.planning.phases import Why
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.situation import Situation

__all__ = ["GUARDS", "Guard", "malformed", "objections"]

Guard = Callable[[Case], Iterator[Reason]]

# Sums of shares; the tolerance of `Split`.
SUM_TOLERANCE = 1e-6
# Floating point, where not even a small step is meant.
DUST = 1e-6
# A cell with less of a flow than this does not count as one that serves it.
TRACE = 0.01
MINUTE_S, HOUR_S = 60.0, 3_600.0


def malformed(plan: Plan, situation: Situation) -> tuple[Reason, ...]:
    """Objections of `guard.sum`: the plan does not split every flow, once and wholly."""
    texts = [
        f"{flow.request_class} from {flow.origin} is not split"
        for flow in situation.flows
        if flow not in plan.splits
    ]
    flows, cells = frozenset(situation.flows), frozenset(situation.cells)
    for flow, split in sorted(plan.splits.items()):
        name = f"{flow.request_class} from {flow.origin}"
        if flow not in flows:
            texts.append(f"{name} is not a flow of this fleet")
            continue
        unknown = sorted(split.shares.keys() - cells)
        if unknown:
            texts.append(f"{name} goes to {', '.join(unknown)}, not in this fleet")
        parts = np.array([*split.shares.values(), split.shed])
        if not bool((parts >= -SUM_TOLERANCE).all() and abs(parts.sum() - 1.0) <= SUM_TOLERANCE):
            texts.append(f"{name} sums to {parts.sum():.6f}, must sum to 1 with no share below 0")
    return tuple(Reason(subject="fleet", code="guard.sum", text=text) for text in texts)


def objections(case: Case) -> tuple[Reason, ...]:
    """All objections of all guards."""
    return tuple(reason for guard in GUARDS for reason in guard(case))


def _eligibility(case: Case) -> Iterator[Reason]:
    forbidden = (case.candidate[:, :-1] > 0.0) & ~case.situation.permitted
    for f, c in np.argwhere(forbidden):
        cell, flow = case.situation.cells[c], case.situation.flows[f]
        share = float(case.candidate[f, c])
        yield Reason(
            subject=cell,
            code="guard.eligibility",
            text=f"{cell} would get {share:.1%} of {flow.request_class} but may take none",
            facts={"share": share},
        )


def _ceiling(case: Case) -> Iterator[Reason]:
    yield from _above(case, case.budget.ceiling, "guard.ceiling", "its ceiling")


def _rest_ceiling(case: Case) -> Iterator[Reason]:
    evacuated = case.evacuated()
    if evacuated:
        names = ", ".join(evacuated)
        yield from _above(
            case,
            case.budget.rest_ceiling,
            "guard.rest_ceiling",
            f"what evacuating {names} on a forecast may cost the rest",
        )


def _above(case: Case, ceiling: float, code: str, what: str) -> Iterator[Reason]:
    used = case.used(case.candidate)
    held = np.zeros(used.size) if case.is_first else case.used(case.base)
    limit = np.maximum(ceiling, held)
    # Against the base without tolerance: many small steps must not add up to a large one.
    for c in np.flatnonzero((used > ceiling + TOLERANCE) & (used > held + DUST)):
        cell = case.situation.cells[c]
        yield Reason(
            subject=cell,
            code=code,
            text=f"{cell} would run at {used[c]:.0%}, above {what} ({limit[c]:.0%})",
            facts={"utilisation": float(used[c]), "ceiling": float(limit[c])},
        )


def _change_budget(case: Case) -> Iterator[Reason]:
    if case.is_first:
        return
    moved, now_s = case.moved_ratio, case.situation.now_s
    steps = case.situation.moved
    recent = sum(m.ratio for m in steps if now_s - m.at_s < MINUTE_S)
    chosen = case.chosen_ratio
    lately = sum(m.chosen for m in steps if now_s - m.at_s < HOUR_S)
    for moves, ratio, limit, span in (
        (moved, moved, case.budget.max_moved_per_tick, "at once"),
        (moved, moved + recent, case.budget.max_moved_per_minute, "within a minute"),
        (chosen, chosen + lately, case.budget.max_moved_per_hour, "within an hour by choice"),
    ):
        if moves > TOLERANCE and ratio > limit + TOLERANCE:
            yield Reason(
                subject="fleet",
                code="guard.change_budget",
                text=f"{ratio:.1%} of traffic would move {span}, the budget is {limit:.1%}",
                facts={"moved_ratio": ratio, "budget": limit},
            )


def _min_cells(case: Case) -> Iterator[Reason]:
    able = case.situation.permitted.sum(axis=1)
    needed = np.minimum(case.budget.min_cells, able)
    if not case.is_first:
        needed = np.minimum(needed, _serving(case.base))
    serving = _serving(case.candidate)
    for f in np.flatnonzero(serving < needed):
        name = case.situation.flows[f].request_class
        yield Reason(
            subject="fleet",
            code="guard.min_cells",
            text=f"{name} would be served by {serving[f]} cells, must be at least {needed[f]}",
            facts={"cells": float(serving[f]), "min_cells": float(needed[f])},
        )


def _region_budget(case: Case) -> Iterator[Reason]:
    if case.is_first:
        return
    limit = case.budget.max_moved_per_region
    for region, ratio in case.left_ratios().items():
        if ratio > limit + TOLERANCE:
            yield Reason(
                subject="fleet",
                code="guard.region_budget",
                text=f"{ratio:.1%} of the traffic of region {region} would leave its cells at "
                f"once, the budget is {limit:.1%}",
                facts={"moved_ratio": ratio, "budget": limit},
            )


def _min_zones(case: Case) -> Iterator[Reason]:
    serving = _zones(case, _shown(case.candidate))
    # A far region is not asked in for the sake of its zones.
    member = np.array(list(case.situation.regions.values()), dtype=np.float64)
    near = (_shown(case.candidate) @ member.T > 0.0) @ member > 0.0
    # What must leave a cell, or a class that must, is not kept for the sake of zones either.
    able = case.situation.permitted & near & ~case.mobile & ~case.leaving & ~case.situation.off
    needed = np.minimum(case.budget.min_zones, _zones(case, able))
    if not case.is_first:
        needed = np.minimum(needed, _zones(case, _shown(case.base)))
    for f in np.flatnonzero(serving < needed):
        name = case.situation.flows[f].request_class
        yield Reason(
            subject="fleet",
            code="guard.min_zones",
            text=f"{name} would be served in {serving[f]} zone, must be in {needed[f]} at least",
            facts={"zones": float(serving[f]), "min_zones": float(needed[f])},
        )


def _zones(case: Case, cells: Flags) -> NDArray[np.int64]:
    """[F] how many zones some cells [F, C] of each flow stand in."""
    there = cells.astype(np.float64) @ case.situation.zones.T
    count: NDArray[np.int64] = (there > 0.0).sum(axis=1)
    return count


def _shown(shares: Floats) -> Flags:
    """[F, C] cells that serve some of a flow; of one that is shed whole, all that are left."""
    served = np.maximum(1.0 - shares[:, -1:], DUST)
    return np.asarray(shares[:, :-1] >= TRACE * served)


def _cooldown(case: Case) -> Iterator[Reason]:
    for cell, age_s in case.too_soon().items():
        yield Reason(
            subject=cell,
            code="guard.cooldown",
            text="would get work back that was taken off it less than "
            f"{case.budget.cooldown_s:.0f} s ago; it waits, others take it",
            facts={"age_s": age_s},
        )


def _freeze(case: Case) -> Iterator[Reason]:
    frozen = case.situation.frozen
    if frozen and not case.is_first and bool((np.abs(case.candidate - case.base) > DUST).any()):
        yield Reason(subject="fleet", code="guard.change_freeze", text=frozen)


def _serving(shares: Floats) -> NDArray[np.int64]:
    """[F] cells that serve what is served of a flow: one that is shed whole is on all of them."""
    count: NDArray[np.int64] = _shown(shares).sum(axis=1)
    return count


def _stale_telemetry(case: Case) -> Iterator[Reason]:
    if case.is_first:
        return
    situation = case.situation
    ages = [situation.telemetry_age_s.get(cell, float("inf")) for cell in situation.cells]
    stale = (np.array(ages) > case.budget.stale_s) & ~case.mobile
    change = case.candidate - case.base
    own = ~case.mobile & np.array([cell not in situation.peers for cell in situation.cells])
    if 2 * int((stale & own).sum()) > int(own.sum()):
        if bool((np.abs(change) > DUST).any()):
            yield Reason(
                subject="fleet",
                code="guard.stale_telemetry",
                text=f"{stale.sum()} of {stale.size} cells are silent, nothing is moved blindly",
                facts={"stale_cells": float(stale.sum())},
            )
        return
    rises = (change[:, :-1] > DUST).any(axis=0)
    for c in np.flatnonzero(stale & rises):
        cell = situation.cells[c]
        yield Reason(
            subject=cell,
            code="guard.stale_telemetry",
            text=f"{cell} would get more work, but was last heard of {ages[c]:.0f} s ago",
            facts={"age_s": ages[c]},
        )


def _half_before_whole(case: Case) -> Iterator[Reason]:
    if case.is_first:
        return
    situation, budget = case.situation, case.budget
    live, base = case.traffic(case.live), case.traffic(case.base)
    after = case.traffic(case.candidate)
    for c in np.flatnonzero(~case.mobile):
        cell = situation.cells[c]
        begun = situation.evacuating.get(cell)
        if begun is not None and situation.now_s - begun.since_s >= budget.confirm_s:
            continue
        floor = (1.0 - budget.first_step_ratio) * live[c]
        if begun is not None and not np.isnan(begun.share_before):
            floor = min(live[c], (1.0 - budget.first_step_ratio) * begun.share_before)
        if after[c] < min(floor, base[c]) - TOLERANCE:
            yield Reason(
                subject=cell,
                code="guard.half_before_whole",
                text=f"{cell} would fall from {live[c]:.1%} to {after[c]:.1%} of traffic at once, "
                f"the rest must wait {budget.confirm_s:.0f} s",
                facts={"traffic": float(after[c]), "floor": float(floor)},
            )


def _one_evacuation(case: Case) -> Iterator[Reason]:
    situation = case.situation
    fresh = sorted(cell for cell, is_new in case.evacuated().items() if is_new)
    dead = {c for c, is_dead in zip(situation.cells, situation.dead, strict=True) if is_dead}
    going_on = {c for c, e in situation.evacuating.items() if e.why is Why.FORECAST} - dead
    total = len(fresh) + len(going_on)
    if fresh and total > case.budget.max_evacuations:
        yield Reason(
            subject=fresh[0],
            code="guard.one_evacuation",
            text=f"{', '.join(fresh)} would be evacuated on a forecast while "
            f"{', '.join(sorted(going_on)) or 'none'} is; {case.budget.max_evacuations} at a time",
            facts={"evacuations": float(total)},
        )


GUARDS: tuple[Guard, ...] = (
    _eligibility,
    _ceiling,
    _change_budget,
    _region_budget,
    _cooldown,
    _min_cells,
    _min_zones,
    _stale_telemetry,
    _half_before_whole,
    _one_evacuation,
    _rest_ceiling,
    _freeze,
)
