"""This module is what balancers and announcements say of a simulated fleet.

The balancers' side is counted as Envoy counts (`adapters.metrics.envoy_counts`): a try at the
cell it was made on, demand at the edge as it comes in, shed requests among it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.world import Meters, World
from foreshard.model.events import SystemEvent
from foreshard.model.telemetry import ClassTraffic, Missing
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading, Clock

__all__ = ["WorldEventSource", "WorldTrafficSource"]

# As the real source: beyond so many nodes Envoy's page costs more than it tells.
MOST_NODES_IN_FLIGHT = 64


class WorldTrafficSource:
    """The `TrafficSource` of a simulated fleet; the first reading is `Missing`.

    Args:
        world: What there is to count.
        clock: Tells how long nothing was counted, before the traffic begins.
        rng: For readings that never arrive; their counts are in the next one.
    """

    def __init__(self, world: World, clock: Clock, *, rng: np.random.Generator) -> None:
        scenario = world.scenario
        self._world = world
        self._clock = clock
        self._rng = rng
        self._gap_ratio = scenario.telemetry.gap_ratio
        self._cells = tuple(site.name for site in scenario.sites)
        self._classes = tuple(c.name for c in scenario.classes)
        self._flows = [[Flow(o, name) for name in self._classes] for o in scenario.origins]
        self._last: tuple[float, Meters] | None = None

    async def read(self) -> BalancerReading | Missing:
        """Counts since the last good reading."""
        if self._rng.random() < self._gap_ratio:
            return Missing("a balancer did not answer")
        last, now_s, now = self._last, self._counted_s(), self._world.meters.copy()
        if last is None:
            self._last = now_s, now
            return Missing("first reading of the balancers: a rate needs a second one")
        interval_s = now_s - last[0]
        if not interval_s > 0.0:
            return Missing(f"nothing happened between two readings ({interval_s} s)")
        self._last = now_s, now
        return BalancerReading(
            interval_s=interval_s,
            traffic=self._traffic(now, last[1], interval_s),
            demand_rps=self._rates(now.arrived, last[1].arrived, interval_s),
            shed_rps=self._rates(now.shed, last[1].shed, interval_s),
            in_flight=self._in_flight(),
        )

    def _counted_s(self) -> float:
        """Up to when the meters have counted, seconds of the scenario."""
        return self._world.now_s or min(0.0, self._clock.now_s() - self._world.start_s)

    def _rates(self, now: Floats, before: Floats, interval_s: float) -> Mapping[Flow, float]:
        """By flow; one that was never counted has no counter."""
        rates = ((now - before) / interval_s).tolist()
        return {
            flow: rates[o][k]
            for o, of_origin in enumerate(self._flows)
            for k, flow in enumerate(of_origin)
            if now[o, k] > 0.0
        }

    def _traffic(
        self, now: Meters, before: Meters, interval_s: float
    ) -> Mapping[str, Mapping[str, ClassTraffic]]:
        tries = (now.tries - before.tries).sum(axis=0)
        some = np.maximum(tries, 1e-300)
        rate = (tries / interval_s).tolist()
        failed = np.clip((now.failed - before.failed).sum(axis=0) / some, 0.0, 1.0).tolist()
        slow = np.clip((now.slow - before.slow).sum(axis=0) / some, 0.0, 1.0).tolist()
        mean_s = ((now.latency_s - before.latency_s).sum(axis=0) / some).tolist()
        return {
            cell: {
                name: ClassTraffic(
                    rate_rps=rate[c][k],
                    failed_ratio=failed[c][k],
                    slow_ratio=slow[c][k],
                    latency_mean_s=mean_s[c][k],
                )
                for k, name in sorted(enumerate(self._classes), key=lambda pair: pair[1])
                if rate[c][k] > 0.0
            }
            for c, cell in enumerate(self._cells)
        }

    def _in_flight(self) -> Mapping[str, float]:
        if len(self._cells) > MOST_NODES_IN_FLIGHT:
            return {}
        return dict(zip(self._cells, self._world.in_flight.tolist(), strict=True))


class WorldEventSource:
    """The `EventSource` of a simulated fleet.

    Args:
        world: Its sky announces.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self) -> tuple[SystemEvent, ...]:
        """What is announced and not over, on the clock."""
        start_s = self._world.start_s
        return tuple(
            replace(
                event,
                known_at_s=start_s + event.known_at_s,
                starts_at_s=start_s + event.starts_at_s,
                ends_at_s=start_s + event.ends_at_s,
            )
            for event in self._world.sky.events(self._world.now_s)
        )
