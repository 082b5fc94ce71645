"""This module is what a plan is worth after the next failure: of any one cell, of any one zone.

The failover split is fixed in advance: what a lost cell carried of a flow goes to the flow's
surviving candidates in proportion to their size, whatever their load. So load after a loss is
linear in the plan. Only critical and normal work counts; sheddable work is shed first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foreshard.planning.edges import Edges, Ints
from foreshard.planning.problem import Floats

__all__ = ["Loss", "aftermath", "losses", "sentence", "survival"]

# Priorities from this on are shed before anything else.
SHEDDABLE = 2
# Less missing than this part of the fleet's capacity is rounding.
LEAST_MISSING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loss:
    """One scenario, and what it leaves without a place.

    Attributes:
        name: Of the cell, or "zone" and its index.
        cells: Indices of what is lost.
        p: Predicted probability.
        missing: [R] capacity a second that the survivors lack, each for itself.
        homeless: Part of all critical and normal work, by its scarcest resource.
    """

    name: str
    cells: Ints
    p: float
    missing: Floats
    homeless: float


def losses(edges: Edges) -> Iterator[tuple[str, Ints, float]]:
    """Every cell and every zone of at least two cells: name, cells, probability of the loss."""
    for c, name in enumerate(edges.cells):
        yield name, np.array([c]), float(edges.loss_p[c])
    for zone in np.unique(edges.zone[edges.zone >= 0]):
        cells = np.flatnonzero(edges.zone == zone)
        if cells.size > 1:
            # A zone fails as a whole about as seldom as its most reliable cell.
            yield f"zone {zone}", cells, float(edges.loss_p[cells].min())


def aftermath(edges: Edges, shares: Floats, lost: Ints) -> tuple[Floats, Floats]:
    """Work of critical and normal flows after a loss, before anything is planned anew.

    Args:
        edges: See there.
        shares: [E].
        lost: Indices of cells.

    Returns:
        [C, R] work on the survivors, and [R] work of flows that have no survivor at all.
    """
    flow = edges.flow
    gone = np.zeros(len(edges.cells), dtype=bool)
    gone[lost] = True
    is_gone = gone[edges.cell]
    counted = np.where(edges.priority < SHEDDABLE, edges.demand_rps, 0.0)
    finite = np.isfinite(edges.capacity)
    size = np.where(finite, edges.capacity, 0.0) / np.maximum(
        np.where(finite, edges.capacity, 0.0).mean(axis=0), 1e-12
    )
    able = np.where(is_gone | (edges.upper <= 0.0), 0.0, size.mean(axis=1)[edges.cell])
    room = edges.sums(able)
    moved = edges.sums(np.where(is_gone, shares, 0.0))
    taken = able * (moved / np.where(room > 0.0, room, 1.0))[flow]
    rates = np.where(is_gone, 0.0, shares + taken) * counted[flow]
    c, r = edges.capacity.shape
    work: Floats = np.stack(
        [
            np.bincount(edges.cell, rates * edges.needs[flow, k], minlength=c).astype(np.float64)
            for k in range(r)
        ],
        axis=1,
    )
    stranded = np.where(room > 0.0, 0.0, moved) * counted
    return work, stranded @ edges.needs


def survival(edges: Edges, shares: Floats) -> tuple[Loss, ...]:
    """Every loss that leaves critical or normal work without a place, worst first.

    Args:
        edges: See there.
        shares: [E].
    """
    found = []
    counted = np.where(edges.priority < SHEDDABLE, edges.demand_rps, 0.0)
    whole = np.maximum(counted @ edges.needs, 1e-12)
    for name, cells, p in losses(edges):
        work, stranded = aftermath(edges, shares, cells)
        over = np.maximum(0.0, work - edges.hard_utilisation * edges.capacity).sum(axis=0)
        missing = over + stranded
        homeless = float((missing / whole).max())
        if homeless > LEAST_MISSING:
            found.append(Loss(name=name, cells=cells, p=p, missing=missing, homeless=homeless))
    return tuple(sorted(found, key=lambda loss: (-loss.homeless, loss.name)))


def sentence(loss: Loss, resources: tuple[str, ...]) -> str:
    """What capacity planning is told."""
    lacking = ", ".join(
        f"{amount:.3g} {name}"
        for amount, name in zip(loss.missing, resources, strict=True)
        if amount > 0.0
    )
    return (
        f"losing {loss.name} leaves {100.0 * loss.homeless:.2g} % of critical and normal work "
        f"without a place; missing {lacking}"
    )
