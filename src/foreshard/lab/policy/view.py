"""This module is one look at the fleet as arrays: NaN where nothing was heard, never zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foreshard.lab.policy.policy import Stage
from foreshard.lab.policy.setting import Setting
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.model.events import SystemEvent
from foreshard.model.telemetry import Fresh, Health, Missing
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading

__all__ = ["View", "blank", "look"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """What everybody may see; O origins, K classes, C cells.

    Attributes:
        now_s: Since the start of the scenario.
        is_down: [C] refuses connections; a silent cell does not count.
        age_s: [C] of what the cell says of itself; NaN = it says nothing.
        gauges: [C] utilisation by name of gauge, 1 = exhausted; NaN = not said.
        scaling: Names of the gauges that follow load.
        demand_rps: [O, K]; NaN = the balancers were silent.
        rate_rps: [K, C] requests finished a second.
        failed_ratio: [K, C] of them.
        slow_ratio: [K, C] of them.
        latency_s: [K, C] mean; NaN when nothing finished.
        in_flight: [C].
        events: Known and not over.
    """

    now_s: float
    is_down: Bools
    age_s: Floats
    gauges: Mapping[str, Floats]
    demand_rps: Floats
    rate_rps: Floats
    failed_ratio: Floats
    slow_ratio: Floats
    latency_s: Floats
    in_flight: Floats
    scaling: frozenset[str] = frozenset()
    events: tuple[SystemEvent, ...] = ()

    @property
    def cpu(self) -> Floats:
        """[C] utilisation of the cpus."""
        return self.gauges.get("cpu", np.full(self.is_down.shape, np.nan))

    @property
    def bad_ratio(self) -> Floats:
        """[K, C] share of requests that failed or were slow."""
        bad: Floats = np.minimum(1.0, self.failed_ratio + self.slow_ratio)
        return bad


def blank(setting: Setting, *, now_s: float) -> View:
    """The view of somebody who heard nothing."""
    origins, classes, cells = setting.shape
    silence = np.full((classes, cells), np.nan)
    return View(
        now_s=now_s,
        is_down=np.zeros(cells, dtype=np.bool_),
        age_s=np.full(cells, np.nan),
        gauges={},
        demand_rps=np.full((origins, classes), np.nan),
        rate_rps=silence,
        failed_ratio=silence,
        slow_ratio=silence,
        latency_s=silence,
        in_flight=np.full(cells, np.nan),
    )


async def look(stage: Stage, setting: Setting) -> View:
    """Read all sources once."""
    cells = await stage.cells.read(setting.fleet.cells)
    traffic = await stage.traffic.read()
    events = await stage.events.read()
    seen = blank(setting, now_s=stage.clock.now_s() - stage.start_s)
    said = [cells[name] for name in setting.fleet.names]
    fresh = [reading if isinstance(reading, Fresh) else None for _, reading in said]
    names = sorted({name for one in fresh if one for name in one.metrics.gauges})
    gauges = {name: np.array([_used(one, name) for one in fresh]) for name in names}
    flows = () if isinstance(traffic, Missing) else _counted(traffic, setting)
    demand, rate, failed, slow, latency, in_flight = flows or (
        seen.demand_rps,
        seen.rate_rps,
        seen.failed_ratio,
        seen.slow_ratio,
        seen.latency_s,
        seen.in_flight,
    )
    return View(
        now_s=seen.now_s,
        is_down=np.array([health is Health.DOWN for health, _ in said], dtype=np.bool_),
        age_s=np.array([one.age_s if one else np.nan for one in fresh]),
        gauges=gauges,
        demand_rps=demand,
        rate_rps=rate,
        failed_ratio=failed,
        slow_ratio=slow,
        latency_s=latency,
        in_flight=in_flight,
        scaling=frozenset(
            name
            for one in fresh
            if one
            for name, gauge in one.metrics.gauges.items()
            if gauge.scales_with_load
        ),
        events=events,
    )


def _used(one: Fresh | None, name: str) -> float:
    gauge = one.metrics.gauges.get(name) if one else None
    return gauge.utilisation if gauge else float("nan")


def _counted(reading: BalancerReading, setting: Setting) -> tuple[Floats, ...]:
    """Demand [O, K]; rate, failed, slow and latency [K, C]; in flight [C]."""
    _, classes, cells = setting.shape
    demand = np.array(
        [
            [reading.demand_rps.get(Flow(o, c.name), 0.0) for c in setting.classes]
            for o in setting.origins
        ]
    )
    found = np.zeros((4, classes, cells))
    found[3] = np.nan
    position = {c.name: k for k, c in enumerate(setting.classes)}
    for i, name in enumerate(setting.fleet.names):
        for request_class, one in reading.traffic.get(name, {}).items():
            k = position.get(request_class)
            if k is not None:
                found[:, k, i] = (
                    one.rate_rps,
                    one.failed_ratio,
                    one.slow_ratio,
                    one.latency_mean_s,
                )
    open_now = [reading.in_flight.get(name, float("nan")) for name in setting.fleet.names]
    return demand, *found, np.array(open_now)
