"""This module is one class that owns data: who holds which of its slots, and who is to hold it.

Nothing here decides that work should move; it says how little has to, and what may.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from foreshard.engine.muster import Muster
from foreshard.model.errors import InvalidValueError
from foreshard.model.plan import Plan
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow
from foreshard.model.topology import Fleet
from foreshard.model.weights import divided
from foreshard.model.workload import RequestClass
from foreshard.planning.custody import Stretch, fewest_moves, pick
from foreshard.planning.handover import Handover, HandoverPhase
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.slots import (
    Ints,
    assign_slots,
    counts_of,
    owners_of,
    row_of,
    slot_count_for,
    whole_slots,
)

__all__ = ["Estate"]

# A wish that differs by less than this part of a mean cell's slots is noise.
DEAD_BAND = 0.08
# Less than this part of a class served is the trace that a plan keeps of one that is shed whole.
NOTHING = 2e-3
# Hand-overs of one class under way at a time; a service is not flooded.
MOST_OPEN = 32
PINNED = frozenset({HandoverPhase.MOVED, HandoverPhase.WITHDRAWN, HandoverPhase.RESTING})
SHUT = frozenset({HandoverPhase.FAILED, HandoverPhase.COOLING})


class Estate:
    """The slots of one class; holds only what never changes.

    Args:
        fleet: The cells.
        request_class: It owns data.

    Raises:
        InvalidValueError: It owns none.
    """

    def __init__(self, fleet: Fleet, request_class: RequestClass) -> None:
        if request_class.data is None:
            raise InvalidValueError(f"class {request_class.name}: owns no data")
        self._index, self._names = fleet.index, fleet.names
        self._data = request_class.data
        self._allowed = np.array([request_class.allows_cell(c) for c in fleet.cells])
        self.name = request_class.name
        self.moving_s = request_class.moving_s

    @property
    def patience_s(self) -> float | None:
        """How long a hand-over may take; None = nobody is asked."""
        return self._data.handover_s

    def owners(self, table: RoutingTable | None) -> Ints | None:
        """[N] holder of every slot, by index; None = the table does not have the class.

        A slot whose holder is not in the fleet any more is spread evenly: its data is gone, or
        nobody knows where it went. So is one that was shed before the class owned data.
        """
        route = self._route(table)
        if route is None:
            return None
        rows = [r for _, r in sorted(route.rows.items()) if isinstance(r, SlotRow)]
        row = route.holders or next(iter(rows), None)
        if row is None:
            return None
        owners = owners_of(row, self._index)
        lost, able = np.flatnonzero(owners < 0), np.flatnonzero(self._allowed)
        owners[lost] = _evenly(able, lost.size)
        return owners

    def is_told(self, table: RoutingTable | None, muster: Muster) -> bool:
        """Whether a table says who holds what, and who stands in for whom now."""
        route = self._route(table)
        if route is None or route.holders is None:
            return False
        heirs = self.heirs(muster)
        return all(route.backups.get(cell) == (heir,) for cell, heir in heirs.items())

    def mine(self, handovers: Collection[Handover]) -> list[Handover]:
        """Those of this class."""
        return [h for h in handovers if h.request_class == self.name]

    def ready(self, handovers: Collection[Handover]) -> list[Handover]:
        """Those that traffic may follow, the oldest first."""
        return [h for h in self.mine(handovers) if h.phase is HandoverPhase.READY]

    def held(self, owners: Ints) -> Floats:
        """[C] part of the slots that each cell holds."""
        part: Floats = counts_of(owners, len(self._names)) / owners.size
        return part

    def switched(self, owners: Ints, handovers: Collection[Handover]) -> Ints:
        """[N] holders after these hand-overs."""
        after = owners.copy()
        for one in handovers:
            after[one.slots] = self._index[one.target]
        return after

    def are(self, cells: Collection[str]) -> Flags:
        """[C] which cells these are."""
        return np.array([name in cells for name in self._names])

    def at_once(self, muster: Muster) -> Flags:
        """[C] sources that nobody is asked about: dead ones, or all."""
        everyone = self.patience_s is None
        return np.ones(len(self._names), dtype=bool) if everyone else self.are(muster.dead)

    def heirs(self, muster: Muster) -> Mapping[str, str]:
        """Who stands in for each cell: its first replica in full service, else at work, else any.

        A dead cell's slots go there and nowhere else: that is where its keys are already, for
        balancers are told the same name before it dies.
        """
        heirs = {}
        for source, targets in self._data.replicas.items():
            able = [t for t in targets if self._allowed[self._index[t]]]
            for group in (muster.fit, muster.able, frozenset(able)):
                first = next((t for t in able if t in group), None)
                if first is not None:
                    heirs[source] = first
                    break
        return heirs

    def rank(self, handovers: Collection[Handover], muster: Muster) -> Floats:
        """[C, C] place in the source's list of replicas; inf = slots may not go there now."""
        rank = np.full((len(self._names), len(self._names)), np.inf)
        heirs = self.heirs(muster)
        for source, targets in self._data.replicas.items():
            takers = muster.fit
            if source in muster.dead:
                takers = muster.able.intersection([heirs.get(source, "")])
            for place, target in enumerate(targets):
                if target in takers and self._allowed[self._index[target]]:
                    rank[self._index[source], self._index[target]] = place
        for one in self.mine(handovers):
            if one.phase in SHUT and one.source not in muster.dead:
                rank[self._index[one.source], self._index[one.target]] = np.inf
        return rank

    def ways_out(self, handovers: Collection[Handover], muster: Muster) -> Flags:
        """[C] cells that have a replica to which their slots may go now."""
        return np.asarray(np.isfinite(self.rank(handovers, muster)).any(axis=1))

    def wanted(self, shares: Floats, owners: Ints) -> Ints:
        """[C] slots that each cell is to hold, for shares of what is asked for.

        What is shed is nobody's share, but its slots have a holder all the same: the others'
        shares count in proportion. Where nothing to speak of is served, nothing should move.
        """
        held = counts_of(owners, len(self._names))
        if shares.sum() <= NOTHING:
            return held
        parts = dict(zip(self._names, shares.tolist(), strict=True))
        exact = divided(parts, owners.size)
        return whole_slots(list(exact.values()), held, total=owners.size)

    def superfluous(
        self, handovers: Collection[Handover], owners: Ints, wanted: Ints, muster: Muster
    ) -> Iterator[Handover]:
        """Open hand-overs, the newest first, whose target would get more than it should.

        What leaves a cell that must go is none: better too many slots than lost ones.
        """
        open_ones = [h for h in self.mine(handovers) if h.is_open]
        over = counts_of(self.switched(owners, open_ones), wanted.size) - wanted
        for one in sorted(open_ones, key=lambda h: (-h.since_s, h.id)):
            source, target = self._index[one.source], self._index[one.target]
            must_go = one.source in muster.leaving and over[source] + one.length > 0
            if over[target] >= one.length and not must_go:
                over[target] -= one.length
                over[source] += one.length
                yield one

    def wished(
        self, handovers: Collection[Handover], owners: Ints, wanted: Ints, muster: Muster
    ) -> Sequence[Stretch]:
        """What should be asked for, beyond what is under way; dead owners are not asked."""
        open_ones = [h for h in self.mine(handovers) if h.is_open]
        expected = self.switched(owners, open_ones)
        more = counts_of(expected, wanted.size) - wanted
        dead, leaving = self.are(muster.dead), self.are(muster.leaving)
        surplus = np.where(dead, 0, np.maximum(more, 0))
        band = DEAD_BAND * owners.size / wanted.size
        if not ((np.abs(more) > band) | (leaving & (surplus > 0))).any():
            return ()
        free = ~dead[owners] & self._unpinned(handovers, owners, muster)
        for one in open_ones:
            free[one.slots] = False
        rank = self.rank(handovers, muster)
        movable = counts_of(owners[free], wanted.size)
        moves = fewest_moves(surplus, np.maximum(-more, 0), movable, rank)
        left = np.minimum(surplus, movable) - moves.sum(axis=1)
        for cell in np.flatnonzero(leaving & np.isfinite(rank).any(axis=1) & (left > 0)).tolist():
            # Its replicas have no room for it; without its data they would have no more.
            moves[cell, int(np.argmin(rank[cell]))] += left[cell]
        return list(pick(owners, free, moves))[: max(MOST_OPEN - len(open_ones), 0)]

    def place(
        self,
        plan: Plan,
        table: RoutingTable | None,
        handovers: Collection[Handover],
        muster: Muster,
    ) -> SlotRow:
        """Who holds what once the plan is live, as far as data allows it."""
        owners = self.owners(table)
        if owners is None:
            count = slot_count_for(len(self._names))
            shares = dict(zip(self._names, self._shares(plan).tolist(), strict=True))
            return assign_slots(None, {c: s for c, s in shares.items() if s > 0.0}, count)
        wanted = self.wanted(self._shares(plan), owners)
        for one in self.ready(handovers):
            over = counts_of(owners, wanted.size) - wanted
            if over[self._index[one.source]] >= one.length / 2.0:
                owners[one.slots] = self._index[one.target]
        self._move_at_once(owners, wanted, handovers, muster)
        return row_of(owners, self._names)

    def _shares(self, plan: Plan) -> Floats:
        """[C] share of every cell, over all origins alike: a key has one owner."""
        splits = [s for f, s in sorted(plan.splits.items()) if f.request_class == self.name]
        shares = np.array([[s.share(c) for c in self._names] for s in splits])
        return np.asarray(shares.mean(axis=0))

    def _route(self, table: RoutingTable | None) -> ClassRoute | None:
        """This class in a table."""
        routes = table.classes if table is not None else ()
        return next((r for r in routes if r.request_class.name == self.name), None)

    def _move_at_once(
        self, owners: Ints, wanted: Ints, handovers: Collection[Handover], muster: Muster
    ) -> None:
        """Move what needs no asking, in place; what is dead goes to its heir, and once."""
        at_once, dead = self.at_once(muster), self.are(muster.dead)
        rank = self.rank(handovers, muster)
        free = (at_once & ~dead)[owners] & self._unpinned(handovers, owners, muster)
        for cell in np.flatnonzero(dead & self.ways_out(handovers, muster)).tolist():
            owners[owners == cell] = int(np.argmin(rank[cell]))
        more = counts_of(owners, wanted.size) - wanted
        surplus = np.where(at_once, np.maximum(more, 0), 0)
        movable = counts_of(owners[free], wanted.size)
        moves = fewest_moves(surplus, np.maximum(-more, 0), movable, rank)
        for part in list(pick(owners, free, moves)):
            owners[part.first : part.first + part.length] = part.target

    def _unpinned(self, handovers: Collection[Handover], owners: Ints, muster: Muster) -> Flags:
        """[N] slots that may move again: what moved rests, unless its new owner must go."""
        free = np.ones(owners.size, dtype=bool)
        leaving = self.are(muster.leaving)
        for one in self.mine(handovers):
            if one.phase in PINNED:
                free[one.slots] &= leaving[owners[one.slots]]
        return free


def _evenly(cells: Ints, slots: int) -> Ints:
    """[slots] the cells in equal, unbroken parts."""
    return cells[np.arange(slots) * cells.size // max(slots, 1)]
