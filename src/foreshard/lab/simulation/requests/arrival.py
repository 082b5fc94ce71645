"""This module is when requests arrive: Poisson processes, stretched to the demand of the moment.

Each flow counts expected arrivals off a random amount (Exp(1), the inversion method); demand is
`rate * factor * (1 + swing * sin(turn * t))`, the factor constant until it is told anew. So the
n-th request of a flow is the same one under every demand, and only comes sooner or later.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from foreshard.lab.simulation.requests.chance import GAP, exponential, named
from foreshard.lab.simulation.requests.compiled import entry, kernel
from foreshard.lab.simulation.requests.world import FOREVER, World

__all__ = ["aim", "aim_all", "choose_next", "expected"]

# Newton's method from a constant rate: two steps reach a microsecond, four the last bit.
STEPS: Final = 4


@entry
def expected(from_s: float, to_s: float, swing: float, turn: float) -> float:
    """Arrivals between two moments at a mean rate of 1."""
    return to_s - from_s + swing / turn * (math.cos(turn * from_s) - math.cos(turn * to_s))


@kernel
def aim(w: World, f: int, to_s: float) -> None:
    """Find a flow's next arrival, if it is not later than `to_s`."""
    state = w.state[0]
    flow = w.flows[f]
    rate = flow.rate_rps * flow.demand
    whole = rate * expected(flow.at_s, to_s, state.swing, state.turn)
    if to_s <= flow.at_s or flow.left > whole:
        flow.left -= max(0.0, whole)
        flow.at_s = max(flow.at_s, to_s)
        flow.due_s = FOREVER
        return
    t_s = flow.at_s
    for _ in range(STEPS):
        over = flow.left - rate * expected(flow.at_s, t_s, state.swing, state.turn)
        t_s += over / (rate * (1.0 + state.swing * math.sin(state.turn * t_s)))
        t_s = min(to_s, max(flow.at_s, t_s))
    flow.due_s = t_s
    flow.at_s = t_s
    flow.left = exponential(named(flow.seed, flow.index + np.uint64(1)), GAP)


@kernel
def aim_all(w: World, to_s: float) -> None:
    """As `aim`, for the flows that do not know yet."""
    for f in range(len(w.flows)):
        if w.flows[f].due_s == FOREVER:
            aim(w, f, to_s)
    choose_next(w)


@kernel
def choose_next(w: World) -> None:
    """Whose arrival is the earliest."""
    state = w.state[0]
    state.next_s = FOREVER
    for f in range(len(w.flows)):
        if w.flows[f].due_s < state.next_s:
            state.next_s = w.flows[f].due_s
            state.next_flow = f
