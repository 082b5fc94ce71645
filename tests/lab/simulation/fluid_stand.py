"""This module is small fleets and routings for the tests of the fluid core."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foreshard.lab.scenario.scenario import CellMake, Family, Load, Offer, Scenario
from foreshard.lab.service import Site, Work
from foreshard.lab.simulation.effects import Effects, Floats, calm
from foreshard.lab.simulation.plant import Plant
from foreshard.lab.simulation.routing import NOBODY, Pick, Routing
from foreshard.model.safety_net import SafetyNet
from foreshard.model.workload import Priority, RequestClass
from foreshard.planning.table import BACKUPS

ENDLESS = 100_000
SLOTS = 1_024


def shop(**changes: object) -> Scenario:
    """The demo's shop, without a swing."""
    plain = Scenario(
        name="shop",
        family=Family.TRAP,
        about="A quiet shop. Nothing is to be done.",
        duration_s=120.0,
        warm_up_s=10.0,
        load=Load(swing_ratio=0.0),
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # fields by name


def queue(make: CellMake, *, load: Load, timeout_s: float = 100.0) -> Scenario:
    """One cell, one class of 20 ms."""
    of = RequestClass(
        name="job",
        priority=Priority.NORMAL,
        weight=1.0,
        objective_s=min(10.0, timeout_s),
        timeout_s=timeout_s,
    )
    return shop(
        sites=(Site(name="eu-1", region="eu", zone="eua"),),
        offers=(Offer(request_class=of, work=Work(cpu_s=0.02), share=1.0),),
        make=make,
        load=load,
        default_class="job",
    )


def wide(**changes: object) -> CellMake:
    """A cell whose only limit is its cpus."""
    return replace(
        CellMake(connections=ENDLESS, backlog=ENDLESS),
        **changes,  # type: ignore[arg-type] # fields by name
    )


def still(scenario: Scenario) -> Effects:
    """Nothing is wrong."""
    return calm(
        len(scenario.sites),
        len(scenario.offers),
        len(scenario.origins),
        connections=scenario.make.connections,
    )


def free(
    scenario: Scenario,
    *,
    pick: Pick = Pick.LEAST_REQUEST,
    weight: tuple[float, ...] = (),
    shed: tuple[float, ...] = (),
) -> Routing:
    """All classes may go anywhere."""
    shape = (len(scenario.origins), len(scenario.offers), len(scenario.sites))
    shares = np.array(weight or [1.0 / shape[2]] * shape[2])
    return Routing(
        pick=np.full(shape[:2], pick, dtype=np.uint8),
        weight=np.tile(shares, (*shape[:2], 1)),
        shed=np.tile(np.array(shed or [0.0] * shape[1]), (shape[0], 1)),
        slots=np.full((*shape[:2], SLOTS), NOBODY, dtype=np.int32),
        backups=np.full((*shape[1:], BACKUPS), NOBODY, dtype=np.int32),
        net=SafetyNet(),
    )


def sticky(scenario: Scenario, *, ejects_keyed: bool = False) -> Routing:
    """The first class belongs to cells, in even parts; the next cells stand in."""
    routing, cells = free(scenario), len(scenario.sites)
    pick, slots = routing.pick.copy(), routing.slots.copy()
    pick[:, 0] = Pick.SLOTS
    slots[:, 0] = np.arange(SLOTS) * cells // SLOTS
    near = (np.arange(cells)[:, None] + 1 + np.arange(BACKUPS)) % cells
    backups = np.tile(near.astype(np.int32), (len(scenario.offers), 1, 1))
    net = SafetyNet(ejects_keyed=ejects_keyed)
    return replace(routing, pick=pick, slots=slots, backups=backups, net=net)


def without(scenario: Scenario, cell: int) -> Effects:
    """One cell is dead."""
    up = np.ones(len(scenario.sites), dtype=np.bool_)
    up[cell] = False
    return replace(still(scenario), is_up=up)


def demanded(scenario: Scenario, *factor: float) -> Effects:
    """Each class is asked for so many times as often; one factor counts for all."""
    per_class = np.array(factor if len(factor) > 1 else factor * len(scenario.offers))
    return replace(still(scenario), demand=np.tile(per_class, (len(scenario.origins), 1)))


def seconds(plant: Plant, from_s: float, to_s: float, effects: Effects) -> Floats:
    """Run second by second; returns [second, O, C, K] tries that failed."""
    failed = []
    for second in range(int(from_s), int(to_s)):
        plant.advance(second + 1.0, effects)
        failed.append(plant.count().failed)
    return np.array(failed)
