"""This module is what becomes of a try and of a request, and who is told.

A try ends with an answer, a refusal, a broken connection or at the deadline; the proxy may try
another cell, and in the end its client may ask again. The deadlines of one class are in order of
arrival, so a list and one event for its head are enough.
"""

from __future__ import annotations

import math
from typing import Final

from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.requests.agenda import (
    ANSWERED,
    ASKS_AGAIN,
    DEADLINE,
    TRIES_AGAIN,
    note,
    release,
    take,
)
from foreshard.lab.simulation.requests.chance import AGAIN, TURN, chances, uniform
from foreshard.lab.simulation.requests.choice import owner
from foreshard.lab.simulation.requests.compiled import kernel
from foreshard.lab.simulation.requests.ejection import told
from foreshard.lab.simulation.requests.verdict import LATE, OK, TURNED_AWAY, UNREACHED
from foreshard.lab.simulation.requests.world import NONE, World
from foreshard.lab.simulation.routing import Pick

__all__ = ["answer", "enlist", "missed", "over", "settle", "watch"]

SLOTS: Final = int(Pick.SLOTS)
GOOD: Final = int(Fate.GOOD)
FAILED: Final = int(Fate.FAILED)
SLOW: Final = int(Fate.SLOW)
SHED: Final = int(Fate.SHED)
# A client that was failed asks again after a second or a little less, not all at once.
AGAIN_S: Final = 1.0
# `LATENCY_EDGES_S`: fifteen bins a decade from a millisecond.
BINS_A_DECADE: Final = 15.0
FIRST_DECADE: Final = -3.0
SHORTEST_S: Final = 1e-9


@kernel
def answer(w: World, i: int, verdict: int) -> None:
    """A cell, or the connection to it, says how a try ended; the caller may be gone."""
    request = w.requests[i]
    request.is_pending = False
    if request.is_over:
        release(w, i)
        return
    half_s = w.half_s[request.origin, request.cell]
    if half_s > 0.0:
        request.verdict = verdict
        request.is_pending = True
        note(w, w.state[0].now_s + half_s, ANSWERED, i, request.stamp)
        return
    over(w, i, verdict)


@kernel
def over(w: World, i: int, verdict: int) -> None:
    """The caller knows how a try ended: it tries again, or the request is settled."""
    _account(w, i, verdict)
    if verdict not in (OK, LATE) and _may_retry(w, i, verdict):
        request = w.requests[i]
        request.is_retry = True
        w.rows[request.proxy, request.k].retries += 1
        net = w.net[0]
        most_s = min(net.backoff_max_s, net.backoff_base_s * (2.0**request.tries - 1.0))
        pause_s = most_s * chances(w.chance)
        request.is_pending = True
        note(w, w.state[0].now_s + pause_s, TRIES_AGAIN, i, request.stamp)
        return
    settle(w, i, verdict)


@kernel
def _account(w: World, i: int, verdict: int) -> None:
    """Count a try that has ended."""
    request = w.requests[i]
    state = w.state[0]
    p, k, c, o = request.proxy, request.k, request.cell, request.origin
    row = w.rows[p, k]
    row.open -= 1
    w.links[p, k, c].in_flight -= 1
    request.is_trying = False
    if request.is_retry:
        request.is_retry = False
        row.retries -= 1
    took_s = state.now_s - request.try_s
    tally = w.tally[o, c, k]
    tally.tries += 1.0
    tally.latency_s += took_s
    if verdict != OK:
        tally.failed += 1.0
    else:
        tally.slow += took_s > w.kinds[k].objective_s
        second = min(int(state.now_s), len(w.crossed) - 1)
        w.served[second, c, k] += 1.0
        w.crossed[second] += w.cells[c].region != w.home[o]
    ejects = w.net[0].ejects_keyed and not w.kinds[k].owns_data
    if row.pick != SLOTS or (ejects and owner(w, i) == c):
        told(w, p, k, c, verdict)


@kernel
def _may_retry(w: World, i: int, verdict: int) -> bool:
    request = w.requests[i]
    may = verdict == UNREACHED or w.kinds[request.k].is_retriable
    if not may or request.tries > w.net[0].retries:
        return False
    row = w.rows[request.proxy, request.k]
    budget = max(w.net[0].retry_budget_minimum, w.net[0].retry_budget_ratio * row.open)
    return bool(row.retries < budget)


@kernel
def settle(w: World, i: int, verdict: int) -> None:
    """No more tries: the client is told, and asks again if that is its way."""
    request = w.requests[i]
    state = w.state[0]
    _unlist(w, i)
    request.is_over = True
    if request.is_retry:
        request.is_retry = False
        w.rows[request.proxy, request.k].retries -= 1
    is_bad = verdict not in (OK, TURNED_AWAY)
    if is_bad and request.asks < state.client_retries:
        pause_s = AGAIN_S * (0.5 + 0.5 * uniform(request.draw, AGAIN + TURN * request.asks))
        j = take(w)
        again = w.requests[j]
        again.first_s = request.first_s
        again.cost_s = request.cost_s
        again.dependency_s = request.dependency_s
        again.draw = request.draw
        again.key = request.key
        again.k = request.k
        again.origin = request.origin
        again.proxy = request.proxy
        again.asks = request.asks + 1
        note(w, state.now_s + pause_s, ASKS_AGAIN, j, again.stamp)
    else:
        _write(w, i, verdict)
    if not request.is_pending:
        release(w, i)


@kernel
def _write(w: World, i: int, verdict: int) -> None:
    """What became of a client's request goes into the ledger."""
    request = w.requests[i]
    state = w.state[0]
    took_s = max(SHORTEST_S, state.now_s - request.first_s)
    fate = SHED if verdict == TURNED_AWAY else FAILED
    if verdict == OK:
        fate = SLOW if took_s > w.kinds[request.k].objective_s else GOOD
    state.open -= 1
    second = min(int(request.first_s), len(w.fates) - 1)
    w.fates[second, request.origin, request.k, fate] += 1.0
    if verdict == OK and request.first_s >= state.warm_up_s:
        place = math.floor((math.log10(took_s) - FIRST_DECADE) * BINS_A_DECADE)
        w.latency[request.k, min(max(place, 0), w.latency.shape[1] - 1)] += 1.0


@kernel
def enlist(w: World, i: int) -> None:
    """Its deadline is the last of its class."""
    request = w.requests[i]
    kind = w.kinds[request.k]
    request.deadline_before = kind.tail
    request.deadline_after = NONE
    if kind.tail == NONE:
        kind.head = i
    else:
        w.requests[kind.tail].deadline_after = i
    kind.tail = i
    if not kind.is_watched:
        watch(w, request.k)


@kernel
def _unlist(w: World, i: int) -> None:
    request = w.requests[i]
    kind = w.kinds[request.k]
    before, after = request.deadline_before, request.deadline_after
    if before == NONE:
        kind.head = after
    else:
        w.requests[before].deadline_after = after
    if after == NONE:
        kind.tail = before
    else:
        w.requests[after].deadline_before = before


@kernel
def watch(w: World, k: int) -> None:
    """Note the earliest deadline of a class."""
    kind = w.kinds[k]
    kind.is_watched = kind.head != NONE
    if kind.is_watched:
        note(w, w.requests[kind.head].t_s + kind.timeout_s, DEADLINE, k, 0)


@kernel
def missed(w: World, k: int) -> None:
    """The caller of the oldest request gives up, if it is time; the work goes on."""
    head = w.kinds[k].head
    if head != NONE and w.requests[head].t_s + w.kinds[k].timeout_s <= w.state[0].now_s:
        if w.requests[head].is_trying:
            _account(w, head, LATE)
        settle(w, head, LATE)
    watch(w, k)
