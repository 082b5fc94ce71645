"""This module is a load band over zones, as Linkerd's HAZL holds it.

A proxy's pool begins with the endpoints of its own zone. The load of an endpoint is latency
times request rate, which by Little's law is what is in flight there. While the pool's mean load
is above the band, endpoints of other zones join; below it, they leave one by one. Within the
pool the better of two endpoints is taken. A cell counts as one endpoint a cpu, so that a load
of 1 means the same in cells of any size; an origin's proxies stand in its cells' zones, evenly
by size. Keyed classes stay with their slots.

The product is closed: how many endpoints join at once is not published. Here as many join as
would bring the load back into the band, twice the pool at most.

Source: Buoyant, "High Availability Zonal Load Balancing" (documentation of Buoyant Enterprise
for Linkerd): band 0.8 to 2.0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foreshard.lab.policy.load_aware import mean_of_proxies
from foreshard.lab.policy.program import Draft, even_slots
from foreshard.lab.policy.setting import Setting
from foreshard.lab.policy.view import View
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.routing import Pick

__all__ = ["Hazl", "banded"]

LOWER, UPPER = 0.8, 2.0


def banded(pool: Floats, load: Floats, size: Floats, own: int, near: Floats) -> Floats:
    """The pool of one zone's proxies after one look.

    Args:
        pool: [C] endpoints of each cell that are in it.
        load: [C] of one endpoint: latency x requests a second; NaN = nothing is known.
        size: [C] living endpoints; not all zero.
        own: The proxies' own cell.
        near: [C] distance.

    Returns:
        [C] the new pool, never empty; all own endpoints are always in it.
    """
    pool = np.minimum(pool, size)
    pool[own] = size[own]
    spare = size - pool
    weight = pool * np.isfinite(load)
    if pool.sum() <= 0.0:
        mean, wanted = np.inf, max(1.0, float(size.max()))
    elif weight.sum() <= 0.0:
        return pool
    else:
        mean = float((weight * np.nan_to_num(load)).sum() / weight.sum())
        wanted = float(np.ceil(min(pool.sum(), pool.sum() * (mean / UPPER - 1.0))))
    if mean > UPPER:
        # Nearest first, and among those the least busy.
        for c in np.lexsort((np.arange(size.size), np.nan_to_num(load), near)):
            joins = min(float(spare[c]), wanted)
            pool[c] += joins
            wanted -= joins
    elif mean < LOWER:
        guests = [c for c in np.lexsort((-np.nan_to_num(load), -near)) if c != own and pool[c]]
        if guests:
            pool[guests[0]] = max(0.0, pool[guests[0]] - 1.0)
    return pool


class Hazl:
    """The rule, with the pools of all zones."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._pools = np.diag(setting.size)
        self._draft = self._drawn()
        regions = [cell.region for cell in setting.fleet.cells]
        self._near = np.array(
            [
                [setting.fleet.distance_ms(region, cell) for cell in setting.fleet.cells]
                for region in regions
            ]
        )

    def decide(self, view: View) -> Draft:
        """Let endpoints join and leave."""
        setting = self._setting
        living = np.where(view.is_down, 0.0, setting.size)
        living = living if living.any() else setting.size
        busy = np.where(view.rate_rps > 0.0, view.rate_rps * view.latency_s, view.rate_rps)
        load = busy.sum(axis=0) / setting.size
        pools = np.array(
            [
                banded(pool.copy(), load, living, own, self._near[own])
                for own, pool in enumerate(self._pools)
            ]
        )
        if not np.array_equal(pools, self._pools):
            self._pools = pools
            self._draft = replace(self._drawn(), slots=self._draft.slots)
        return self._draft

    def _drawn(self) -> Draft:
        setting = self._setting
        total = self._pools.sum(axis=1, keepdims=True)
        # A pool without anybody left goes to all, as Envoy does in panic.
        everybody = setting.size / setting.size.sum()
        split = np.where(total > 0.0, self._pools / np.where(total > 0.0, total, 1.0), everybody)
        return Draft(
            share=mean_of_proxies(setting, split),
            free=Pick.TWO_CHOICES,
            slots=even_slots(setting),
            net=setting.net,
        )
