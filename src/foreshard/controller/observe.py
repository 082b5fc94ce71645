"""This module is one look at the fleet, put together from what the sources said."""

from __future__ import annotations

from collections.abc import Mapping

from foreshard.model.events import SystemEvent
from foreshard.model.handover import Reply
from foreshard.model.telemetry import CellReading, Fresh, Health, Missing, Observation
from foreshard.model.topology import Fleet
from foreshard.ports import BalancerReading

__all__ = ["observation_of"]

NAN = float("nan")


def observation_of(
    fleet: Fleet,
    *,
    now_s: float,
    interval_s: float,
    said: Mapping[str, tuple[Health, Fresh | Missing]],
    seen: BalancerReading | Missing,
    events: tuple[SystemEvent, ...],
    replies: tuple[Reply, ...] = (),
) -> Observation:
    """What all sources said at one moment.

    Args:
        fleet: Every cell of it is in the result, also one that no source named.
        now_s: When.
        interval_s: Used where the balancer was silent and named no interval of its own.
        said: What cells say of themselves.
        seen: What the balancers saw.
        events: Known and not over.
        replies: To notices of hand-overs, since the look before.
    """
    silent = (Health.UNKNOWN, Missing("no source named it"))
    answers = {cell.name: said.get(cell.name, silent) for cell in fleet.cells}
    heard, lost = seen if isinstance(seen, BalancerReading) else None, frozenset[str]()
    if heard is not None and heard.silent_origins:
        regions = heard.silent_origins
        if all(_is_lost(region, fleet, answers) for region in regions):
            lost = frozenset(c.name for c in fleet.cells if c.region in regions)
        else:
            heard = None
    cells = {}
    for cell in fleet.cells:
        health, reading = answers[cell.name]
        cells[cell.name] = CellReading(
            health=health,
            reading=reading,
            traffic=heard.traffic.get(cell.name, {}) if heard else None,
            in_flight=heard.in_flight.get(cell.name, NAN) if heard else NAN,
        )
    return Observation(
        now_s=now_s,
        interval_s=heard.interval_s if heard else interval_s,
        cells=cells,
        demand_rps=heard.demand_rps if heard else None,
        events=events,
        shed_rps=heard.shed_rps if heard else {},
        replies=replies,
        lost=lost,
    )


def _is_lost(
    region: str, fleet: Fleet, said: Mapping[str, tuple[Health, Fresh | Missing]]
) -> bool:
    """Whether a region whose balancers are silent is lost: none of its cells is heard either.

    Then no demand arises there that could be served here. Where cells are alive the silence is
    that of the balancers alone, and they may carry as much as ever.
    """
    own = [cell.name for cell in fleet.cells if cell.region == region and not cell.is_peer]
    return bool(own) and not any(isinstance(said[name][1], Fresh) for name in own)
