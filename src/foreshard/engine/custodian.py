"""This module is the keeper of slots that own data: traffic follows data, never the reverse.

Each tick is planned twice where data must move. The *wish* is the plan as if every permitted
slot could move at once: what it moves is asked to be prepared. The plan that *goes out* is made
with what is ready by now; everything else stays with its live owner, and the rest of the fleet
is planned around it. Whatever a plan asks for, `Estate.place` has the last word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from foreshard.engine.estate import Estate
from foreshard.engine.muster import Muster, muster_of
from foreshard.engine.state import EngineState
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.handover import Notice
from foreshard.model.plan import Plan, Reason
from foreshard.model.routing import RoutingTable
from foreshard.model.telemetry import CellReading, Observation, Outlet
from foreshard.model.topology import Fleet
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.bounds import OUT
from foreshard.planning.custody import Stretch
from foreshard.planning.handover import (
    Handover,
    HandoverPhase,
    HandoverTrigger,
    advance,
    aged,
    answered,
    notice_of,
)
from foreshard.planning.phases import CellState
from foreshard.planning.problem import Custody, Floats, Problem
from foreshard.planning.seating import Ints
from foreshard.planning.situation import Situation
from foreshard.planning.solver import Solution, Solver, SolveStatus
from foreshard.planning.table import Custodians

__all__ = ["Custodian"]

# Shares pass through a solver: its feasibility tolerance is 1e-7.
SAME = 1e-6
NO_REPLICA = "no declared replica takes work"
# A window that begins so soon leaves a person time to stop it, and data time to have left.
LATE_S = 30.0
TELLING = frozenset({HandoverPhase.READY, HandoverPhase.FAILED, HandoverPhase.WITHDRAWN})


class Custodian:
    """Keeps what moves of classes that own data; holds only what never changes.

    Args:
        fleet: The cells.
        classes: Those without data are left alone.
        restart_s: So long may the restart of a cell take.
    """

    def __init__(self, fleet: Fleet, classes: Sequence[RequestClass], *, restart_s: float) -> None:
        self._fleet = fleet
        self._restart_s = restart_s
        self._estates = {c.name: Estate(fleet, c) for c in classes if c.data is not None}

    def muster(
        self,
        cells: Mapping[str, CellState],
        readings: Mapping[str, CellReading],
        *,
        now_s: float,
    ) -> Muster:
        """Who may give and take slots."""
        return muster_of(cells, readings, now_s=now_s, restart_s=self._restart_s)

    def holding(self, table: RoutingTable | None) -> frozenset[str]:
        """Cells that hold slots, by the live table."""
        found = [owners for e in self._estates.values() if (owners := e.owners(table)) is not None]
        return frozenset(self._fleet.names[c] for owners in found for c in np.unique(owners))

    def hear(
        self, state: EngineState, observation: Observation
    ) -> tuple[EngineState, tuple[Reason, ...]]:
        """The state after the answers and the time of one tick, with what changed."""
        now_s, outlet = observation.now_s, observation.outlet
        if state.unsettled and outlet is Outlet.OPEN:
            outlet = Outlet.UNKNOWN
        muster = self.muster(state.cells, observation.cells, now_s=now_s)
        muster = replace(muster, outlet=outlet)
        after, reasons = [], []
        for one in state.handovers:
            now = one
            for reply in observation.replies:
                if reply.handover == now.id:
                    now = answered(now, reply, now_s=now_s)
            # Traffic may have followed it: the service must not be told that it has not.
            if not (now.is_open and outlet is Outlet.UNKNOWN):
                now = _timed(now, muster)
            if now.phase is not one.phase and now.phase in TELLING:
                reasons.append(_told(now))
            if now.phase is not HandoverPhase.OVER:
                after.append(now)
        unsettled = state.unsettled and outlet is Outlet.UNKNOWN
        state = replace(state, unsettled=unsettled)
        state = replace(state, handovers=tuple(after), muster=muster)
        return state, (*reasons, *self._stuck(state, observation))

    def solve(
        self, problem: Problem, state: EngineState, solver: Solver
    ) -> tuple[Problem, Solution, EngineState, tuple[Reason, ...]]:
        """The plan that can go out, after asking for the hand-overs that a better one needs."""
        if not self._estates:
            return problem, solver.solve(problem), state, ()
        wish = self._brief(problem, state, asking=True)
        wished = solver.solve(wish)
        reasons: tuple[Reason, ...] = ()
        able = self._brief(problem, state, asking=False)
        if wished.status is SolveStatus.OPTIMAL:
            state, reasons = self._ask(wish, wished.shares, state)
            # A wish may shed what a cell that must go holds; until it has gone, it serves it.
            bound = bool((wish.upper < able.upper).any())
            if not bound and self._moves_nothing(wish, wished.shares, state):
                return wish, wished, state, reasons
        return able, solver.solve(able), state, reasons

    def is_due(self, state: EngineState) -> bool:
        """Whether a table must go out for the sake of data, however small the step."""
        muster = state.muster
        for estate in self._estates.values():
            if estate.ready(state.handovers) or not estate.is_told(state.table, muster):
                return True
            owners = estate.owners(state.table)
            stuck = estate.are(muster.dead) & estate.ways_out(state.handovers, muster)
            if owners is not None and stuck[owners].any():
                return True
        return False

    def situated(self, situation: Situation, state: EngineState) -> Situation:
        """What guards see, with the cells that must keep a flow because its data is there."""
        muster, keeps = state.muster, np.zeros(situation.eligible.shape, dtype=bool)
        for estate, flows, owners in self._seats(situation.flows, state.table):
            can_leave = estate.ways_out(state.handovers, muster) & estate.are(muster.dead)
            keeps[flows] = (estate.held(owners) > 0.0) & ~can_leave
        return replace(situation, keeps=keeps) if keeps.any() else situation

    def place(self, plan: Plan, state: EngineState) -> Mapping[str, Custodians]:
        """Who holds what once a plan is live: by class that owns data."""
        return {
            name: Custodians(
                holders=estate.place(plan, state.table, state.handovers, state.muster),
                heirs=estate.heirs(state.muster),
            )
            for name, estate in self._estates.items()
        }

    def moves(self, before: RoutingTable | None, after: RoutingTable) -> bool:
        """Whether data has another owner after a table than before."""
        pairs = [(e.owners(before), e.owners(after)) for e in self._estates.values()]
        return any(a is not None and b is not None and (a != b).any() for a, b in pairs)

    def settled(self, state: EngineState, before: RoutingTable | None) -> EngineState:
        """The state when its table is known to be live: moved is what traffic has followed."""
        if not self._estates:
            return state
        after = [h for one in state.handovers if (h := self._settled(one, state)) is not None]
        moved = list(self._unasked(after, before, state))
        return replace(state, handovers=(*after, *moved))

    def notices(self, state: EngineState) -> tuple[Notice, ...]:
        """What is to be told (again)."""
        asked = {n for n, e in self._estates.items() if e.patience_s is not None}
        told = (notice_of(h) for h in state.handovers if h.request_class in asked)
        return tuple(notice for notice in told if notice is not None)

    def _stuck(self, state: EngineState, observation: Observation) -> Iterator[Reason]:
        """Cells whose slots do not leave them as they should; a person should know."""
        muster, due = state.muster, _windows(state, observation)
        for estate in self._estates.values():
            owners = estate.owners(state.table)
            if owners is None:
                continue
            left = estate.held(owners) * owners.size
            ways_out = estate.ways_out((), muster)
            for cell in np.flatnonzero(left > 0.0).tolist():
                name, what = self._fleet.names[cell], f"{left[cell]:.0f} slots of {estate.name}"
                if name in muster.dead and not ways_out[cell]:
                    text = f"is dead and holds {what}; {NO_REPLICA}, so they stay"
                    yield Reason(subject=name, code="handover.stuck", text=text)
                elif name in due and name not in muster.dead:
                    lead = due[name].starts_at_s - observation.now_s
                    begins = f"begins in {lead:.0f} s" if lead >= 0.0 else "has begun"
                    why = "their data has not moved" if ways_out[cell] else NO_REPLICA
                    text = f"maintenance {due[name].id} {begins}, and it holds {what}: {why}"
                    facts = {"slots": float(left[cell])}
                    yield Reason(subject=name, code="maintenance.late", text=text, facts=facts)

    def _moves_nothing(self, wish: Problem, shares: Floats, state: EngineState) -> bool:
        """Whether a wish is what can go out as well, so that it need not be planned again."""
        still = all(bool((shares[list(c.flows)] <= c.held + SAME).all()) for c in wish.custody)
        return still and not any(h.phase is HandoverPhase.READY for h in state.handovers)

    def _brief(self, problem: Problem, state: EngineState, *, asking: bool) -> Problem:
        """The problem with what data allows: the wish, or what can go out now."""
        muster = state.muster
        lower, upper, custody = problem.lower.copy(), problem.upper.copy(), []
        for estate, flows, owners in self._seats(problem.flows, state.table):
            ways = np.isfinite(estate.rank(state.handovers, muster))
            held = estate.held(owners)
            if not asking:
                held = estate.held(estate.switched(owners, estate.ready(state.handovers)))
                ways &= estate.at_once(muster)[:, None]
            custody.append(
                Custody(
                    flows=tuple(flows),
                    held=held,
                    ways=ways,
                    least=lower[flows].min(axis=0),
                    most=upper[flows].max(axis=0),
                )
            )
            lower[flows] = np.minimum(lower[flows], held)
            # Who is in service may keep what it holds, at a price. Who must go, and has a way to,
            # may not: no price outranks a full cell, and a bound is what makes work leave it.
            must_go = estate.are(state.muster.leaving) & ways.any(axis=1)
            upper[flows] = np.where(must_go, upper[flows], np.maximum(upper[flows], held))
            lower[flows] = np.minimum(lower[flows], upper[flows])
        return replace(problem, lower=lower, upper=upper, custody=tuple(custody))

    def _ask(
        self, problem: Problem, shares: Floats, state: EngineState
    ) -> tuple[EngineState, tuple[Reason, ...]]:
        """Hand-overs that a wish asks for, without those that it has no use for any more."""
        muster, kept, reasons = state.muster, {h.id: h for h in state.handovers}, []
        if muster.outlet is Outlet.UNKNOWN:
            return state, ()
        for estate, flows, owners in self._seats(problem.flows, state.table):
            patience_s = estate.patience_s
            if patience_s is None:
                continue
            wanted = estate.wanted(shares[flows].mean(axis=0), owners)
            for one in estate.superfluous(state.handovers, owners, wanted, muster):
                text = "the plan has no use for it any more"
                gone = advance(one, HandoverTrigger.WITHDRAWN, now_s=muster.now_s, because=text)
                kept[one.id] = gone
                reasons.append(_told(gone))
            demand_rps = float(problem.demand_rps[flows].sum())
            wished = estate.wished(tuple(kept.values()), owners, wanted, muster)
            if muster.outlet is Outlet.SHUT:
                reasons.extend(self._waits(estate, wished))
                continue
            for part in wished:
                asked = self._handover(estate, part, owners.size, muster)
                kept[asked.id] = asked
                requests = demand_rps * part.length / owners.size
                reasons.append(_asks(asked, requests * estate.moving_s))
        return replace(state, handovers=tuple(kept.values())), tuple(reasons)

    def _waits(self, estate: Estate, wished: Sequence[Stretch]) -> Iterator[Reason]:
        """Data that would be copied in vain while traffic cannot follow it."""
        for source in sorted({part.source for part in wished}):
            slots = sum(part.length for part in wished if part.source == source)
            text = (
                f"{slots} slots of {estate.name} are to leave; nobody is asked while balancers "
                "take no table"
            )
            name = self._fleet.names[source]
            yield Reason(subject=name, code="handover.waits", text=text)

    def _settled(self, one: Handover, state: EngineState) -> Handover | None:
        """One hand-over beside what is live; None = it is of another fleet or class."""
        estate = self._estates.get(one.request_class)
        owners = estate.owners(state.table) if estate is not None else None
        index = self._fleet.index
        known = one.source in index and one.target in index
        if owners is None or owners.size != one.slot_count or not known:
            return None
        mine, now_s = owners[one.slots], state.muster.now_s
        if one.is_open and (mine == index[one.target]).all():
            text = "" if one.phase is HandoverPhase.READY else f"{one.source} is dead"
            return advance(one, HandoverTrigger.SWITCHED, now_s=now_s, because=text)
        if one.is_open and not (mine == index[one.source]).all():
            text = "its slots have another owner by now"
            return advance(one, HandoverTrigger.WITHDRAWN, now_s=now_s, because=text)
        return one

    def _unasked(
        self, handovers: Collection[Handover], before: RoutingTable | None, state: EngineState
    ) -> Iterator[Handover]:
        """What moved without being asked for, so that the service hears of it, and it rests."""
        for estate in self._estates.values():
            was, now = estate.owners(before), estate.owners(state.table)
            if was is None or now is None or was.size != now.size:
                continue
            changed = was != now
            for one in estate.mine(handovers):
                if one.phase is HandoverPhase.MOVED:
                    changed[one.slots] = False
            at = np.flatnonzero(changed)
            breaks = (np.diff(at) > 1) | (np.diff(was[at]) != 0) | (np.diff(now[at]) != 0)
            for run in np.split(at, np.flatnonzero(breaks) + 1) if at.size else ():
                first, source, target = int(run[0]), int(was[run[0]]), int(now[run[0]])
                part = Stretch(first=first, length=run.size, source=source, target=target)
                moved = self._handover(estate, part, now.size, state.muster)
                told = estate.patience_s is not None
                phase = HandoverPhase.MOVED if told else HandoverPhase.RESTING
                yield replace(moved, phase=phase, because=f"{moved.source} is dead")

    def _seats(
        self, flows: Sequence[Flow], table: RoutingTable | None
    ) -> Iterator[tuple[Estate, list[int], Ints]]:
        """Every class that owns data and is live, with its flows and the holders of its slots."""
        for name, estate in self._estates.items():
            owners = estate.owners(table)
            if owners is not None:
                yield estate, [f for f, w in enumerate(flows) if w.request_class == name], owners

    def _handover(
        self, estate: Estate, part: Stretch, slot_count: int, muster: Muster
    ) -> Handover:
        source, target = self._fleet.names[part.source], self._fleet.names[part.target]
        end = part.first + part.length
        return Handover(
            id=f"{estate.name}/{part.first}-{end}/{source}/{target}/{muster.now_s:.3f}",
            request_class=estate.name,
            first=part.first,
            length=part.length,
            slot_count=slot_count,
            source=source,
            target=target,
            since_s=muster.now_s,
            patience_s=estate.patience_s or 0.0,
        )


def _windows(state: EngineState, observation: Observation) -> Mapping[str, SystemEvent]:
    """The window that is open, or about to be, of every cell that is to be empty for it."""
    return {
        name: event
        for event in sorted(observation.events, key=lambda e: (-e.starts_at_s, e.id))
        if event.kind is EventKind.MAINTENANCE
        and event.is_within(observation.now_s, ahead_s=LATE_S)
        for name in sorted(event.cells)
        if name in state.cells and state.cells[name].phase in OUT
    }


def _timed(one: Handover, muster: Muster) -> Handover:
    """A hand-over after the time that has passed, and what has become of its target."""
    now = aged(one, now_s=muster.now_s)
    if now.is_open and now.target not in muster.fit:
        text = f"{now.target} no longer takes work"
        return advance(now, HandoverTrigger.WITHDRAWN, now_s=muster.now_s, because=text)
    return now


def _named(one: Handover) -> str:
    return f"{one.length} slots of {one.request_class} (from {one.first}) to {one.target}"


def _told(one: Handover) -> Reason:
    if one.phase is HandoverPhase.READY:
        text = f"{_named(one)}: the data is there, traffic follows"
        return Reason(subject=one.source, code="handover.ready", text=text)
    text = f"{_named(one)}: not moved: {one.because}"
    return Reason(subject=one.source, code="handover.failed", text=text)


def _asks(one: Handover, cost: float) -> Reason:
    text = (
        f"{_named(one)}: asked to hand over within {one.patience_s:g} s; expected to cost "
        f"{cost:.0f} requests"
    )
    facts = {"slots": float(one.length), "cost_requests": round(cost, 1)}
    return Reason(subject=one.source, code="handover.asked", text=text, facts=facts)
