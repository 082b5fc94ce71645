"""This module is Envoy's load-aware locality policy: stay local, spill by measured headroom.

Each second a proxy weighs every locality by hosts times free utilisation, smoothed over five
seconds. While the local one is no busier than the mean of the others plus a tenth, it gets all
but a probe of 3 %; above that, all get their part of the headroom. When nobody has any left, the
number of hosts decides. Cells are the localities; an origin's proxies stand in its cells'
zones, evenly by size, or in none where all cells are equally far: then all is headroom. Keyed
classes stay with their slots.

It snaps between the two modes (no hysteresis), each proxy decides alone, and the locality is
drawn at random by weight, so that nothing evens queues out between cells.

Source: Envoy documentation, "Load-aware locality load balancing" (v1.40; work in progress), and
its source for how a locality is drawn.
"""

from __future__ import annotations

from math import exp

import numpy as np

from foreshard.lab.policy.program import Draft, even_shares, even_slots
from foreshard.lab.policy.setting import Setting
from foreshard.lab.policy.view import View
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.routing import Pick

__all__ = ["LoadAware", "headroom_split", "mean_of_proxies"]

# Defaults of the extension. Updates and smoothing are one control loop, with queues and not with
# the weather: they are machine time at every pace, or the loop would not be stable.
UPDATE_S = 1.0
SMOOTHING_S = 5.0
VARIANCE = 0.1
REMOTE_PROBE = 0.03
EXPIRY_S = 180.0


def headroom_split(used: Floats, hosts: Floats, local: int | None) -> Floats:
    """How one proxy splits its requests over localities.

    Args:
        used: [L] smoothed utilisation; NaN = nothing was heard for too long, which counts as
            all of its hosts, while nothing ever heard counts as idle: both by the source.
        hosts: [L] healthy hosts; not all zero.
        local: Where the proxy stands; None = in none of them.

    Returns:
        [L] shares, summing to 1.
    """
    free = np.where(np.isnan(used), 1.0, np.clip(1.0 - used, 0.0, None))
    room = hosts * free
    likes = room if room.sum() > 0.0 else hosts
    split = likes / likes.sum()
    if local is None:
        return np.asarray(split)
    remote = np.arange(hosts.size) != local
    others = np.where(remote, hosts, 0.0)
    if others.sum() <= 0.0:
        return np.asarray(hosts / hosts.sum())
    known = np.nan_to_num(used)
    mean = float((others * known).sum() / others.sum())
    stays = hosts[local] > 0.0 and known[local] <= mean + VARIANCE
    if stays or split[remote].sum() < REMOTE_PROBE:
        probe = REMOTE_PROBE * others / others.sum()
        return np.asarray(np.where(remote, probe, 1.0 - REMOTE_PROBE))
    return np.asarray(split)


def mean_of_proxies(setting: Setting, split: Floats) -> Floats:
    """[O, K, C] shares of an origin whose proxies stand in its home cells, evenly by size.

    Args:
        setting: The fleet.
        split: [C, C] what a proxy in the zone of each cell does.
    """
    stand = np.where(setting.home, setting.size[None], 0.0)
    stand = stand / stand.sum(axis=1, keepdims=True)
    shares = np.einsum("oz,zc->oc", stand, split)[:, None, :] * setting.allowed[None]
    total = shares.sum(axis=2, keepdims=True)
    return np.where(total > 0.0, shares / np.where(total > 0.0, total, 1.0), even_shares(setting))


class LoadAware:
    """The rule, with what was smoothed."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._used = np.zeros(setting.size.shape)
        self._heard_s = np.full(setting.size.shape, np.nan)
        self._slots = even_slots(setting)

    def decide(self, view: View) -> Draft:
        """Smooth, weigh, split."""
        setting = self._setting
        self._hear(view)
        # Envoy's hosts are those that pass their health checks.
        hosts = np.where(view.is_down, 0.0, setting.size)
        hosts = hosts if hosts.any() else setting.size
        expired = view.now_s - self._heard_s > EXPIRY_S / setting.pace
        used = np.where(expired, np.nan, self._used)
        split = np.array([headroom_split(used, hosts, z) for z in range(hosts.size)])
        share = mean_of_proxies(setting, split)
        anywhere = headroom_split(used, hosts, None) * setting.allowed
        anywhere = anywhere / np.maximum(anywhere.sum(axis=1, keepdims=True), 1e-12)
        share = np.where(setting.is_placeless[:, None, None], anywhere[None], share)
        return Draft(
            share=share,
            free=Pick.RANDOM,
            slots=self._slots,
            net=setting.net,
        )

    def _hear(self, view: View) -> None:
        told: Bools = np.isfinite(view.cpu)
        first = told & np.isnan(self._heard_s)
        gain = np.where(first, 1.0, 1.0 - exp(-UPDATE_S / SMOOTHING_S))
        self._used = np.where(told, self._used + gain * (view.cpu - self._used), self._used)
        self._heard_s = np.where(told, view.now_s, self._heard_s)
