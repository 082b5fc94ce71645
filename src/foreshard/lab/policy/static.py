"""This module is locality weights: near cells first, set once, and failover by health checks.

Weights are those of an operator who knows what each origin asks for: the nearest cells are
filled up to a planned utilisation, what is left goes to the next nearest that have room. They
are set after the first minute was measured and never again. Nothing is ejected for failing
requests; health checks alone take a dead cell out, and the other cells of the origin's list
share its part. Keyed classes stay with their slots.

Source: Envoy documentation, "Locality weighted load balancing"; Istio documentation, "Locality
load balancing" (distribute and failover).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from foreshard.lab.policy.peer import Peer, Rule
from foreshard.lab.policy.program import Draft, even_shares, even_slots
from foreshard.lab.policy.setting import SAME_RING_MS, Setting
from foreshard.lab.policy.view import View
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.routing import Pick

__all__ = ["NearFirst", "Static", "near_first"]

# What people plan a cell for; a fleet that is busier than this is filled evenly.
PLANNED_UTILISATION = 0.7
# What an origin asks for is measured for so long, in production's time.
MEASURED_S = 60.0
# Out of reach: nothing is ejected.
NEVER = 1_000_000_000


def near_first(distance_ms: Floats, work: Floats, size: Floats, *, planned: float) -> Floats:
    """Fill near cells first.

    Args:
        distance_ms: [O, C] round trip.
        work: [O] cpus that each origin keeps busy.
        size: [C] cpus.
        planned: Utilisation up to which a cell is filled; raised where all work needs more.

    Returns:
        [O, C] shares; rows sum to 1.
    """
    filled = max(planned, float(work.sum() / size.sum()) * (1.0 + 1e-9))
    room = filled * size
    given = np.zeros_like(distance_ms)
    left = work.astype(np.float64).copy()
    # Nearest ring of every origin before the second nearest of any.
    rings = np.floor((distance_ms - distance_ms.min(axis=1, keepdims=True)) / SAME_RING_MS)
    for ring in np.unique(rings):
        for origin in range(len(work)):
            able = np.where(rings[origin] == ring, room, 0.0)
            taken = min(float(left[origin]), float(able.sum()))
            if taken > 0.0:
                given[origin] += taken * able / able.sum()
                room = room - taken * able / able.sum()
                left[origin] -= taken
    total = given.sum(axis=1, keepdims=True)
    idle = np.repeat((size / size.sum())[None], len(work), axis=0)
    return np.where(total > 0.0, given / np.where(total > 0.0, total, 1.0), idle)


class NearFirst:
    """The rule: measure once, then leave it."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        net = replace(
            setting.net, consecutive_5xx=NEVER, consecutive_local=NEVER, failure_ratio=1.0
        )
        self._draft = Draft(
            share=even_shares(setting), free=Pick.RANDOM, slots=even_slots(setting), net=net
        )
        self._is_set = False
        self._work: list[Floats] = []

    def decide(self, view: View) -> Draft:
        """Even weights for a minute, then near cells first."""
        if self._is_set:
            return self._draft
        share_of_origin = view.demand_rps.sum(axis=1) / max(float(view.demand_rps.sum()), 1e-9)
        work = float(np.nanmean(view.cpu)) if np.isfinite(view.cpu).any() else np.nan
        if np.isfinite(work) and np.isfinite(share_of_origin).all():
            self._work.append(share_of_origin * work * float(self._setting.size.sum()))
        if view.now_s >= MEASURED_S / self._setting.pace and self._work:
            self._is_set = True
            self._draft = replace(self._draft, share=self._shares(np.mean(self._work, axis=0)))
        return self._draft

    def _shares(self, work: Floats) -> Floats:
        setting = self._setting
        even = even_shares(setting)
        shares = np.zeros_like(even)
        for k, allowed in enumerate(setting.allowed):
            size = np.where(allowed, setting.size, 1e-9)
            shares[:, k] = near_first(setting.distance_ms, work, size, planned=PLANNED_UTILISATION)
        shares = np.where(setting.allowed[None], shares, 0.0)
        return np.asarray(shares / shares.sum(axis=2, keepdims=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Static(Peer):
    """The `Policy`."""

    name: str = "static"
    begin: Callable[[Setting], Rule] = NearFirst
