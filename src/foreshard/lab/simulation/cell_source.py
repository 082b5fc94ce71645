"""This module is cells that speak for themselves, as the scrape of their pages would tell it.

It says what `adapters.metrics.prometheus` says of real cells: a refused connection is DOWN and
forgets what was said; silence is bridged with the last sample at its true age for a moment, and
is `Missing` then; a rate needs two samples of one process; a page that stands still ages once
that has lasted. On top of it come the scenario's lag, noise and gaps, and the weather's lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foreshard.lab.scenario.fault import Kind
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import GAUGES
from foreshard.lab.simulation.world import STEP_S, Moment, World
from foreshard.model.telemetry import CellMetrics, Fresh, Gauge, Health, Missing
from foreshard.model.topology import Cell
from foreshard.ports import Clock

__all__ = ["MEASURED", "WorldCellSource", "deploys_of"]

# All gauges, in the order in which noise is drawn.
MEASURED = ("cpu", "connections", *GAUGES)
# The next three are the defaults of the scrape (`ScrapeOptions`).
TIMEOUT_S = 0.8
BRIDGE_S = 3.0
FROZEN_AFTER_S = 15.0
# Of a cell of which the scenario says nothing.
VERSION = "1.0"


def deploys_of(scenario: Scenario) -> list[list[tuple[str, float, float]]]:
    """By cell: number among the faults, begin and end of each deploy, seconds."""
    found: list[list[tuple[str, float, float]]] = [[] for _ in scenario.sites]
    index = {site.name: c for c, site in enumerate(scenario.sites)}
    for number, fault in enumerate(scenario.faults):
        for position, cell in enumerate(fault.cells if fault.kind is Kind.DEPLOY else ()):
            begins_s = fault.begins_s(position)
            found[index[cell]].append((str(number), begins_s, begins_s + fault.lasts_s))
    return found


@dataclass(slots=True, kw_only=True)
class _Page:
    """What is remembered of one cell.

    Attributes:
        said: Its last sample.
        taken_s: When that was true, on the clock.
        frozen_s: Since when it says the same; None = it does not.
        busy_s, counted_s, life: The cpu counter when it was last read, and of which process.
        skew_s: Of the process's clock when it started.
    """

    said: CellMetrics | None = None
    taken_s: float = 0.0
    frozen_s: float | None = None
    busy_s: float = 0.0
    counted_s: float = 0.0
    life: int = -1
    skew_s: float = 0.0


class WorldCellSource:
    """The `CellSource` of a simulated fleet.

    Args:
        world: What there is to see.
        clock: When it is looked at; a cell that cannot be reached costs the look its time-out.
        rng: For lags, noise and gaps.
    """

    def __init__(self, world: World, clock: Clock, *, rng: np.random.Generator) -> None:
        scenario = world.scenario
        self._world = world
        self._clock = clock
        self._rng = rng
        self._told = scenario.telemetry
        lag_s = self._told.lag_s * rng.uniform(0.5, 1.5, len(scenario.sites))
        self._back = np.rint(lag_s / STEP_S).astype(np.int64).tolist()
        self._index = {site.name: index for index, site in enumerate(scenario.sites)}
        make = scenario.make
        self._cpus = scenario.cpus()
        self._limits = {
            "connections": float(make.connections),
            "memory": 1.0,
            "disk": 1.0,
            "descriptors": float(make.descriptors),
            "threads": float(make.threads),
        }
        self._versions = [scenario.versions.get(site.name, VERSION) for site in scenario.sites]
        self._deploys = deploys_of(scenario)
        self._pages = [_Page() for _ in scenario.sites]

    async def read(self, cells: tuple[Cell, ...]) -> Mapping[str, tuple[Health, Fresh | Missing]]:
        """See `CellSource.read`."""
        reachable = self._world.effects.is_reachable
        if not all(reachable[self._index[cell.name]] for cell in cells):
            await self._clock.sleep(TIMEOUT_S)
        shape = (len(self._pages), len(MEASURED))
        noise = np.maximum(0.0, 1.0 + self._told.noise_ratio * self._rng.standard_normal(shape))
        is_lost = self._rng.random(len(self._pages)) < self._told.gap_ratio
        return {
            cell.name: self._ask(cell, noise[i], is_lost=bool(is_lost[i]))
            for cell in cells
            for i in (self._index[cell.name],)
        }

    def _ask(
        self, cell: Cell, noise: npt.NDArray[np.float64], *, is_lost: bool
    ) -> tuple[Health, Fresh | Missing]:
        index = self._index[cell.name]
        page, effects = self._pages[index], self._world.effects
        where = f"{cell.nodes[0].host}:{cell.nodes[0].port}"
        if not effects.is_reachable[index]:
            silent = f"{where}: no answer in {TIMEOUT_S} s"
            return Health.UNKNOWN, self._bridged(index, silent)
        if not effects.is_up[index]:
            page.said, page.frozen_s, page.life = None, None, -1
            return Health.DOWN, Missing(f"{where} refuses connections")
        if is_lost or not effects.is_heard[index]:
            return Health.UP, self._bridged(index, f"{where}: the metrics did not arrive")
        moment = self._world.moment(self._back[index])
        if moment.life[index] != self._world.moment(0).life[index]:
            return Health.UP, Missing(f"{where}: the process is too young to have said anything")
        if effects.is_frozen[index] and page.said is not None:
            self._stand_still(page)
        else:
            page.frozen_s = None
            page.said = self._sample(index, moment, noise)
            page.taken_s = self._world.start_s + moment.at_s
        return Health.UP, self._dated(index)

    def _stand_still(self, page: _Page) -> None:
        """The page is the one before, to the letter; counters that stand still have no rate."""
        assert page.said is not None  # noqa: S101 - asked by the caller
        now_s = self._clock.now_s()
        if page.frozen_s is None:
            page.frozen_s = page.taken_s
            idle = Gauge(used=0.0, limit=page.said.gauges["cpu"].limit, scales_with_load=True)
            has_rate = "cpu" in page.said.gauges
            page.said = CellMetrics(
                gauges={**page.said.gauges, **({"cpu": idle} if has_rate else {})},
                capacity=page.said.capacity,
                version=page.said.version,
                started_at_s=page.said.started_at_s,
            )
        page.taken_s = page.frozen_s if now_s - page.frozen_s >= FROZEN_AFTER_S else now_s

    def _sample(self, index: int, moment: Moment, noise: npt.NDArray[np.float64]) -> CellMetrics:
        page, effects = self._pages[index], moment.effects
        factor = (noise * effects.scale[index]).tolist()
        gauges: dict[str, Gauge] = {}
        rate = self._rate(page, index, moment)
        if rate is not None:
            gauges["cpu"] = Gauge(
                used=factor[0] * rate, limit=self._cpus[index], scales_with_load=True
            )
        limit = self._limits["connections"]
        # Connections that leaked away are in use for good, as the pool sees it.
        gone = max(0.0, limit - float(effects.connections[index]))
        held = min(limit, float(moment.inside[index]) + gone)
        gauges["connections"] = Gauge(used=factor[1] * held, limit=limit, scales_with_load=True)
        for place, name in enumerate(GAUGES):
            used = float(effects.used[index, place]) * self._limits[name]
            gauges[name] = Gauge(used=factor[2 + place] * used, limit=self._limits[name])
        return CellMetrics(
            gauges=gauges,
            capacity={"cpu": self._cpus[index]},
            version=self._version(index, moment.at_s),
            started_at_s=self._world.start_s + float(moment.started_s[index]) + page.skew_s,
        )

    def _version(self, index: int, at_s: float) -> str:
        """What runs there; a deploy adds its number while it lasts."""
        on = (n for n, begins_s, ends_s in self._deploys[index] if begins_s <= at_s < ends_s)
        return "+".join((self._versions[index], *on))

    def _rate(self, page: _Page, index: int, moment: Moment) -> float | None:
        """Cpu seconds a second since the sample before; None for the first of a process."""
        busy_s, life = float(moment.busy_s[index]), int(moment.life[index])
        rate = None
        if life != page.life:
            page.skew_s = float(moment.effects.skew_s[index])
        elif moment.at_s > page.counted_s:
            rate = (busy_s - page.busy_s) / (moment.at_s - page.counted_s)
        elif page.said is not None and "cpu" in page.said.gauges:
            return page.said.gauges["cpu"].used
        page.busy_s, page.counted_s, page.life = busy_s, moment.at_s, life
        return rate

    def _bridged(self, index: int, because: str) -> Fresh | Missing:
        """The last sample stands in for silence while it is young."""
        page = self._pages[index]
        if page.said is None or self._clock.now_s() - page.taken_s > BRIDGE_S:
            return Missing(because)
        return self._dated(index)

    def _dated(self, index: int) -> Fresh:
        """The last sample with its age, as the cell's own clock has it."""
        page = self._pages[index]
        assert page.said is not None  # noqa: S101 - asked by the callers
        age_s = self._clock.now_s() - page.taken_s - float(self._world.effects.skew_s[index])
        return Fresh(metrics=page.said, age_s=max(0.0, age_s))
