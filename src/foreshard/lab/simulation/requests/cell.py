"""This module is a cell: a door, a pool of connections with a line, what is waited for, cpus.

The demo's (`lab.cell.shop`): more than `backlog` inside are refused at the door, a connection is
held from start to end, and a request whose caller has gone is served to the end.
"""

from __future__ import annotations

from typing import Final

from foreshard.lab.simulation.effects import STALL_S
from foreshard.lab.simulation.requests.agenda import LINE, WAITED, note, release
from foreshard.lab.simulation.requests.chance import ERROR, STALL, TURN, uniform
from foreshard.lab.simulation.requests.compiled import kernel
from foreshard.lab.simulation.requests.cpu import clear_cpu, compute
from foreshard.lab.simulation.requests.outcome import answer
from foreshard.lab.simulation.requests.verdict import BROKEN, OK, REFUSED, UNREACHED
from foreshard.lab.simulation.requests.world import NONE, World

__all__ = ["break_off", "finished", "hand_on", "overdue", "reach"]

# Tries of one asking and askings of one client together draw less than so many chances.
ASKINGS: Final = 64
# Retransmissions back off; a request that was lost so often has long been given up.
MOST_STALLS: Final = 16


@kernel
def _turn(w: World, i: int) -> int:
    """Numbers the tries of one client, for chance."""
    request = w.requests[i]
    return int(TURN * (request.asks * ASKINGS + request.tries))


@kernel
def reach(w: World, i: int) -> None:
    """A try stands at the door of its cell."""
    request = w.requests[i]
    cell = w.cells[request.cell]
    if not cell.is_up:
        answer(w, i, UNREACHED)
        return
    is_full = cell.inside >= w.state[0].backlog
    error_ratio = w.error_ratio[request.cell, request.k]
    if is_full or (error_ratio > 0.0 and uniform(request.draw, ERROR + _turn(w, i)) < error_ratio):
        answer(w, i, REFUSED)
        return
    request.is_pending = True
    request.since_s = w.state[0].now_s
    request.rif = cell.inside
    request.inside_before = cell.last
    request.inside_after = NONE
    if cell.last == NONE:
        cell.first = i
    else:
        w.requests[cell.last].inside_after = i
    cell.last = i
    cell.inside += 1
    if cell.held < cell.connections:
        _connect(w, i)
    else:
        _line_up(w, i)


@kernel
def _connect(w: World, i: int) -> None:
    """It has a connection; it waits for what it needs, then for a cpu."""
    request = w.requests[i]
    c, k = request.cell, request.k
    cell = w.cells[c]
    cell.held += 1
    request.is_connected = True
    wait_s = request.dependency_s + w.wait_s[c, k]
    if w.kinds[k].first_s > 0.0 and not w.seen[c, request.key]:
        w.seen[c, request.key] = True
        wait_s += w.kinds[k].first_s
    if cell.stall_ratio > 0.0:
        rest = uniform(request.draw, STALL + _turn(w, i))
        for _ in range(MOST_STALLS):
            if rest >= cell.stall_ratio:
                break
            rest /= cell.stall_ratio
            wait_s += STALL_S
    if wait_s > 0.0:
        note(w, w.state[0].now_s + wait_s, WAITED, i, request.stamp)
    else:
        compute(w, i)


@kernel
def _line_up(w: World, i: int) -> None:
    """No connection is free."""
    request = w.requests[i]
    c = request.cell
    cell = w.cells[c]
    request.is_connected = False
    request.line_after = NONE
    if cell.line_head == NONE:
        cell.line_head = i
    else:
        w.requests[cell.line_tail].line_after = i
    cell.line_tail = i
    cell.waiting += 1
    if not cell.is_line_watched:
        _watch_line(w, c)


@kernel
def _watch_line(w: World, c: int) -> None:
    cell = w.cells[c]
    cell.is_line_watched = cell.line_head != NONE
    if cell.is_line_watched:
        at_s = w.requests[cell.line_head].since_s + w.state[0].pool_wait_s
        note(w, at_s, LINE, c, cell.life)


@kernel
def _next_in_line(w: World, c: int) -> int:
    cell = w.cells[c]
    i = int(cell.line_head)
    cell.line_head = w.requests[i].line_after
    cell.waiting -= 1
    return i


@kernel
def overdue(w: World, c: int) -> None:
    """Refuse who has stood in the line for too long, if it is time."""
    head = w.cells[c].line_head
    if head != NONE and w.requests[head].since_s + w.state[0].pool_wait_s <= w.state[0].now_s:
        _next_in_line(w, c)
        _leave(w, head)
        answer(w, head, REFUSED)
    _watch_line(w, c)


@kernel
def hand_on(w: World, c: int) -> None:
    """Give free connections to who waits."""
    cell = w.cells[c]
    while cell.line_head != NONE and cell.held < cell.connections:
        _connect(w, _next_in_line(w, c))


@kernel
def finished(w: World, i: int) -> None:
    """A request is served to the end, whoever still waits for it."""
    request = w.requests[i]
    c = request.cell
    cell = w.cells[c]
    _leave(w, i)
    served = w.recent[c, request.k, w.ended[c, request.k] % w.recent.shape[2]]
    served.rif = request.rif
    served.at_s = w.state[0].now_s
    served.latency_s = w.state[0].now_s - request.since_s
    w.ended[c, request.k] += 1
    hand_on(w, c)
    if cell.is_reachable:
        answer(w, i, OK)
    else:
        _unheard(w, i)


@kernel
def _leave(w: World, i: int) -> None:
    """Out of the cell; a connection is free again."""
    request = w.requests[i]
    cell = w.cells[request.cell]
    before, after = request.inside_before, request.inside_after
    if before == NONE:
        cell.first = after
    else:
        w.requests[before].inside_after = after
    if after == NONE:
        cell.last = before
    else:
        w.requests[after].inside_before = before
    cell.inside -= 1
    if request.is_connected:
        cell.held -= 1
        request.is_connected = False


@kernel
def _unheard(w: World, i: int) -> None:
    """The answer does not arrive: the caller, if there still is one, waits for its deadline."""
    w.requests[i].is_pending = False
    if w.requests[i].is_over:
        release(w, i)


@kernel
def break_off(w: World, c: int) -> None:
    """The process is gone, and with it all that was inside."""
    cell = w.cells[c]
    i = int(cell.first)
    clear_cpu(w, c)
    cell.life += 1
    cell.first = cell.last = cell.line_head = NONE
    cell.held = cell.waiting = cell.inside = 0
    cell.is_line_watched = False
    while i != NONE:
        after = int(w.requests[i].inside_after)
        w.requests[i].stamp += 1
        w.requests[i].is_connected = False
        if cell.is_reachable:
            answer(w, i, BROKEN)
        else:
            _unheard(w, i)
        i = after
