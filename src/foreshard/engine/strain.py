"""This module is what people are told when a cell serves less than it says, and who is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foreshard.engine.workload import Workload
from foreshard.model.plan import Plan, Reason
from foreshard.model.topology import Fleet
from foreshard.model.workload import RequestClass

__all__ = ["refusals", "strains"]

# Less than this is rounding of shares to slots and weights.
LEAST_SHED = 1e-3


def strains(
    before: Workload, after: Workload, fleet: Fleet, classes: Sequence[RequestClass]
) -> tuple[Reason, ...]:
    """Cells whose queue began or ceased to say what they can serve, and classes alone in one."""
    then, now = before.serving, after.serving
    found = []
    for c, name in enumerate(fleet.names):
        was, is_now = np.isfinite(then.ceiling[c]), np.isfinite(now.ceiling[c])
        if is_now and not was:
            queue_s, ceiling = float(now.queue_s[c]), float(now.ceiling[c])
            text = (
                f"needs {queue_s:.2f} s for what waits in it; it can serve {ceiling:.0%} of what "
                "the fleet's median cell offers, whatever its gauges say"
            )
            facts = {"queue_s": round(queue_s, 3), "serves": round(ceiling, 3)}
            found.append(Reason(subject=name, code="cell.saturated", text=text, facts=facts))
        elif was and not is_now:
            text = "serves what its gauges say again"
            found.append(Reason(subject=name, code="cell.relaxed", text=text))
        for k, request_class in enumerate(classes):
            was = np.isfinite(then.class_ceiling[c, k])
            is_now = np.isfinite(now.class_ceiling[c, k])
            if is_now and not was:
                own_s, most = float(now.own_s[c, k]), float(now.class_ceiling[c, k])
                text = (
                    f"{request_class.name} takes {own_s:.2f} s longer than other classes explain; "
                    f"it alone is held to {most:.1f} requests/s there"
                )
                facts = {"own_s": round(own_s, 3), "most_rps": round(most, 2)}
                found.append(Reason(subject=name, code="class.limited", text=text, facts=facts))
            elif was and not is_now:
                text = f"{request_class.name} is answered as elsewhere again"
                found.append(Reason(subject=name, code="class.unlimited", text=text))
    return tuple(found)


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
