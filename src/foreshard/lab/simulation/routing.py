"""This module is what the simulated balancers are told: how each class's cell is chosen.

Wider than `RoutingTable`, for peers choose in ways that no table says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from foreshard.lab.simulation.effects import Floats
from foreshard.model.errors import LabError
from foreshard.model.routing import RoutingTable, SlotRow
from foreshard.model.safety_net import SafetyNet
from foreshard.model.topology import Fleet
from foreshard.planning.table import BACKUPS

__all__ = ["NOBODY", "Pick", "Routing", "routing_of"]

Ints = npt.NDArray[np.int32]

# A slot that is shed, a backup that there is not.
NOBODY = -1


class Pick(IntEnum):
    """How a proxy chooses a cell for one request of one class.

    `LEAST_REQUEST` is Envoy's: two choices while all weights are equal, else the earliest
    deadline of `weight / (in flight + 1) ** bias`. `RANDOM` goes by weight alone. `SLOTS` goes
    by the hash of the key to the slot's owner; while the proxy's health checks hold the owner for
    dead, or it is ejected, its keys are spread over the living backups, as the renderer's
    clusters do.
    """

    LEAST_REQUEST = 0
    SLOTS = 1
    TWO_CHOICES = 2
    PREQUAL = 3
    RANDOM = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routing:
    """One program for all proxies of all origins.

    Attributes:
        pick: [O, K] uint8 of `Pick`.
        weight: [O, K, C] share of each cell, >= 0; for SLOTS unused.
        shed: [O, K] share that is refused with 429, in [0, 1]; for SLOTS unused.
        slots: [O, K, N] owner of each slot by cell index, `NOBODY` = shed; N a power of two, 1
            where there are no keyed classes.
        backups: [K, C, BACKUPS] who takes over for a dead cell, nearest first.
        net: Health checks, ejection and retries.
    """

    pick: npt.NDArray[np.uint8]
    weight: Floats
    shed: Floats
    slots: Ints
    backups: Ints
    net: SafetyNet

    def __post_init__(self) -> None:
        origins, classes, _ = self.weight.shape
        count = self.slots.shape[2]
        if count & (count - 1):
            raise LabError(f"routing: {count} slots, must be a power of two")
        if self.pick.shape != (origins, classes) or self.shed.shape != (origins, classes):
            raise LabError(f"routing: pick and shed must have shape {(origins, classes)}")
        chosen = (self.pick == Pick.SLOTS) | (self.shed >= 1.0) | (self.weight.sum(axis=2) > 0.0)
        if not chosen.all():
            raise LabError("routing: a class has weight for no cell and is not shed whole")


def routing_of(
    table: RoutingTable, fleet: Fleet, origins: Sequence[str], net: SafetyNet
) -> Routing:
    """What a table of Foreshard's makes proxies do.

    Args:
        table: Classes in the scenario's order.
        fleet: Whose index counts.
        origins: In index order.
        net: What stands underneath.
    """
    shape = (len(origins), len(table.classes))
    counts = [
        row.slot_count
        for route in table.classes
        for row in route.rows.values()
        if isinstance(row, SlotRow)
    ]
    pick = np.full(shape, Pick.LEAST_REQUEST, dtype=np.uint8)
    weight = np.zeros((*shape, len(fleet.cells)))
    shed = np.zeros(shape)
    slots = np.full((*shape, max(counts, default=1)), NOBODY, dtype=np.int32)
    backups = np.full((shape[1], len(fleet.cells), BACKUPS), NOBODY, dtype=np.int32)
    for k, route in enumerate(table.classes):
        for home, others in route.backups.items():
            near = [fleet.index[name] for name in others[:BACKUPS]]
            backups[k, fleet.index[home], : len(near)] = near
        for o, origin in enumerate(origins):
            row = route.rows[origin]
            if isinstance(row, SlotRow):
                pick[o, k] = Pick.SLOTS
                owners = [fleet.index[run.owner] if run.owner else NOBODY for run in row.runs]
                owned = np.repeat(owners, [run.length for run in row.runs])
                slots[o, k] = np.repeat(owned, slots.shape[2] // len(owned))
                continue
            total = sum(row.weights.values()) + row.shed
            shed[o, k] = row.shed / total
            for cell, share in row.weights.items():
                weight[o, k, fleet.index[cell]] = share / total
    return Routing(pick=pick, weight=weight, shed=shed, slots=slots, backups=backups, net=net)
