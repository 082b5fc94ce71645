"""This module is what a region tells the other regions of a federation after each turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foreshard.engine import Engine, EngineState
from foreshard.model.federation import Membership
from foreshard.model.telemetry import Health, Observation
from foreshard.planning.federation import aggregate_of
from foreshard.ports import PeerExchange

__all__ = ["Peering"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peering:
    """A region among others.

    Attributes:
        exchange: How they hear of each other.
        membership: Its place.
        ceiling: Utilisation that its cells are led to at most, with a guest's work.
    """

    exchange: PeerExchange
    membership: Membership
    ceiling: float

    def tell(
        self, engine: Engine, state: EngineState, observation: Observation
    ) -> Mapping[str, Any]:
        """Publish what the others may count on; what is known of them, as JSON values.

        While its balancers are silent a region says nothing new, and its last word ages. Cells
        that look dead offer nothing, also while it is not believed that they all are.
        """
        now_s, heard = observation.now_s, self.exchange.heard()
        ground, estimate, takes = engine.holdings(state)
        looks = [observation.cells[name].health for name in ground.fleet.names]
        takes &= np.array([health is not Health.DOWN for health in looks])
        own = aggregate_of(
            self.membership,
            ground,
            estimate,
            takes,
            {name: one.aggregate for name, one in heard.items()},
            ceiling=self.ceiling,
            now_s=now_s,
        )
        if state.workload.is_trusted and observation.demand_rps is not None:
            self.exchange.publish(own)
        region = self.membership.region
        return {
            "region": region,
            "grants": {name: dict(amounts) for name, amounts in own.grants.items()},
            "peers": {
                name: {
                    "age_s": round(now_s - heard[name].at_s, 3) if name in heard else None,
                    "granted": dict(heard[name].aggregate.grants.get(region, {}))
                    if name in heard
                    else {},
                }
                for name in self.membership.peers
            },
        }
