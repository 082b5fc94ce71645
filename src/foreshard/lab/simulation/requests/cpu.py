"""This module is a cell's cpus: first come, first served, or shared evenly.

First come: the next start follows from *computed* finishes, as in the demo's cells
(`lab.cell.cpu`). Sharing: each of n requests gets `min(1, c / n)` of a cpu (egalitarian
processor sharing), kept in virtual time: all progress alike, so the first to finish is the one
whose virtual finish is least, and one heap a cell is enough.
"""

from __future__ import annotations

from typing import Final

from foreshard.lab.simulation.requests.agenda import COMPUTED, SHARED, note
from foreshard.lab.simulation.requests.compiled import entry, kernel
from foreshard.lab.simulation.requests.world import FOREVER, World

__all__ = [
    "busy_s",
    "clear_cpu",
    "compute",
    "elapse",
    "expect_finish",
    "first_finished",
    "offer",
]

# A finish within this is now: virtual time is a sum and does not hit its mark to the bit.
NEAR_S: Final = 1e-9


@entry
def offer(w: World, c: int, now_s: float, busy_s: float) -> float:
    """Keep the cpu of a cell that falls free first busy; when it is finished."""
    free_s = w.free_s
    first = 0
    for server in range(1, w.cells[c].servers):
        if free_s[c, server] < free_s[c, first]:
            first = server
    finish_s = max(now_s, free_s[c, first]) + busy_s
    free_s[c, first] = finish_s
    return float(finish_s)


@kernel
def compute(w: World, i: int) -> None:
    """A request has waited for all that it needs and wants a cpu."""
    state = w.state[0]
    request = w.requests[i]
    c = request.cell
    cell = w.cells[c]
    cost_s = request.cost_s
    age_s = state.now_s - cell.started_s
    if age_s < state.cold_s:
        cost_s *= 2.0 - age_s / state.cold_s
    request.is_pending = True
    if state.is_sharing:
        elapse(w, c)
        _join(w, c, cell.virtual_s + cost_s, i)
        expect_finish(w, c)
        return
    taken_s = cost_s / (cell.speed * cell.size)
    cell.spent_s += taken_s
    note(w, offer(w, c, state.now_s, taken_s), COMPUTED, i, request.stamp)


@entry
def busy_s(w: World, c: int) -> float:
    """Cpu seconds that a cell has spent up to now; never more than its size a second."""
    now_s = w.state[0].now_s
    cell = w.cells[c]
    spent_s = cell.spent_s
    if w.state[0].is_sharing:
        spent_s += min(cell.jobs, cell.servers) * (now_s - cell.moved_s)
    else:
        for server in range(cell.servers):
            spent_s -= max(0.0, w.free_s[c, server] - now_s)
    return float(spent_s * cell.size)


@kernel
def clear_cpu(w: World, c: int) -> None:
    """What was computed is lost; what it had cost was spent."""
    cell = w.cells[c]
    cell.spent_s = busy_s(w, c) / cell.size
    for server in range(cell.servers):
        w.free_s[c, server] = w.state[0].now_s
    cell.jobs = 0
    cell.moved_s = w.state[0].now_s
    cell.due_s = FOREVER
    cell.stamp += 1


@kernel
def _rate(w: World, c: int) -> float:
    """Virtual seconds a second."""
    cell = w.cells[c]
    share = min(1.0, cell.servers / max(1.0, float(cell.jobs)))
    return float(share * cell.speed * cell.size)


@kernel
def elapse(w: World, c: int) -> None:
    """Bring a shared cell's virtual time up to now; before anything in it changes."""
    cell = w.cells[c]
    passed_s = w.state[0].now_s - cell.moved_s
    cell.moved_s = w.state[0].now_s
    if cell.jobs > 0:
        cell.virtual_s += passed_s * _rate(w, c)
        cell.spent_s += passed_s * min(cell.jobs, cell.servers)


@kernel
def expect_finish(w: World, c: int) -> None:
    """Note when a shared cell has to be looked at, unless that is noted early enough."""
    cell = w.cells[c]
    if cell.jobs == 0:
        return
    left = max(0.0, w.jobs[c, 0].done - cell.virtual_s)
    at_s = w.state[0].now_s + left / _rate(w, c)
    if at_s < cell.due_s:
        cell.due_s = at_s
        cell.stamp += 1
        note(w, at_s, SHARED, c, cell.stamp)


@kernel
def first_finished(w: World, c: int) -> int:
    """Take the next request that a shared cell has finished by now out, -1 if none is."""
    cell = w.cells[c]
    jobs = w.jobs[c]
    if cell.jobs == 0 or jobs[0].done > cell.virtual_s + NEAR_S:
        return -1
    who = int(jobs[0].who)
    count = cell.jobs - 1
    cell.jobs = count
    place = 0
    while 2 * place + 1 < count:
        below = 2 * place + 1
        if below + 1 < count and jobs[below + 1].done < jobs[below].done:
            below += 1
        if jobs[below].done >= jobs[count].done:
            break
        jobs[place] = jobs[below]
        place = below
    jobs[place] = jobs[count]
    return who


@kernel
def _join(w: World, c: int, done: float, who: int) -> None:
    jobs = w.jobs[c]
    place = w.cells[c].jobs
    w.cells[c].jobs = place + 1
    while place > 0 and jobs[(place - 1) >> 1].done > done:
        jobs[place] = jobs[(place - 1) >> 1]
        place = (place - 1) >> 1
    jobs[place].done = done
    jobs[place].who = who
