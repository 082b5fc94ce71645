"""This module is the check that traffic went where the plan sends it.

An acknowledged table is a promise; the counters are the proof.
"""

from __future__ import annotations

from foreshard.model.plan import Plan, Reason
from foreshard.model.telemetry import Observation

__all__ = ["strays"]

# Requests in flight at the switch finish at the old cell: a trickle is no stray.
TOLERATED_RATIO = 0.02
LEAST_RPS = 1.0


def strays(plan: Plan, observation: Observation) -> tuple[Reason, ...]:
    """Cells that serve a class of which the plan gives them nothing.

    A cell may serve what the safety net brought it (a retry, a failover), so this is a reason
    to look, not to act; it is logged and kept with the decision.
    """
    owners: dict[str, set[str]] = {}
    for flow, split in plan.splits.items():
        named = {cell for cell, share in split.shares.items() if share > 0.0}
        owners.setdefault(flow.request_class, set()).update(named)
    total: dict[str, float] = {}
    for reading in observation.cells.values():
        for name, traffic in (reading.traffic or {}).items():
            total[name] = total.get(name, 0.0) + traffic.rate_rps
    found = []
    for cell, reading in sorted(observation.cells.items()):
        for name, traffic in sorted((reading.traffic or {}).items()):
            rate = traffic.rate_rps
            if cell not in owners.get(name, {cell}) and rate > max(
                LEAST_RPS, TOLERATED_RATIO * total[name]
            ):
                text = f"still serves {rate:.1f} requests/s of {name}, planned none"
                found.append(
                    Reason(subject=cell, code="traffic.strayed", text=text, facts={"rps": rate})
                )
    return tuple(found)
