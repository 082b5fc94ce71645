"""This module is how a proxy chooses a cell, in the ways of `Pick`.

Weights are told to least-request as the renderer tells them, so what it makes of them is
simulated and not its intention.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from foreshard.lab.simulation.requests.chance import SHEDDING, TURN, chances, mixed, uniform
from foreshard.lab.simulation.requests.compiled import kernel
from foreshard.lab.simulation.requests.prequal import hot_cold, probe
from foreshard.lab.simulation.requests.world import NONE, World
from foreshard.lab.simulation.routing import Pick

__all__ = ["BIAS", "EXPECTED_IN_FLIGHT", "FINEST", "choose", "owner"]

# What `choose` says when it names no cell.
SHED: Final = -1
NOBODY_THERE: Final = -2

# As the settings of the Envoy adapter are by default: a weight is told as
# `p * (p * EXPECTED_IN_FLIGHT + 1) ** BIAS`, in integers up to FINEST.
BIAS: Final = 0.5
EXPECTED_IN_FLIGHT: Final = 10.0
FINEST: Final = 65_536.0
# Envoy's smallest share of the weight of a node in slow start (`min_weight_percent`).
SLOWEST: Final = 0.1

LEAST_REQUEST: Final = int(Pick.LEAST_REQUEST)
SLOTS: Final = int(Pick.SLOTS)
TWO_CHOICES: Final = int(Pick.TWO_CHOICES)
PREQUAL: Final = int(Pick.PREQUAL)
ONE: Final = np.uint64(1)


@kernel
def choose(w: World, i: int) -> int:
    """The cell of a request's next try, `SHED` or `NOBODY_THERE`."""
    request = w.requests[i]
    p, k = request.proxy, request.k
    row = w.rows[p, k]
    if row.pick == SLOTS:
        return _keeper(w, i)
    is_first = request.tries == 0
    if is_first and uniform(request.draw, SHEDDING + TURN * request.asks) < row.shed:
        return SHED
    if row.able == 0:
        return NOBODY_THERE
    c = _pick(w, p, k)
    for _ in range(0 if is_first else w.net[0].host_attempts):
        if not request.tried & (ONE << np.uint64(c & 63)):
            break
        c = _pick(w, p, k)
    if row.pick == PREQUAL:
        probe(w, p, k)
    return c


@kernel
def _pick(w: World, p: int, k: int) -> int:
    row = w.rows[p, k]
    if row.pick == LEAST_REQUEST:
        if row.is_even and w.state[0].now_s >= row.slow_until_s:
            return _least_busy(w, p, k, w.net[0].choices)
        return _earliest(w, p, k)
    if row.pick == TWO_CHOICES:
        return _least_busy(w, p, k, 2)
    if row.pick == PREQUAL:
        c = hot_cold(w, p, k)
        if c != NONE:
            return c
    return _by_weight(w, p, k)


@kernel
def _by_weight(w: World, p: int, k: int) -> int:
    """At random, each cell as often as its weight says."""
    row = w.rows[p, k]
    last = row.able - 1
    if row.is_even:
        return int(w.able[p, k, int(chances(w.chance) * row.able)])
    mark = chances(w.chance) * w.upto[p, k, last]
    place = 0
    while place < last and w.upto[p, k, place] <= mark:
        place += 1
    return int(w.able[p, k, place])


@kernel
def _least_busy(w: World, p: int, k: int, choices: int) -> int:
    """Of some that are drawn, the one where this proxy has least in flight."""
    best = _by_weight(w, p, k)
    for _ in range(choices - 1):
        other = _by_weight(w, p, k)
        if w.links[p, k, other].in_flight < w.links[p, k, best].in_flight:
            best = other
    return best


@kernel
def _earliest(w: World, p: int, k: int) -> int:
    """Earliest deadline first: each turn puts a cell's next one 1 / its weight further.

    One that was out meanwhile goes on from the present and makes up for nothing.
    """
    row = w.rows[p, k]
    best = int(w.able[p, k, 0])
    due = max(w.links[p, k, best].due, row.schedule)
    for place in range(1, row.able):
        c = w.able[p, k, place]
        other = max(w.links[p, k, c].due, row.schedule)
        if other < due:
            best, due = int(c), other
    link = w.links[p, k, best]
    pull = link.pull / (link.in_flight + 1.0) ** BIAS
    age_s = w.state[0].now_s - link.since_s
    if age_s < w.net[0].slow_start_s:
        pull *= max(SLOWEST, age_s / w.net[0].slow_start_s)
    row.schedule = due
    link.due = due + 1.0 / pull
    return best


@kernel
def owner(w: World, i: int) -> int:
    """Who owns the slot of a request's key; NONE = nobody, it is shed."""
    request = w.requests[i]
    p, k = request.proxy, request.k
    bits = mixed(np.uint64(request.key) + ONE)
    slot = int(bits & np.uint64(w.rows[p, k].slots - 1))
    return int(w.slots[p, k, slot])


@kernel
def _keeper(w: World, i: int) -> int:
    """The owner of a key, or who stands in for one that is dead or ejected.

    A backup that is ejected for its own keys is passed over while there is another: each owner's
    cluster would find out for itself, after as many failures.
    """
    request = w.requests[i]
    p, k = request.proxy, request.k
    home = owner(w, i)
    if home == NONE:
        return SHED
    if _serves(w, p, k, home):
        return home
    backups = w.backups[p, k, home]
    well, living = 0, 0
    for c in backups:
        if c != NONE and w.checks[p, c].is_alive:
            living += 1
            well += _serves(w, p, k, c)
    if living == 0:
        return home
    turn = int((mixed(np.uint64(request.key) + ONE) >> np.uint64(32)) % np.uint64(well or living))
    for c in backups:
        if c != NONE and w.checks[p, c].is_alive and (well == 0 or _serves(w, p, k, c)):
            if turn == 0:
                return int(c)
            turn -= 1
    return home


@kernel
def _serves(w: World, p: int, k: int, c: int) -> bool:
    """Whether a proxy takes a cell for one that answers this class."""
    return bool(w.checks[p, c].is_alive and not w.links[p, k, c].is_out)
