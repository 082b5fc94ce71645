"""This module is a request on its way: it arrives, is given a proxy and a cell, and tries."""

from __future__ import annotations

from typing import Final

import numpy as np

from foreshard.lab.simulation.requests.agenda import ANSWERED, REACHES, note, take
from foreshard.lab.simulation.requests.arrival import aim, choose_next
from foreshard.lab.simulation.requests.cell import reach
from foreshard.lab.simulation.requests.chance import (
    CPU,
    DEPENDENCY,
    HOT,
    KEY,
    PROXY,
    gamma,
    named,
    uniform,
)
from foreshard.lab.simulation.requests.choice import NOBODY_THERE, SHED, choose
from foreshard.lab.simulation.requests.compiled import kernel
from foreshard.lab.simulation.requests.outcome import enlist, settle
from foreshard.lab.simulation.requests.verdict import BROKEN, TURNED_AWAY, UNREACHED
from foreshard.lab.simulation.requests.world import World

__all__ = ["arrive", "ask", "go_on", "stand_before"]

# The demo's dependency: Erlang with four phases.
DEPENDENCY_SHAPE: Final = 4.0
ONE: Final = np.uint64(1)


@kernel
def arrive(w: World, f: int, to_s: float) -> None:
    """The next request of a flow is there; then look for the one after it."""
    state = w.state[0]
    flow = w.flows[f]
    kind = w.kinds[flow.k]
    i = take(w)
    request = w.requests[i]
    draw = named(flow.seed, flow.index)
    request.draw = draw
    request.k = flow.k
    request.origin = flow.origin
    request.proxy = flow.origin * state.proxies + int(uniform(draw, PROXY) * state.proxies)
    request.first_s = state.now_s
    request.asks = 0
    request.key = int(uniform(draw, KEY) * state.keys)
    if kind.is_keyed and uniform(draw, HOT) < state.hot_ratio:
        request.key = 0
    request.cost_s = kind.cpu_s * gamma(draw, CPU, state.shape)
    request.dependency_s = 0.0
    if kind.dependency_s > 0.0:
        request.dependency_s = kind.dependency_s * gamma(draw, DEPENDENCY, DEPENDENCY_SHAPE)
    state.open += 1
    flow.index += ONE
    aim(w, f, to_s)
    choose_next(w)
    ask(w, i)


@kernel
def ask(w: World, i: int) -> None:
    """A client asks, for the first time or again."""
    request = w.requests[i]
    request.t_s = w.state[0].now_s
    request.tries = 0
    request.tried = np.uint64(0)
    request.is_over = False
    request.is_retry = False
    request.is_trying = False
    request.is_pending = False
    request.is_connected = False
    w.asked[0, request.origin, request.k] += 1.0
    enlist(w, i)
    go_on(w, i)


@kernel
def go_on(w: World, i: int) -> None:
    """The proxy tries a cell."""
    request = w.requests[i]
    c = choose(w, i)
    if c == SHED:
        w.asked[1, request.origin, request.k] += 1.0
        settle(w, i, TURNED_AWAY)
        return
    if c == NOBODY_THERE:
        settle(w, i, BROKEN)
        return
    request.cell = c
    request.try_s = w.state[0].now_s
    request.tries += 1
    request.tried |= ONE << np.uint64(c & 63)
    request.is_trying = True
    w.links[request.proxy, request.k, c].in_flight += 1
    w.rows[request.proxy, request.k].open += 1
    half_s = w.half_s[request.origin, c]
    if half_s > 0.0:
        request.is_pending = True
        note(w, request.try_s + half_s, REACHES, i, request.stamp)
    else:
        stand_before(w, i)


@kernel
def stand_before(w: World, i: int) -> None:
    """The try has come to its cell, or would have, if it could be reached."""
    request = w.requests[i]
    if w.cells[request.cell].is_reachable:
        reach(w, i)
        return
    request.verdict = UNREACHED
    request.is_pending = True
    at_s = max(w.state[0].now_s, request.try_s + w.net[0].connect_timeout_s)
    note(w, at_s, ANSWERED, i, request.stamp)
