"""This module is what a guard may know: the state of the fleet, and nothing of the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from foreshard.model.errors import PlanningError
from foreshard.model.plan import Plan, Split
from foreshard.model.telemetry import Health
from foreshard.model.workload import Flow
from foreshard.planning.phases import Why
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.spread import lay_out

__all__ = ["Evacuation", "Moved", "Situation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evacuation:
    """A cell that work is being taken off.

    Attributes:
        since_s: When its first step was taken.
        why: What for.
        share_before: Its traffic before that step (see `Situation.traffic`); NaN = unknown.
    """

    since_s: float
    why: Why
    share_before: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A step that was taken.

    Attributes:
        at_s: When.
        ratio: How much traffic it moved, exemptions left out.
        chosen: How much of it left cells that nothing urged it to leave.
        relieved: Cells that lost a good part of their work by choice.
    """

    at_s: float
    ratio: float
    chosen: float = 0.0
    relieved: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, eq=False)
class Situation:
    """The fleet as it is, in the index order of `cells` and `flows`.

    What follows from it is worked out once, for many guards ask the same.

    Attributes:
        now_s: The moment.
        cells: [C] names.
        flows: [F]; a plan must split exactly these.
        eligible: [F, C] whether the cell may serve the flow at all.
        demand_rps: [F].
        weight: [F] of one bad request.
        needs: [F, R] per request.
        capacity: [C, R] what a cell can really offer a second; > 0, inf = bounds nothing.
        health: By cell; absent = UNKNOWN.
        telemetry_age_s: By cell; absent = never heard of.
        barred: Cells that may take nothing (in a maintenance window, being restarted,
            quarantined), whatever their health.
        evacuating: By cell, while it lasts.
        moved: Steps taken, the last hour of them at least.
        distrusted: Cells seen to do harm: work may leave them at any pace.
        returning: Cells on their way back to a full share, which have little yet.
        shunned: Classes that were taken off a cell, as (class, cell).
        peers: Cells that stand for a region of another engine, or in one that is lost: silent ones
            make nobody blind.
        places: [C] region and zone of each cell; empty = all are in one.
        frozen: Why nothing may change but that dead and barred cells leave; "" = it may.
        keeps: [F, C] who holds data of a flow that cannot leave: may keep it, dead or barred.
    """

    now_s: float
    cells: tuple[str, ...]
    flows: tuple[Flow, ...]
    eligible: Flags
    demand_rps: Floats
    weight: Floats
    needs: Floats
    capacity: Floats
    health: Mapping[str, Health] = field(default_factory=dict)
    telemetry_age_s: Mapping[str, float] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()
    evacuating: Mapping[str, Evacuation] = field(default_factory=dict)
    moved: tuple[Moved, ...] = ()
    distrusted: frozenset[str] = frozenset()
    returning: frozenset[str] = frozenset()
    shunned: frozenset[tuple[str, str]] = frozenset()
    peers: frozenset[str] = frozenset()
    places: tuple[tuple[str, str], ...] = ()
    frozen: str = ""
    keeps: Flags | None = None

    def __post_init__(self) -> None:
        f, c = len(self.flows), len(self.cells)
        r = self.needs.shape[-1]
        for name, shape in (
            ("eligible", (f, c)),
            ("demand_rps", (f,)),
            ("weight", (f,)),
            ("needs", (f, r)),
            ("capacity", (c, r)),
        ):
            if getattr(self, name).shape != shape:
                raise PlanningError(
                    f"situation: {name} has shape {getattr(self, name).shape}, must be {shape}"
                )
        if not bool((self.capacity > 0.0).all()):
            raise PlanningError(f"situation: capacity has {self.capacity.min()}, must be > 0")

    @cached_property
    def regions(self) -> Mapping[str, Flags]:
        """[C] which cells stand in each region."""
        places = self.places or (("", ""),) * len(self.cells)
        names = sorted({region for region, _ in places})
        number = {name: i for i, name in enumerate(names)}
        of = np.array([number[region] for region, _ in places], dtype=np.intp)
        return {name: of == i for i, name in enumerate(names)}

    @cached_property
    def zones(self) -> Floats:
        """[Z, C] 1 where a cell stands in a zone of its region."""
        places = self.places or (("", ""),) * len(self.cells)
        number = {zone: i for i, zone in enumerate(sorted(set(places)))}
        found = np.zeros((len(number), len(places)))
        found[[number[place] for place in places], np.arange(len(places))] = 1.0
        return found

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Place of every cell."""
        return {name: c for c, name in enumerate(self.cells)}

    @cached_property
    def dead(self) -> Flags:
        """[C] cells observed down."""
        return np.array([self.health.get(c) is Health.DOWN for c in self.cells])

    @cached_property
    def off(self) -> Flags:
        """[F, C] who was taken off a cell, class by class."""
        found = np.zeros((len(self.flows), len(self.cells)), dtype=np.bool_)
        for request_class, cell in self.shunned:
            rows = [f for f, flow in enumerate(self.flows) if flow.request_class == request_class]
            found[rows, self.cells.index(cell)] = True
        return found

    @cached_property
    def permitted(self) -> Flags:
        """[F, C] who may take what: eligible, not dead, not barred.

        A flow that would have no cell left keeps barred ones, and if all of them are dead all
        eligible ones: if everything looks dead, what looks is more likely to be broken.
        """
        out = self.dead | np.array([c in self.barred for c in self.cells])
        alive = self.eligible & ~self.dead[None, :]
        alive = np.where(alive.any(axis=1, keepdims=True), alive, self.eligible)
        allowed = self.eligible & ~out[None, :]
        if self.keeps is not None:
            allowed |= self.keeps
        return np.where(allowed.any(axis=1, keepdims=True), allowed, alive)

    @cached_property
    def value(self) -> Floats:
        """[F] weighted traffic of every flow, as a fraction of the fleet's."""
        rate = self.weight * self.demand_rps
        total = float(rate.sum())
        return rate / total if total > 0.0 else np.full(rate.size, 1.0 / rate.size)

    def traffic(self, shares: Floats) -> Floats:
        """[C] traffic of every cell under shares [F, C]; what `share_before` is measured in."""
        carried: Floats = self.value @ shares
        return carried

    def utilisation(self, shares: Floats) -> Floats:
        """[C] predicted utilisation of every cell's scarcest resource under shares [F, C]."""
        work = (shares * self.demand_rps[:, None]).T @ self.needs
        scarcest: Floats = (work / self.capacity).max(axis=1)
        return scarcest

    def shares_of(self, plan: Plan) -> Floats:
        """[F, C + 1] shares of a plan, shed last; NaN rows for flows it does not have."""
        rows = np.full((len(self.flows), len(self.cells) + 1), np.nan)
        for f, flow in enumerate(self.flows):
            split = plan.splits.get(flow)
            if split is not None:
                rows[f, :-1] = 0.0
                lay_out(split, self.index, rows[f, :-1])
                rows[f, -1] = split.shed
        return rows

    def plan_of(self, shares: Floats) -> Plan:
        """The plan of shares [F, C + 1], shed last."""
        splits = {}
        for flow, row in zip(self.flows, shares.tolist(), strict=True):
            kept = {c: x for c, x in zip(self.cells, row[:-1], strict=True) if x > 0.0}
            splits[flow] = Split(shares=kept, shed=row[-1])
        return Plan(splits=splits)
