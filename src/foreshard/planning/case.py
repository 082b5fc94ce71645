"""This module is what guards compare: three splits of one fleet, and what changes between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.planning.budget import Budget
from foreshard.planning.phases import Why
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.situation import Moved, Situation

__all__ = ["TOLERANCE", "Case"]

# Differences below this are rounding of shares, not decisions.
TOLERANCE = 1e-3
# A cell that ends under this fraction of the others' utilisation is being emptied.
EMPTIED_RATIO = 0.6
# Less than this part of what a cell has is drift, not a move.
RELIEVED_RATIO = 0.1
# A class that loses less of its share in a cell than this has not been moved.
MOVED_RATIO = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """What guards compare; shares are [F, C + 1] with shed last.

    Attributes:
        candidate: On trial.
        live: What is live; the base where nothing is.
        base: Live, without dead and barred cells.
        is_first: Whether nothing is live.
        situation: The fleet.
        budget: The bounds.
    """

    candidate: Floats
    live: Floats
    base: Floats
    is_first: bool
    situation: Situation
    budget: Budget

    @property
    def mobile(self) -> Flags:
        """[C] cells that work must or may leave at any pace: dead, barred, by plan, doing harm."""
        evacuating = self.situation.evacuating
        facts = {c for c, e in evacuating.items() if e.why in (Why.DOWN, Why.MAINTENANCE)}
        facts |= self.situation.barred | self.situation.distrusted
        named: Flags = np.array([c in facts for c in self.situation.cells])
        return self.situation.dead | named

    @property
    def moved_ratio(self) -> float:
        """Traffic that leaves a cell that it could have stayed in, or returns from shed.

        What is shed instead is not moved: it burdens nobody, and must not wait for a budget.
        """
        lost = np.maximum(0.0, self.live - self.candidate)
        lost[:, :-1][self.mobile[None, :] | ~self.situation.permitted] = 0.0
        refused = np.maximum(0.0, self.candidate[:, -1] - self.live[:, -1])
        return float(self.situation.value @ np.maximum(0.0, lost.sum(axis=1) - refused))

    @property
    def leaving(self) -> Flags:
        """[C] cells that are being evacuated, for whatever reason."""
        evacuating = self.situation.evacuating
        return np.array([cell in evacuating for cell in self.situation.cells])

    @property
    def pressed(self) -> Flags:
        """[C] cells that hold more than what the rest may be led to for a mere forecast."""
        return self.used(self.base) > self.budget.rest_ceiling + TOLERANCE

    @property
    def urgent(self) -> Flags:
        """[C] cells that work leaves from need: mobile, being evacuated, or pressed."""
        return self.mobile | self.pressed | self.leaving

    @property
    def chosen_ratio(self) -> float:
        """Traffic that leaves for others a cell that nothing urged it to leave."""
        refused = np.maximum(0.0, self.candidate[:, -1] - self.live[:, -1])
        lost = self._left_by_choice().sum(axis=1)
        return float(self.situation.value @ np.maximum(0.0, lost - refused))

    def left_ratios(self) -> dict[str, float]:
        """By region, the part of its traffic that leaves its cells for others by choice."""
        regions = self.situation.regions
        member = np.array(list(regions.values()), dtype=np.float64).T
        change = (self.candidate - self.live)[:, :-1]
        lost = self._left_by_choice() @ member
        refused = np.maximum(0.0, self.candidate[:, -1] - self.live[:, -1])
        gone = np.maximum(0.0, lost - np.maximum(0.0, change) @ member - refused[:, None])
        left = self.situation.value @ gone
        before = self.traffic(self.live) @ member
        return {
            name: float(part / whole) if whole > 0.0 else 0.0
            for name, part, whole in zip(regions, left, before, strict=True)
        }

    def _left_by_choice(self) -> Floats:
        """[F, C] shares that leave cells which nothing urges them to leave."""
        lost = np.maximum(0.0, self.live - self.candidate)[:, :-1]
        return np.where(self.urgent[None, :] | ~self.situation.permitted, 0.0, lost)

    @property
    def step(self) -> Moved:
        """What the candidate moves, for those who remember it."""
        return Moved(
            at_s=self.situation.now_s,
            ratio=self.moved_ratio,
            chosen=self.chosen_ratio,
            relieved=self.relieved,
        )

    @property
    def relieved(self) -> frozenset[str]:
        """Cells that lose a good part of their work to others, by choice."""
        before, after = self._served(self.base), self._served(self.candidate)
        less = (after < (1.0 - RELIEVED_RATIO) * before - TOLERANCE) & ~self.mobile
        return frozenset(self.situation.cells[c] for c in np.flatnonzero(less))

    @property
    def regained(self) -> frozenset[str]:
        """Cells that get a good part more than what they had."""
        before, after = self._served(self.base), self._served(self.candidate)
        more = after > (1.0 + RELIEVED_RATIO) * before + TOLERANCE
        return frozenset(self.situation.cells[c] for c in np.flatnonzero(more))

    def too_soon(self) -> dict[str, float]:
        """Cells that would get back what was taken off them by choice, and how long ago it was.

        Need goes before manners: while a cell is being emptied, or pressed, the others may take
        what they lately lost, for its sake.
        """
        wait_s, now_s = self.budget.cooldown_s, self.situation.now_s
        lately = [step for step in self.situation.moved if now_s - step.at_s < wait_s]
        if self.is_first or not any(step.relieved for step in lately):
            return {}
        # Who was restarted and has proved well returns by steps of its own.
        regained = self.regained - self.situation.returning
        if bool(self.pressed.any()) or not all(self.evacuated().values()):
            regained &= frozenset(self.situation.evacuating)
        found: dict[str, float] = {}
        for step in sorted(lately, key=lambda step: step.at_s):
            found |= dict.fromkeys(sorted(step.relieved & regained), now_s - step.at_s)
        return found

    def _served(self, shares: Floats) -> Floats:
        """[C] traffic, as if nothing were refused."""
        served = np.maximum(1.0 - shares[:, -1:], TOLERANCE)
        return self.situation.traffic(shares[:, :-1] / served)

    def used(self, shares: Floats) -> Floats:
        """[C] utilisation of the scarcest resource."""
        return self.situation.utilisation(shares[:, :-1])

    def traffic(self, shares: Floats) -> Floats:
        """[C] weighted traffic."""
        return self.situation.traffic(shares[:, :-1])

    def evacuated(self) -> dict[str, bool]:
        """Cells that the candidate empties by forecast; value: whether only now (new)."""
        situation = self.situation
        used = self.used(self.candidate)
        before, after = self.traffic(self.base), self.traffic(self.candidate)
        # A cell on its way back has little yet: less of it is a slower return.
        returning = [name in situation.returning for name in situation.cells]
        able = ~self.mobile & ~np.array(returning)
        # No mean of others is above the most: who uses as much as that is not being emptied.
        emptied = used < EMPTIED_RATIO * used.max(where=able, initial=0.0)
        known = np.array([name in situation.evacuating for name in situation.cells])
        found = {}
        for c in np.flatnonzero(able & (after < before - TOLERANCE * before) & (emptied | known)):
            name = situation.cells[c]
            rest = able.copy()
            rest[c] = False
            others = float(used[rest].mean()) if rest.any() else 0.0
            if name in situation.evacuating:
                found[name] = False
            elif used[c] < EMPTIED_RATIO * others and self._loses_more_than_a_class(int(c)):
                found[name] = True
        return found

    def _loses_more_than_a_class(self, c: int) -> bool:
        """Whether several classes leave the cell, or the only one there."""
        carried: dict[str, float] = {}
        kept: dict[str, float] = {}
        for f, flow in enumerate(self.situation.flows):
            name, rate = flow.request_class, float(self.situation.demand_rps[f])
            carried[name] = carried.get(name, 0.0) + rate * float(self.base[f, c])
            kept[name] = kept.get(name, 0.0) + rate * float(self.candidate[f, c])
        present = [name for name, rate in carried.items() if rate > 0.0]
        losing = [n for n in present if kept[n] < (1.0 - MOVED_RATIO) * carried[n]]
        return len(losing) >= min(2, len(present))
