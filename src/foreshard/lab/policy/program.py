"""This module is how routing programs are put together: weights, slots and backups of all peers.

Every peer says only which cells it likes how much; that slots move as seldom as possible, that
residency holds and that a dead cell's keys go to the nearest is the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from foreshard.lab.policy.setting import Setting
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.routing import NOBODY, Pick, Routing
from foreshard.model.errors import LabError
from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, WeightRow
from foreshard.model.safety_net import SafetyNet
from foreshard.planning.slots import assign_slots, slot_count_for
from foreshard.planning.table import BACKUPS, WEIGHT_OF_LARGEST, backups_of

__all__ = ["Draft", "backups", "even_shares", "even_slots", "seated", "table_of_draft"]

Ints = npt.NDArray[np.int32]

# A share below this is rounding, and a cell that gets so little is better left out.
LEAST_SHARE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draft:
    """What a peer wants, before it is a program for one stage.

    Attributes:
        share: [O, K, C] of the requests of a flow that are not shed; rows sum to 1.
        free: How a proxy picks where no slots say it.
        slots: By class index: who owns each slot, for all origins; other classes are free.
        shed: [O, K] share refused, of free classes; None = nothing.
        net: What stands underneath.
    """

    share: Floats
    free: Pick
    slots: Mapping[int, SlotRow] = field(default_factory=dict)
    shed: Floats | None = None
    net: SafetyNet

    def routing(self, setting: Setting, near: Ints) -> Routing:
        """For the simulated balancers.

        Args:
            setting: The fleet.
            near: Its `backups`.
        """
        origins, classes, _ = setting.shape
        pick = np.full((origins, classes), self.free, dtype=np.uint8)
        count = max((row.slot_count for row in self.slots.values()), default=1)
        owners = np.full((origins, classes, count), NOBODY, dtype=np.int32)
        for k, row in self.slots.items():
            pick[:, k] = Pick.SLOTS
            named = [setting.fleet.index[r.owner] if r.owner else NOBODY for r in row.runs]
            owned = np.repeat(named, [run.length for run in row.runs])
            owners[:, k] = np.repeat(owned, count // len(owned))
        return Routing(
            pick=pick,
            weight=np.where(self.share < LEAST_SHARE, 0.0, self.share),
            shed=np.zeros((origins, classes)) if self.shed is None else self.shed,
            slots=owners,
            backups=near,
            net=self.net,
        )


def backups(setting: Setting) -> Ints:
    """[K, C, BACKUPS] who takes over for a dead cell, nearest first, each cell its own."""
    _, classes, cells = setting.shape
    found = np.full((classes, cells, BACKUPS), NOBODY, dtype=np.int32)
    for k, request_class in enumerate(setting.classes):
        for i, cell in enumerate(setting.fleet.cells):
            names = backups_of(cell, fleet=setting.fleet, request_class=request_class)
            near = [setting.fleet.index[name] for name in names[:BACKUPS]]
            found[k, i, : len(near)] = near
    return found


def even_shares(setting: Setting) -> Floats:
    """[O, K, C] every cell that residency allows, in proportion to its size."""
    likes = np.where(setting.allowed, setting.size[None, :], 0.0)
    total = likes.sum(axis=1, keepdims=True)
    if not (total > 0.0).all():
        homeless = setting.classes[int(np.argmin(total[:, 0]))].name
        raise LabError(f"class {homeless}: residency allows none of the cells")
    return np.repeat((likes / total)[None], len(setting.origins), axis=0)


def even_slots(setting: Setting) -> Mapping[int, SlotRow]:
    """Of each keyed class, slots in proportion to the size of cells."""
    even = even_shares(setting)[0]
    return {int(k): seated(setting, None, even[k]) for k in np.flatnonzero(setting.keyed)}


def seated(setting: Setting, before: SlotRow | None, likes: Floats, shed: float = 0.0) -> SlotRow:
    """Slots by how much each cell is liked, moving as few as possible.

    Args:
        setting: The fleet.
        before: The live row; None = there is none.
        likes: [C] in any common unit, >= 0, not all zero.
        shed: Share of the slots that are refused, in [0, 1).
    """
    part = likes / likes.sum() * (1.0 - shed)
    shares = {n: float(p) for n, p in zip(setting.fleet.names, part, strict=True) if p > 0.0}
    if shed > 0.0:
        shares[""] = shed
    count = before.slot_count if before else slot_count_for(len(setting.fleet.cells))
    return assign_slots(before, shares, count)


def table_of_draft(draft: Draft, setting: Setting, *, version: int) -> RoutingTable:
    """For real balancers, which know weights and slots and pick by least request.

    Raises:
        LabError: It needs a way of picking that exists in the simulation only.
    """
    if draft.free is Pick.PREQUAL:
        raise LabError(
            f"picking by {draft.free.name} is simulated only: the real balancers have no probes; "
            "run this policy on the simulated stage"
        )
    routes = []
    for k, one in enumerate(setting.classes):
        keyed = k in draft.slots
        # Whoever routes keyed requests freely takes the class for one without a key.
        told = one if keyed else replace(one, key_header="", data=None)
        rows: dict[str, Row] = {
            origin: draft.slots[k] if keyed else _weights(draft, setting, o, k)
            for o, origin in enumerate(setting.origins)
        }
        near = {
            cell.name: backups_of(cell, fleet=setting.fleet, request_class=one)
            for cell in setting.fleet.cells
        }
        routes.append(ClassRoute(request_class=told, rows=rows, backups=near))
    return RoutingTable(
        version=version,
        cells=setting.fleet.cells,
        classes=tuple(routes),
        default_class=setting.default_class,
    )


def _weights(draft: Draft, setting: Setting, origin: int, k: int) -> WeightRow:
    share = draft.share[origin, k]
    scaled = WEIGHT_OF_LARGEST * share / share.max()
    weights = {
        name: max(1, round(float(w)))
        for name, w, s in zip(setting.fleet.names, scaled, share, strict=True)
        if s >= LEAST_SHARE
    }
    shed = 0.0 if draft.shed is None else float(draft.shed[origin, k])
    served = sum(weights.values())
    return WeightRow(weights=weights, shed=round(served * shed / max(1.0 - shed, 1e-3)))
