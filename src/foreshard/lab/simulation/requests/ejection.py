"""This module is outlier detection and who may be chosen, as each proxy sees it.

As Envoy does it with the settings of `SafetyNet`: answers of 500 and above and local failures
(no connection, resets, deadlines) are counted apart; ratios are judged and ejections end once an
interval; each further ejection is longer, and forgotten by an interval without one. An owner of
keys is ejected for failures in a row with its own keys only: it stands in a cluster of its own,
with nobody to compare it with, and with backups enough that one may always go.
"""

from __future__ import annotations

import math
from typing import Final

from foreshard.lab.simulation.requests.compiled import kernel
from foreshard.lab.simulation.requests.verdict import OK, REFUSED
from foreshard.lab.simulation.requests.world import World
from foreshard.lab.simulation.routing import Pick

__all__ = ["judge", "refresh", "told"]

SLOTS: Final = int(Pick.SLOTS)


@kernel
def told(w: World, p: int, k: int, c: int, verdict: int) -> None:
    """Take what came of a try."""
    link = w.links[p, k, c]
    if verdict == OK:
        link.good += 1
        link.run_5xx = 0
        link.run_local = 0
        return
    link.bad += 1
    if verdict == REFUSED:
        link.run_local = 0
        link.run_5xx += 1
    else:
        link.run_local += 1
    net = w.net[0]
    if link.run_5xx >= net.consecutive_5xx or link.run_local >= net.consecutive_local:
        _eject(w, p, k, c)


@kernel
def _eject(w: World, p: int, k: int, c: int) -> None:
    """Leave a cell out for a while, if not too many are."""
    net = w.net[0]
    link = w.links[p, k, c]
    row = w.rows[p, k]
    out = 0
    for other in range(len(w.cells)):
        out += w.links[p, k, other].is_out
    is_many = row.pick != SLOTS and out >= net.max_ejected_ratio * row.hosts
    if link.is_out or is_many:
        return
    link.run_5xx = 0
    link.run_local = 0
    link.backoff = min(link.backoff + 1, math.ceil(net.eject_max_s / net.eject_base_s))
    link.is_out = True
    lasts_s = min(net.eject_max_s, net.eject_base_s * link.backoff)
    link.ejected_s = w.state[0].now_s + lasts_s
    refresh(w, p, k)


@kernel
def judge(w: World, p: int) -> None:
    """A proxy's interval is over."""
    for k in range(len(w.kinds)):
        _forgive(w, p, k)
        if w.rows[p, k].pick != SLOTS:
            _compare(w, p, k)
            refresh(w, p, k)


@kernel
def _forgive(w: World, p: int, k: int) -> None:
    """Ejections that have lasted long enough end."""
    for c in range(len(w.cells)):
        link = w.links[p, k, c]
        if link.is_out:
            link.is_out = link.ejected_s > w.state[0].now_s
        elif link.backoff > 0:
            link.backoff -= 1


@kernel
def _compare(w: World, p: int, k: int) -> None:
    """Eject whoever failed too large a share of the interval's tries."""
    net = w.net[0]
    hosts = 0
    for c in range(len(w.cells)):
        link = w.links[p, k, c]
        hosts += not link.is_out and link.good + link.bad >= net.failure_minimum_requests
    for c in range(len(w.cells)):
        link = w.links[p, k, c]
        total = link.good + link.bad
        is_enough = hosts >= net.failure_minimum_hosts and total >= net.failure_minimum_requests
        if is_enough and not link.is_out and link.bad > net.failure_ratio * total:
            _eject(w, p, k, c)
        link.good = 0
        link.bad = 0


@kernel
def refresh(w: World, p: int, k: int) -> None:
    """List who may be chosen: healthy and not ejected, or all when too few are (panic)."""
    row = w.rows[p, k]
    well = 0
    for c in range(len(w.cells)):
        link = w.links[p, k, c]
        well += link.weight > 0.0 and not link.is_out and w.checks[p, c].is_alive
    is_panic = well < w.net[0].panic_ratio * row.hosts
    count = 0
    upto = 0.0
    for c in range(len(w.cells)):
        link = w.links[p, k, c]
        is_well = not link.is_out and w.checks[p, c].is_alive
        if link.weight > 0.0 and (is_well or is_panic):
            upto += link.weight
            w.able[p, k, count] = c
            w.upto[p, k, count] = upto
            count += 1
    row.able = count
