"""This module is small scenarios, routings and effects for tests of the cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from foreshard.lab.scenario.scenario import CellMake, Family, Load, Offer, Scenario
from foreshard.lab.service import Site, Work
from foreshard.lab.simulation.effects import Effects, calm
from foreshard.lab.simulation.plant import Plant
from foreshard.lab.simulation.routing import Pick, Routing
from foreshard.model.safety_net import SafetyNet
from foreshard.model.workload import Priority, RequestClass
from foreshard.planning.table import BACKUPS

__all__ = ["NO_EJECTION", "STEP_S", "offer", "play", "program", "scenario", "well"]

STEP_S = 0.1
NEVER = 10**9
# Nobody is ever left out.
NO_EJECTION = SafetyNet(
    consecutive_5xx=NEVER, consecutive_local=NEVER, failure_minimum_requests=NEVER
)


def offer(cpu_s: float = 0.01, *, name: str = "search", **work: object) -> Offer:
    """One class that nobody gives up."""
    of = RequestClass(
        name=name, priority=Priority.NORMAL, weight=1.0, objective_s=1e6, timeout_s=1e6
    )
    return Offer(
        request_class=of, work=Work(cpu_s=cpu_s, **cast("dict[str, Any]", work)), share=1.0
    )


def scenario(
    *offers: Offer,
    cells: int = 1,
    duration_s: float = 10.0,
    make: CellMake | None = None,
    load: Mapping[str, Any] | None = None,
    **changes: object,
) -> Scenario:
    """Even demand on cells without limits but their cpus."""
    room = 4_096
    made = Scenario(
        name="trial",
        family=Family.TRAP,
        about="A test. Nothing else.",
        duration_s=duration_s,
        warm_up_s=0.0,
        sites=tuple(Site(name=f"eu-{n}", region="eu", zone="eu-a") for n in range(cells)),
        make=make or CellMake(cpus=1, connections=room, backlog=room, service_cv=1.0),
        load=Load(**{"swing_ratio": 0.0, "utilisation": 0.6, **(load or {})}),
        offers=offers or (offer(),),
        default_class="search",
    )
    return replace(made, **cast("dict[str, Any]", changes))


def program(
    of: Scenario,
    *,
    pick: Pick = Pick.RANDOM,
    weight: npt.ArrayLike = 1.0,
    shed: float = 0.0,
    slots: int = 64,
    net: SafetyNet | None = None,
) -> Routing:
    """One way for all classes: slots in turn, the next cells as backups."""
    origins, classes, cells = len(of.origins), len(of.offers), len(of.sites)
    owners = np.arange(slots, dtype=np.int32) % cells
    homes = np.arange(cells)
    backups = np.full((classes, cells, BACKUPS), -1, dtype=np.int32)
    for n in range(min(BACKUPS, cells - 1)):
        backups[:, :, n] = (homes + 1 + n) % cells
    return Routing(
        pick=np.full((origins, classes), pick, dtype=np.uint8),
        weight=np.zeros((origins, classes, cells)) + np.asarray(weight, dtype=np.float64),
        shed=np.full((origins, classes), shed),
        slots=np.broadcast_to(owners, (origins, classes, slots)).copy(),
        backups=backups,
        net=net or NO_EJECTION,
    )


def well(of: Scenario, **changes: object) -> Effects:
    """Nothing is wrong but what is said."""
    fine = calm(len(of.sites), len(of.offers), len(of.origins), connections=of.make.connections)
    return replace(fine, **cast("dict[str, Any]", changes))


def play(plant: Plant, effects: Effects, *, from_s: float, to_s: float) -> None:
    """Let it go on in steps, as the lab does."""
    for n in range(1, round((to_s - from_s) / STEP_S) + 1):
        plant.advance(from_s + n * STEP_S, effects)
