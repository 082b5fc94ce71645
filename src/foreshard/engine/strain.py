"""This module is what people are told when a cell serves less than it says, and who is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foreshard.engine.workload import Workload
from foreshard.model.plan import Plan, Reason
from foreshard.model.topology import Fleet
from foreshard.model.workload import RequestClass
from foreshard.profile.serving import ServingState

__all__ = ["refusals", "strains"]

# Less than this is rounding of shares to slots and weights.
LEAST_SHED = 1e-3


def strains(
    before: Workload, after: Workload, fleet: Fleet, classes: Sequence[RequestClass]
) -> tuple[Reason, ...]:
    """Cells whose queue began or ceased to say what they can serve, and classes alone in one."""
    then, now = before.serving, after.serving
    was, is_now = np.isfinite(then.ceiling), np.isfinite(now.ceiling)
    was_held, is_held = np.isfinite(then.class_ceiling), np.isfinite(now.class_ceiling)
    changed = (was != is_now) | (was_held != is_held).any(axis=1)
    found: list[Reason] = []
    for c in np.flatnonzero(changed).tolist():
        name = fleet.cells[c].name
        if is_now[c] and not was[c]:
            queue_s, ceiling = float(now.queue_s[c]), float(now.ceiling[c])
            text = (
                f"needs {queue_s:.2f} s for what waits in it; it can serve {ceiling:.0%} of what "
                "the fleet's median cell offers, whatever its gauges say"
            )
            facts = {"queue_s": round(queue_s, 3), "serves": round(ceiling, 3)}
            found.append(Reason(subject=name, code="cell.saturated", text=text, facts=facts))
        elif was[c] and not is_now[c]:
            text = "serves what its gauges say again"
            found.append(Reason(subject=name, code="cell.relaxed", text=text))
        news = np.flatnonzero(was_held[c] != is_held[c]).tolist()
        found.extend(_class_strain(name, classes[k].name, now, c, k) for k in news)
    return tuple(found)


def _class_strain(cell: str, request_class: str, now: ServingState, c: int, k: int) -> Reason:
    """One class that began or ceased to be held in one cell."""
    if not np.isfinite(now.class_ceiling[c, k]):
        text = f"{request_class} is answered as elsewhere again"
        return Reason(subject=cell, code="class.unlimited", text=text)
    own_s, most = float(now.own_s[c, k]), float(now.class_ceiling[c, k])
    text = (
        f"{request_class} takes {own_s:.2f} s longer than other classes explain; "
        f"it alone is held to {most:.1f} requests/s there"
    )
    facts = {"own_s": round(own_s, 3), "most_rps": round(most, 2)}
    return Reason(subject=cell, code="class.limited", text=text, facts=facts)


def refusals(live: Plan | None, plan: Plan | None) -> tuple[Reason, ...]:
    """Flows that a plan begins to refuse, or no longer refuses."""
    if live is None or plan is None:
        return ()
    found = []
    for flow, split in sorted(plan.splits.items()):
        old = live.splits[flow].shed if flow in live.splits else 0.0
        who = f"{flow.request_class} from {flow.origin}"
        if split.shed > LEAST_SHED and old <= LEAST_SHED:
            text = f"{split.shed:.1%} of {who} is refused with 429: there is no room for all"
            code = "shed.began"
        elif split.shed <= LEAST_SHED < old:
            text = f"all of {who} is served again"
            code = "shed.ended"
        else:
            continue
        facts = {"shed": round(split.shed, 4)}
        found.append(Reason(subject="fleet", code=code, text=text, facts=facts))
    return tuple(found)
