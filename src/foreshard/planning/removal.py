"""This module is the plan for when there is no time to plan: cells leave, the rest share.

It needs no demand, no needs and no forecast, so it works in the first second and with stale
telemetry: what a removed cell had goes to the others in proportion to what they have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from foreshard.model.plan import Plan, Split
from foreshard.model.topology import Cell, Fleet
from foreshard.model.workload import Flow, RequestClass

__all__ = ["even_plan", "fitted", "without"]


def without(
    plan: Plan, gone: Collection[str], fleet: Fleet, classes: Mapping[str, RequestClass]
) -> Plan:
    """The plan with nothing for the cells that are gone.

    A flow that only such cells serve goes to the nearest region with others that may serve it,
    evenly; where there is none it keeps its own: a cell that may be dead is better than none.
    """
    splits = {}
    for flow, split in plan.splits.items():
        now = _without(split, gone)
        if now.shares.keys() <= set(gone) and now.shed < 1.0:
            near = _nearest(flow, fleet, classes, gone)
            part = (1.0 - split.shed) / max(len(near), 1)
            now = Split(shares=dict.fromkeys(near, part), shed=split.shed) if near else now
        splits[flow] = now
    return Plan(splits=splits)


def _nearest(
    flow: Flow, fleet: Fleet, classes: Mapping[str, RequestClass], gone: Collection[str]
) -> list[str]:
    """Cells of the nearest region that may serve a flow and are there."""
    able = [c for c in _allowed(flow, fleet, classes) if c.name not in gone]
    if not able:
        return []
    region = min(able, key=lambda c: (fleet.distance_ms(flow.origin, c), c.region)).region
    return [c.name for c in able if c.region == region]


def _allowed(flow: Flow, fleet: Fleet, classes: Mapping[str, RequestClass]) -> list[Cell]:
    one = classes[flow.request_class]
    return [c for c in fleet.cells if one.allows(flow.origin, c.region) and one.allows_cell(c)]


def even_plan(
    fleet: Fleet,
    flows: tuple[Flow, ...],
    classes: Mapping[str, RequestClass],
    gone: Collection[str],
) -> Plan:
    """The first plan, when nothing is known: every allowed cell alike, but for those gone.

    A region of another engine gets nothing before it has granted something, if others can serve.
    """
    splits = {}
    for flow in flows:
        names = [c.name for c in _allowed(flow, fleet, classes)]
        allowed = [name for name in names if name not in fleet.peers] or names
        alive = [name for name in allowed if name not in gone] or allowed
        splits[flow] = Split(shares={name: 1.0 / len(alive) for name in alive})
    return Plan(splits=splits)


def fitted(
    plan: Plan,
    fleet: Fleet,
    flows: tuple[Flow, ...],
    classes: Mapping[str, RequestClass],
) -> Plan:
    """An adopted plan for the fleet and flows of today: a configuration may have changed since.

    Cells that are no more have left; a flow that is new, or that only such cells or cells that
    it may no longer use served, is split evenly.
    """
    even = even_plan(fleet, flows, classes, ())
    splits = {}
    for flow in flows:
        was = plan.splits.get(flow)
        allowed = {c.name for c in _allowed(flow, fleet, classes)}
        gone = set(was.shares) - allowed if was else set()
        now = _without(was, gone) if was else even.splits[flow]
        splits[flow] = even.splits[flow] if gone & set(now.shares) else now
    return Plan(splits=splits)


def _without(split: Split, gone: Collection[str]) -> Split:
    kept = {cell: share for cell, share in split.shares.items() if cell not in gone}
    total = sum(kept.values())
    if len(kept) == len(split.shares) or total <= 0.0:
        return split
    served = 1.0 - split.shed
    # Divided first: what is left may be so little that its inverse is no number.
    shares = {cell: share / total * served for cell, share in kept.items()}
    return Split(shares=shares, shed=split.shed)
