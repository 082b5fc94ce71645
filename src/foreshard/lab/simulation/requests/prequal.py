"""This module is Prequal: probes that tell requests in flight and latency, hot and cold cells.

After Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should balance" (NSDI 2024),
with the paper's parameters. Each query uses the pool and then sends probes for later ones, so
they cost it no time. Where there are no more cells than the pool has places, a new answer takes
the place of the cell's old one and only its age ends an answer's use: the paper's bound on reuse
supposes many more.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from foreshard.lab.simulation.requests.chance import chances
from foreshard.lab.simulation.requests.compiled import kernel
from foreshard.lab.simulation.requests.world import NONE, World

__all__ = ["hot_cold", "probe"]

POOL: Final = 16
OLDEST_S: Final = 1.0
PROBES: Final = 3
REMOVED: Final = 1
DELTA: Final = 1.0
Q_RIF: Final = 2.0**-0.25
# With fewer answers than this in the pool a cell is drawn at random.
FEWEST: Final = 2
# The server's answer: of its last so many requests the median latency of those that met about as
# many others as there are now. Older ones do not count, nor do they as they were where they met
# far more or less: a latency is taken to grow with the requests in flight. Otherwise a cell that
# was shunned for being full, and has emptied, would still say how slow it was when full.
RECENT: Final = 32
NEAREST: Final = 9
RECENT_S: Final = 1.0
FAR: Final = 2
FAR_RATIO: Final = 0.25
ONE: Final = np.uint64(1)


@kernel
def hot_cold(w: World, p: int, k: int) -> int:
    """The cold cell that answers soonest, else the hot one with least in flight; `NONE` = ?."""
    _expire(w, p, k)
    count = w.rows[p, k].probes
    if count < FEWEST:
        return NONE
    limit = _hot_limit(w, p, k)
    best = NONE
    for place in range(count):
        each = w.probes[p, k, place]
        if not _is_able(w, p, k, each.cell):
            continue
        if best == NONE or _is_better(w, p, k, place, best, limit):
            best = place
    if best == NONE:
        return NONE
    chosen = w.probes[p, k, best]
    c = int(chosen.cell)
    # Its own request is not in what the cell said.
    chosen.rif += 1
    chosen.uses += 1
    if chosen.uses >= _most_uses(w, p, k):
        _drop(w, p, k, best)
    _remove(w, p, k)
    return c


@kernel
def _is_better(w: World, p: int, k: int, this: int, that: int, limit: int) -> bool:
    one, two = w.probes[p, k, this], w.probes[p, k, that]
    if (one.rif <= limit) != (two.rif <= limit):
        return bool(one.rif <= limit)
    if one.rif <= limit:
        return bool(one.latency_s < two.latency_s)
    return bool(one.rif < two.rif)


@kernel
def _is_able(w: World, p: int, k: int, c: int) -> bool:
    """Not ejected, and passing its checks; or nobody is."""
    link = w.links[p, k, c]
    return bool(link.weight > 0.0 and not link.is_out and w.checks[p, c].is_alive)


@kernel
def _hot_limit(w: World, p: int, k: int) -> int:
    """The requests in flight beyond which a cell is hot: a quantile of the pool's."""
    count = w.rows[p, k].probes
    rank = int(Q_RIF * (count - 1))
    for place in range(count):
        rif = w.probes[p, k, place].rif
        less = 0
        same = 0
        for other in range(count):
            less += w.probes[p, k, other].rif < rif
            same += w.probes[p, k, other].rif == rif
        if less <= rank < less + same:
            return int(rif)
    return 0


@kernel
def _most_uses(w: World, p: int, k: int) -> float:
    """How often an answer may be used, rounded at random."""
    fresh = (1.0 - POOL / w.rows[p, k].hosts) * PROBES - REMOVED
    if fresh <= 0.0:
        return np.inf
    return float(np.floor(max(1.0, (1.0 + DELTA) / fresh) + chances(w.chance)))


@kernel
def _expire(w: World, p: int, k: int) -> None:
    place = 0
    while place < w.rows[p, k].probes:
        if w.state[0].now_s - w.probes[p, k, place].at_s > OLDEST_S:
            _drop(w, p, k, place)
        else:
            place += 1


@kernel
def _drop(w: World, p: int, k: int, place: int) -> None:
    row = w.rows[p, k]
    row.probes -= 1
    for later in range(place, row.probes):
        w.probes[p, k, later] = w.probes[p, k, later + 1]


@kernel
def _remove(w: World, p: int, k: int) -> None:
    """Each query takes answers out: in turn the oldest and the worst."""
    row = w.rows[p, k]
    for _ in range(REMOVED):
        if row.probes <= FEWEST:
            return
        row.removals += 1
        worst = 0
        if row.removals % 2:
            limit = _hot_limit(w, p, k)
            for place in range(1, row.probes):
                if not _is_better(w, p, k, place, worst, limit):
                    worst = place
        _drop(w, p, k, worst)


@kernel
def probe(w: World, p: int, k: int) -> None:
    """Ask some cells drawn at random; who is gone does not answer."""
    row = w.rows[p, k]
    for _ in range(PROBES):
        if row.able == 0:
            return
        c = int(w.able[p, k, int(chances(w.chance) * row.able)])
        cell = w.cells[c]
        if not (cell.is_up and cell.is_reachable):
            continue
        for place in range(row.probes):
            if w.probes[p, k, place].cell == c:
                _drop(w, p, k, place)
                break
        if row.probes == POOL:
            _drop(w, p, k, 0)
        answer = w.probes[p, k, row.probes]
        row.probes += 1
        answer.cell = c
        answer.rif = cell.inside
        answer.latency_s = _latency_s(w, c, k)
        answer.at_s = w.state[0].now_s
        answer.uses = 0


@kernel
def _latency_s(w: World, c: int, k: int) -> float:
    """What a request of this class would take now, as the cell's latest ones say."""
    known = min(w.ended[c, k], RECENT)
    if known == 0:
        return 0.0
    oldest_s = w.state[0].now_s - RECENT_S
    taken = np.uint64(0)
    count = 0
    for place in range(known):
        if w.recent[c, k, place].at_s < oldest_s:
            taken |= ONE << np.uint64(place)
        else:
            count += 1
    if count == 0:
        return _scaled_s(w, c, k, (w.ended[c, k] - 1) % RECENT)
    count = min(count, NEAREST)
    near = np.empty(count)
    for n in range(count):
        best = _nearest(w, c, k, taken)
        taken |= ONE << np.uint64(best)
        latency_s = _scaled_s(w, c, k, best)
        above = n
        while above > 0 and near[above - 1] > latency_s:
            near[above] = near[above - 1]
            above -= 1
        near[above] = latency_s
    return float(near[count // 2])


@kernel
def _nearest(w: World, c: int, k: int, taken: np.uint64) -> int:
    """Of those not taken, the one that met about as many others as there are now."""
    best = NONE
    away = 0
    for place in range(min(w.ended[c, k], RECENT)):
        apart = abs(w.recent[c, k, place].rif - w.cells[c].inside)
        if not taken & (ONE << np.uint64(place)) and (best == NONE or apart < away):
            best, away = place, apart
    return best


@kernel
def _scaled_s(w: World, c: int, k: int, place: int) -> float:
    """What one of the latest took, or would have taken among as many as there are now."""
    inside = w.cells[c].inside
    one = w.recent[c, k, place]
    if abs(one.rif - inside) <= FAR + FAR_RATIO * inside:
        return float(one.latency_s)
    return float(one.latency_s * (inside + 1) / (one.rif + 1))
