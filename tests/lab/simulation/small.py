"""Small scenarios and the parts of a stage around them, for the tests of this directory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from foreshard.lab.run import Core
from foreshard.lab.scenario.fault import FaultLine
from foreshard.lab.scenario.scenario import CellMake, Family, Scenario, Telemetry
from foreshard.lab.simulation.calm import Calm
from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.routing import NOBODY, Pick, Routing
from foreshard.lab.simulation.virtual_time import VirtualClock, VirtualLoop
from foreshard.lab.simulation.world import World
from foreshard.model.events import SystemEvent
from foreshard.model.safety_net import SafetyNet
from tests.lab.simulation.formula_plant import FormulaPlant

__all__ = ["FORMULA", "START_S", "Scene", "Told", "even_routing", "scenario_of"]

START_S = 1_000.0
FORMULA = Core(name="formula", plant=FormulaPlant)
# Telemetry that is exact: tests say what they see.
TRUE = Telemetry(lag_s=0.0, noise_ratio=0.0, gap_ratio=0.0)
T = TypeVar("T")
Gone = Mapping[str, tuple[float, float]]


def scenario_of(*faults: FaultLine, duration_s: float = 60.0, **changes: object) -> Scenario:
    """The demo's fleet, measured exactly."""
    fields: dict[str, Any] = {"telemetry": TRUE, "make": CellMake(restart_s=4.0), **changes}
    return Scenario(
        name="small",
        family=Family.PREDICTABLE,
        about="A small one. It is for tests.",
        duration_s=duration_s,
        warm_up_s=0.0,
        faults=faults,
        **fields,
    )


def even_routing(scenario: Scenario) -> Routing:
    """Every class evenly over all cells; keyed classes by eight slots a cell."""
    shape = (len(scenario.origins), len(scenario.offers))
    cells = len(scenario.sites)
    pick = np.full(shape, Pick.LEAST_REQUEST, dtype=np.uint8)
    return Routing(
        pick=pick,
        weight=np.full((*shape, cells), 1.0 / cells),
        shed=np.zeros(shape),
        slots=np.full((*shape, 1), NOBODY, dtype=np.int32),
        backups=np.full((shape[1], cells, 3), NOBODY, dtype=np.int32),
        net=SafetyNet(),
    )


class Told(Calm):
    """Weather that a test changes by hand."""

    def __init__(self, scenario: Scenario, *, gone: Gone, events: tuple[SystemEvent, ...]) -> None:
        super().__init__(scenario, gone=gone, events=events)
        self.changes: dict[str, Any] = {}
        self.served: list[Floats] = []

    def tell(self, **changes: object) -> None:
        """From the next step on these fields of the effects are so."""
        self.changes.update(changes)

    def at(self, now_s: float, served: Floats) -> Effects:
        self.served.append(served)
        return replace(super().at(now_s, served), **self.changes)


@dataclass(kw_only=True)
class Scene:
    """A world that is moved by hand, with a clock."""

    scenario: Scenario
    sky: Told
    plant: FormulaPlant
    world: World
    loop: VirtualLoop
    clock: VirtualClock

    @classmethod
    def of(
        cls, scenario: Scenario, *, gone: Gone | None = None, events: tuple[SystemEvent, ...] = ()
    ) -> Scene:
        told = Told(scenario, gone=gone or {}, events=events)
        plant = FormulaPlant(scenario, 1)
        plant.route(even_routing(scenario))
        world = World(scenario, plant, told, start_s=START_S)
        loop = VirtualLoop(start_s=START_S, advance=world.advance)
        return cls(
            scenario=scenario,
            sky=told,
            plant=plant,
            world=world,
            loop=loop,
            clock=VirtualClock(loop),
        )

    def play(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the scene's loop."""
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(work())
