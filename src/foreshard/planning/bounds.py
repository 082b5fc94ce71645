"""This module is how much each cell may take: phases and shunned classes as bounds on shares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foreshard.model.workload import Flow
from foreshard.planning.phases import CellState, Phase
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.shunning import Shun, Stage, share_cap

__all__ = ["OUT", "STEPS", "Standing", "caps_of", "takes_work"]

OUT = frozenset({Phase.DRAINED, Phase.RECYCLING, Phase.QUARANTINED})

# A returning cell climbs these steps: few, because each moves keys, and the first small,
# because a cold cell at half its share is slow again.
STEPS = (0.1, 0.25, 0.5, 1.0)


def takes_work(state: CellState) -> bool:
    """Whether a cell in that state gets any share at all."""
    return state.phase not in OUT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """How the shares stand before a plan, in index order; F flows, C cells.

    Attributes:
        cells: [C] names.
        flows: [F].
        home: [F, C] the quiet split of the whole fleet: what "half of its share" refers to.
        live: [F, C] the shares that are live.
        eligible: [F, C].
        crowded: Cells whose work the rest cannot carry as a whole: they keep what must stay.
    """

    cells: Sequence[str]
    flows: Sequence[Flow]
    home: Floats
    live: Floats
    eligible: Flags
    crowded: Collection[str]


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

    A class that suffers in half of its cells or more suffers from something that moving cannot
    cure: then no cell is spared, and the bounds say nothing about it.
    """
    cells, home, live = standing.cells, standing.home, standing.live
    upper = np.array(standing.eligible, dtype=np.float64)
    lower = np.zeros_like(upper)
    for c, name in enumerate(cells):
        state = states[name]
        is_crowded = state.phase is Phase.DRAINED and name in standing.crowded
        if not takes_work(state) and not is_crowded:
            upper[:, c] = 0.0
        elif state.phase is Phase.DRAINING:
            # Half before whole: neither more nor less, however much the planner would like to.
            upper[:, c] = np.minimum(upper[:, c], np.minimum(0.5 * home[:, c], live[:, c]))
            lower[:, c] = upper[:, c]
        elif is_crowded:
            upper[:, c] = np.minimum(upper[:, c], 0.5 * home[:, c])
        elif state.phase is Phase.WARMING:
            ratio = _step((now_s - state.since_s) / max(policy.warm_s, 1e-9))
            upper[:, c] = np.minimum(upper[:, c], ratio * home[:, c])
    for f, flow in enumerate(standing.flows):
        able = [c for c, name in enumerate(cells) if upper[f, c] > 0.0]
        away = [
            c
            for c in able
            if (s := shuns.get((flow.request_class, cells[c]))) and s.stage is not Stage.SUSPECT
        ]
        if 2 * len(away) > len(able):
            continue
        for c in away:
            off = shuns[flow.request_class, cells[c]]
            cap = share_cap(off, now_s=now_s, policy=policy)
            if off.stage is Stage.RETURNING:
                upper[f, c] = min(upper[f, c], _step(cap) * home[f, c])
            else:
                upper[f, c] = min(upper[f, c], cap)
                lower[f, c] = upper[f, c]
    return lower, upper


def _step(ratio: float) -> float:
    """The step of the climb at a ratio of its time."""
    return STEPS[min(len(STEPS) - 1, int(ratio * len(STEPS)))]
