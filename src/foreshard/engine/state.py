"""This module is what the engine remembers from step to step; a value, never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foreshard.engine.credence import Credence
from foreshard.engine.muster import Muster
from foreshard.engine.workload import Workload
from foreshard.model.plan import Plan
from foreshard.model.routing import RoutingTable
from foreshard.planning.caution import Caution
from foreshard.planning.handover import Handover
from foreshard.planning.phases import CellState
from foreshard.planning.problem import Floats
from foreshard.planning.shunning import Shun
from foreshard.planning.situation import Evacuation, Moved
from foreshard.planning.trust import Trust

__all__ = ["EngineState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """Everything one step hands to the next.

    Attributes:
        cells: Life-cycle state of every cell.
        shuns: Classes that are off a cell, by (class, cell).
        trust: What each cell is trusted with, by what became of its requests.
        credence: How far each cell's gauges are believed.
        caution: Loads that were foreseen to hurt, by cell.
        evacuating: Cells that work is being taken off, and what they carried before.
        workload: Demand, needs and capacities as estimated so far.
        table: The live table; None before the first.
        plan: The plan that the live table stands for.
        version: Of the newest table that was ever made.
        pending: A table that was decided and is not yet known to be live.
        pending_moved: Traffic that the pending table moves.
        judged_at_s: `made_at_s` of the newest forecast that was judged.
        moved: Steps taken, the last minutes of them.
        refusals: Plans in a row of which the guards let nothing through.
        handovers: Slots that own data and are on their way, or were lately.
        muster: Who may give and take such slots.
        prices: What the planner counted cells' load at, for its next plan; see `Solution.prices`.
        unsettled: Whether a table that moves such slots was sent and may be live or not.
    """

    cells: Mapping[str, CellState]
    shuns: Mapping[tuple[str, str], Shun] = field(default_factory=dict)
    evacuating: Mapping[str, Evacuation] = field(default_factory=dict)
    workload: Workload
    trust: Trust
    credence: Credence
    caution: Caution
    table: RoutingTable | None = None
    plan: Plan | None = None
    version: int = 0
    pending: tuple[RoutingTable, Plan] | None = None
    pending_moved: Moved | None = None
    judged_at_s: float = float("-inf")
    moved: tuple[Moved, ...] = ()
    refusals: int = 0
    handovers: tuple[Handover, ...] = ()
    muster: Muster = field(default_factory=Muster)
    unsettled: bool = False
    prices: Floats | None = None
