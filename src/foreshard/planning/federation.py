"""This module is planning by regions: what each has to spare for the others.

A fleet beyond one engine has one engine a region. Each knows its own cells one by one, and of the
others a few numbers: what they offer, what they use, what they grant. To it a peer region is one
more cell, far away, whose capacity is the grant; so the plan that spills to the nearest region
with room is the plan it always makes, and the region that takes it in spreads it cell by cell.

Region to region comes first: a region grants what it can carry beside its own work under the
ceiling. What peers lack is met first, the smallest lack first (max-min fairness, D. Bertsekas and
R. Gallager, Data Networks, 6.5.2). What would still be there after the loss of its largest cell is
granted to all alike, so that a peer that fails in the next second has somewhere to go. The sum
of grants never exceeds what is spare, so no two peers are promised the same room.

A grant is the last word of who may not be heard of any more. While it is young it is used; when
it is old the region's work there stays, or falls, and never rises: as with any silent cell.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from foreshard.model.federation import Aggregate, Membership
from foreshard.planning.brief import Estimate, Ground
from foreshard.planning.nearness import PLANNED_UTILISATION
from foreshard.planning.problem import Flags, Floats

__all__ = ["aggregate_of", "granted"]


def aggregate_of(
    membership: Membership,
    ground: Ground,
    estimate: Estimate,
    takes: Flags,
    heard: Mapping[str, Aggregate],
    *,
    ceiling: float,
    now_s: float,
) -> Aggregate:
    """What a region tells its peers.

    Args:
        membership: Its place.
        ground: Its cells and peers, its flows.
        estimate: Demand, needs, capacity.
        takes: [C] which cells take work.
        heard: By peer, the newest aggregate, whatever its age; a peer may be missing.
        ceiling: Utilisation that its cells are led to at most, with a guest's work.
        now_s: The moment.
    """
    own = np.array([not c.is_peer for c in ground.fleet.cells]) & takes
    # Of no cells at all it is known that they offer nothing: to say nothing is to say "as before".
    known = np.isfinite(estimate.capacity[own]).all(axis=0)
    capacity = np.where(known, estimate.capacity[own], 0.0)
    offers: Floats = capacity.sum(axis=0)
    largest = capacity.max(axis=0, initial=0.0)
    arises = np.array([f.origin != membership.inbound for f in ground.flows])
    serves = arises & ground.eligible[:, own].any(axis=1)
    uses: Floats = (serves * estimate.demand_rps) @ estimate.needs
    spare = np.maximum(ceiling * offers - uses, 0.0)
    ahead = np.maximum(ceiling * (offers - largest) - uses, 0.0)
    lacks = {
        name: np.array([_lack(heard.get(name), r) for r in ground.resources])
        for name in membership.peers
    }
    names = np.array(ground.resources)[known].tolist()

    def told(amounts: Floats) -> Mapping[str, float]:
        return dict(zip(names, amounts[known].tolist(), strict=True))

    return Aggregate(
        region=membership.region,
        made_at_s=now_s,
        offers=told(offers),
        uses=told(uses),
        grants={name: told(amounts) for name, amounts in granted(spare, ahead, lacks).items()},
    )


def _lack(of: Aggregate | None, resource: str) -> float:
    """What a region needs beyond what it is planned for."""
    if of is None:
        return 0.0
    planned = PLANNED_UTILISATION * of.offers.get(resource, 0.0)
    return max(0.0, of.uses.get(resource, 0.0) - planned)


def granted(spare: Floats, ahead: Floats, lacks: Mapping[str, Floats]) -> Mapping[str, Floats]:
    """Who may send how much; never more than is spare together.

    Args:
        spare: [R] for who lacks something, >= 0.
        ahead: [R] of it for who may lack something soon, in [0, spare].
        lacks: By peer, [R] what it lacks, >= 0.
    """
    if not lacks:
        return {}
    names = sorted(lacks)
    wanted = np.array([lacks[name] for name in names])
    given = np.zeros_like(wanted)
    for r, room in enumerate(spare.tolist()):
        left = room
        for place, i in enumerate(np.argsort(wanted[:, r], kind="stable").tolist()):
            given[i, r] = min(float(wanted[i, r]), left / (len(names) - place))
            left -= given[i, r]
        given[:, r] += max(float(ahead[r]) - float(given[:, r].sum()), 0.0) / len(names)
    return dict(zip(names, given, strict=True))
