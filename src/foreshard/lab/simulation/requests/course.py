"""This module is the course of things: one event after the other, until a moment."""

from __future__ import annotations

from typing import Final

from foreshard.lab.simulation.requests.agenda import (
    ANSWERED,
    ASKS_AGAIN,
    CHECKS,
    COMPUTED,
    DEADLINE,
    JUDGES,
    LINE,
    REACHES,
    SHARED,
    TRIES_AGAIN,
    WAITED,
    drop_first,
    note,
    release,
)
from foreshard.lab.simulation.requests.arrival import aim_all
from foreshard.lab.simulation.requests.attempt import arrive, ask, go_on, stand_before
from foreshard.lab.simulation.requests.cell import break_off, finished, hand_on, overdue
from foreshard.lab.simulation.requests.check import check
from foreshard.lab.simulation.requests.compiled import entry, kernel
from foreshard.lab.simulation.requests.cpu import (
    compute,
    elapse,
    expect_finish,
    first_finished,
)
from foreshard.lab.simulation.requests.ejection import judge
from foreshard.lab.simulation.requests.outcome import missed, over
from foreshard.lab.simulation.requests.world import FOREVER, World

__all__ = ["ROOM", "befall", "run"]

# One event notes and takes less than this; a cell's death or revival no more than two each of
# those inside, for which whoever calls `befall` sees to it that there is room.
ROOM: Final = 16


@entry
def run(w: World, to_s: float) -> bool:
    """Let everything happen until then.

    Returns:
        Whether it has; False = more room is needed first.
    """
    state = w.state[0]
    if not state.is_closed:
        aim_all(w, min(to_s, state.until_s))
    while True:
        event_s = w.events[0].at_s if state.events > 0 else FOREVER
        if min(event_s, state.next_s) > to_s:
            break
        if state.events + ROOM > len(w.events) or state.free_count < ROOM:
            return False
        if state.next_s <= event_s:
            state.now_s = state.next_s
            arrive(w, state.next_flow, min(to_s, state.until_s))
            continue
        state.now_s = event_s
        what = w.events[0].what
        who = w.events[0].who
        stamp = w.events[0].stamp
        drop_first(w)
        if what <= ASKS_AGAIN:
            if w.requests[who].stamp == stamp:
                _go_through(w, who, what)
        else:
            _take_place(w, who, what, stamp)
    state.now_s = to_s
    return True


@kernel
def _go_through(w: World, i: int, what: int) -> None:
    """Something happens to a request."""
    request = w.requests[i]
    request.is_pending = False
    if what == COMPUTED:
        finished(w, i)
    elif what == WAITED:
        compute(w, i)
    elif what == REACHES:
        stand_before(w, i)
    elif what == ASKS_AGAIN:
        ask(w, i)
    elif request.is_over:
        release(w, i)
    elif what == TRIES_AGAIN:
        go_on(w, i)
    elif what == ANSWERED:
        over(w, i, request.verdict)


@kernel
def _take_place(w: World, who: int, what: int, stamp: int) -> None:
    """Something happens to a cell, a class or a proxy."""
    if what == SHARED:
        if w.cells[who].stamp == stamp:
            _share_out(w, who)
    elif what == DEADLINE:
        missed(w, who)
    elif what == LINE:
        if w.cells[who].life == stamp:
            overdue(w, who)
    elif what == CHECKS:
        check(w, who)
        note(w, w.state[0].now_s + w.net[0].check_interval_s, CHECKS, who, 0)
    elif what == JUDGES:
        judge(w, who)
        note(w, w.state[0].now_s + w.net[0].eject_interval_s, JUDGES, who, 0)


@kernel
def _share_out(w: World, c: int) -> None:
    """A shared cpu has come to where its first request is finished, unless others came."""
    w.cells[c].due_s = FOREVER
    elapse(w, c)
    i = first_finished(w, c)
    if i >= 0:
        finished(w, i)
    expect_finish(w, c)


@entry
def befall(w: World) -> None:
    """What was told of the cells holds from now on."""
    for c in range(len(w.cells)):
        cell, told = w.cells[c], w.told[c]
        cell.is_reachable = told.is_reachable
        cell.stall_ratio = told.stall_ratio
        cell.connections = told.connections
        if w.state[0].is_sharing:
            elapse(w, c)
        cell.speed = told.speed
        if cell.is_up and not told.is_up:
            break_off(w, c)
        elif told.is_up and not cell.is_up:
            cell.started_s = w.state[0].now_s
            w.seen[c, :] = False
        cell.is_up = told.is_up
        hand_on(w, c)
        if w.state[0].is_sharing:
            expect_finish(w, c)
