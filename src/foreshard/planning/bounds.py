"""This module is how much each cell may take: phases and shunned classes as bounds on shares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from foreshard.model.workload import Flow
from foreshard.planning.phases import CellState, Phase
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.shunning import Shun, Stage, share_cap

__all__ = ["KEPT_RATIO", "OUT", "STEPS", "Standing", "caps_of", "takes_work"]

OUT = frozenset({Phase.DRAINED, Phase.RECYCLING, Phase.QUARANTINED})

# A returning cell climbs these steps: few, because each moves keys, and the first small,
# because a cold cell at half its share is slow again.
STEPS = (0.1, 0.25, 0.5, 1.0)


def takes_work(state: CellState) -> bool:
    """Whether a cell in that state gets any share at all."""
    return state.phase not in OUT


# A cell in full service keeps at least this part of what its effective capacity entitles it to.
KEPT_RATIO = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """How the shares stand before a plan, in index order; F flows, C cells.

    Attributes:
        cells: [C] names.
        flows: [F].
        home: [F, C] the quiet split of the whole fleet: what "half of its share" refers to.
        live: [F, C] the shares that are live.
        eligible: [F, C].
        silent: Cells that say nothing of themselves: they keep at most what they have.
        crowded: Cells whose work the rest cannot carry as a whole: they keep what must stay.
        most: [F, C] shares that a cell can serve now of a class that suffers there alone.
        short: [C] cells that, with those that serve the same flows, cannot carry what must stay
            there without queues: then what is kept must be free to leave or to be shed, lowest
            priority first. Default: none.
        trusted: [F, C] of its home share that a cell may have, in [0, 1]. Default: all.
    """

    cells: Sequence[str]
    flows: Sequence[Flow]
    home: Floats
    live: Floats
    eligible: Flags
    silent: Collection[str]
    crowded: Collection[str]
    most: Floats
    short: Flags | None = None
    trusted: Floats | None = None


def caps_of(
    states: Mapping[str, CellState],
    shuns: Mapping[tuple[str, str], Shun],
    standing: Standing,
    *,
    now_s: float,
    policy: Policy,
) -> tuple[Floats, Floats]:
    """Lower and upper bounds of every share, each [F, C].

    Args:
        states: By cell.
        shuns: By (class, cell).
        standing: The shares before.
        now_s: The moment.
        policy: Timings.

    A class that suffers in more than half of its cells suffers from something that moving cannot
    cure: then no cell is spared, and the bounds say nothing about it.
    """
    eligible = np.array(standing.eligible, dtype=np.float64)
    upper = eligible
    # In full service, which most are: the others are looked at one by one.
    lower = np.minimum(upper, KEPT_RATIO * standing.home)
    for c, name in enumerate(standing.cells):
        state, is_silent = states[name], name in standing.silent
        if state.phase is Phase.ACTIVE and not is_silent:
            continue
        crowded = state.phase is Phase.DRAINED and name in standing.crowded
        least, most = _by_phase(
            state,
            standing.home[:, c],
            standing.live[:, c],
            crowded=crowded,
            now_s=now_s,
            warm_s=policy.warm_s,
        )
        if is_silent:
            least, most = np.zeros_like(least), np.minimum(most, standing.live[:, c])
        upper[:, c] = np.minimum(upper[:, c], most)
        lower[:, c] = np.minimum(upper[:, c], least)
    _spare(lower, upper, shuns, standing, now_s=now_s, policy=policy)
    if standing.trusted is not None:
        _hold(lower, upper, standing.trusted, standing.home)
    _relax(lower, upper, states, standing)
    # What a class cannot be served by any cell is shed: this is no gentleness.
    upper = np.minimum(upper, standing.most)
    return np.minimum(lower, upper), upper


def _spare(
    lower: Floats,
    upper: Floats,
    shuns: Mapping[tuple[str, str], Shun],
    standing: Standing,
    *,
    now_s: float,
    policy: Policy,
) -> None:
    """Keep classes off the cells in which they suffer."""
    index = {name: c for c, name in enumerate(standing.cells)} if shuns else {}
    off_of: dict[str, dict[int, Shun]] = {}
    for (request_class, cell), off in shuns.items():
        if cell in index and off.stage is not Stage.SUSPECT:
            off_of.setdefault(request_class, {})[index[cell]] = off
    for f, flow in enumerate(standing.flows):
        away = off_of.get(flow.request_class, {})
        away = {c: each for c, each in away.items() if upper[f, c] > 0.0}
        if 2 * len(away) > int((upper[f] > 0.0).sum()):
            continue
        for c, each in away.items():
            cap = share_cap(each, now_s=now_s, policy=policy)
            if each.stage is Stage.RETURNING:
                upper[f, c] = min(upper[f, c], _step(cap) * standing.home[f, c])
                lower[f, c] = min(lower[f, c], upper[f, c])
            else:
                upper[f, c] = min(upper[f, c], cap)
                lower[f, c] = upper[f, c]


def _hold(lower: Floats, upper: Floats, trusted: Floats, home: Floats) -> None:
    """Give cells that do harm no more than they are trusted with."""
    is_held = trusted < 1.0
    upper[is_held] = np.minimum(upper, trusted * home)[is_held]
    lower[is_held] = np.minimum(lower, upper)[is_held]


def _relax(
    lower: Floats, upper: Floats, states: Mapping[str, CellState], standing: Standing
) -> None:
    """Gentleness is no reason to refuse requests that a cell could have answered.

    A flow that no cell in service may take keeps all: a cell that may be dead is better than none.
    """
    if standing.short is not None:
        for c in np.flatnonzero(standing.short).tolist():
            if states[standing.cells[c]].phase is Phase.ACTIVE:
                lower[:, c] = np.where(lower[:, c] < upper[:, c], 0.0, lower[:, c])
    takes = np.array([takes_work(states[name]) for name in standing.cells])
    able = standing.eligible & takes[None, :]
    able = np.where(able.any(axis=1, keepdims=True), able, standing.eligible)
    short = upper.sum(axis=1) < 1.0
    upper[short] = np.maximum(upper[short], able[short])
    lower[short] = 0.0


def _by_phase(
    state: CellState, home: Floats, live: Floats, *, crowded: bool, now_s: float, warm_s: float
) -> tuple[Floats, Floats]:
    """Bounds of one cell's shares, each [F], before eligibility and shunned classes."""
    nothing = np.zeros_like(home)
    match state.phase:
        case Phase.ACTIVE:
            # Emptying a cell is what phases are for; a plan only lightens it.
            return KEPT_RATIO * home, np.ones_like(home)
        case Phase.DRAINING:
            # Half before whole: neither more nor less, however much the planner would like to.
            half = np.minimum(0.5 * home, live)
            return half, half
        case Phase.WARMING:
            return nothing, _step((now_s - state.since_s) / max(warm_s, 1e-9)) * home
        case Phase.DRAINED if crowded:
            return nothing, 0.5 * home
        case Phase.DRAINED | Phase.RECYCLING | Phase.QUARANTINED:
            return nothing, nothing
    assert_never(state.phase)


def _step(ratio: float) -> float:
    """The step of the climb at a ratio of its time."""
    return STEPS[min(len(STEPS) - 1, int(ratio * len(STEPS)))]
