"""This module is what will happen, earliest first, and which places for requests are free.

A binary heap in an array of records; of two events at one moment the one noted first happens
first. An event about something that has ended since is known by its stamp and passed over.
"""

from __future__ import annotations

from typing import Final

from foreshard.lab.simulation.requests.compiled import entry, kernel
from foreshard.lab.simulation.requests.world import NONE, World

__all__ = ["drop_first", "note", "release", "take"]

# What happens. To a request:
REACHES: Final = 0
WAITED: Final = 1
COMPUTED: Final = 2
ANSWERED: Final = 3
TRIES_AGAIN: Final = 4
ASKS_AGAIN: Final = 5
# To a cell: a shared cpu's next finish; the longest wait for a connection.
SHARED: Final = 6
LINE: Final = 7
# To a class: the earliest deadline. To a proxy: its rounds.
DEADLINE: Final = 8
CHECKS: Final = 9
JUDGES: Final = 10


@entry
def note(w: World, at_s: float, what: int, who: int, stamp: int) -> None:
    """Something will happen; there must be room."""
    state = w.state[0]
    events = w.events
    place = state.events
    state.events = place + 1
    while place > 0:
        above = (place - 1) >> 1
        if events[above].at_s <= at_s:
            break
        events[place] = events[above]
        place = above
    event = events[place]
    event.at_s = at_s
    event.order = state.order
    event.who = who
    event.stamp = stamp
    event.what = what
    state.order += 1


@entry
def drop_first(w: World) -> None:
    """Take the earliest out."""
    state = w.state[0]
    events = w.events
    count = state.events - 1
    state.events = count
    if count == 0:
        return
    at_s = events[count].at_s
    order = events[count].order
    place = 0
    while True:
        below = 2 * place + 1
        if below >= count:
            break
        if below + 1 < count and _is_before(w, below + 1, events[below].at_s, events[below].order):
            below += 1
        if not _is_before(w, below, at_s, order):
            break
        events[place] = events[below]
        place = below
    events[place] = events[count]


@kernel
def _is_before(w: World, place: int, at_s: float, order: int) -> bool:
    event = w.events[place]
    return bool(event.at_s < at_s or (event.at_s == at_s and event.order < order))


@kernel
def take(w: World) -> int:
    """A free place for a request; there must be one. Its stamp stays what it was."""
    state = w.state[0]
    i = state.free
    state.free = w.requests[i].line_after
    state.free_count -= 1
    state.live += 1
    return int(i)


@kernel
def release(w: World, i: int) -> None:
    """The place is free again; events that still name it are void."""
    state = w.state[0]
    request = w.requests[i]
    request.stamp += 1
    request.line_after = state.free
    request.cell = NONE
    state.free = i
    state.free_count += 1
    state.live -= 1
