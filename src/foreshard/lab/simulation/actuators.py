"""This module is what a policy acts through: the balancers, and whoever restarts cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.routing import NOBODY, Pick, Routing, routing_of
from foreshard.lab.simulation.world import World
from foreshard.model.errors import DriverError, LabError
from foreshard.model.routing import RoutingTable
from foreshard.model.safety_net import SafetyNet
from foreshard.model.topology import Fleet
from foreshard.ports import Applied, Clock

__all__ = ["Proxies", "WorldCellDriver", "WorldRouteSink", "shares_of"]

# From asking for a restart to its being accepted: a webhook and whoever stands behind it.
ACCEPT_S = 0.1


def shares_of(routing: Routing) -> Floats:
    """What a program gives to whom, as far as a program says so.

    Returns:
        [O, K, C + 1] shares; the last column is what is shed. Rows sum to 1.
    """
    total = routing.weight.sum(axis=2, keepdims=True)
    free = routing.weight / np.where(total > 0.0, total, 1.0) * (1.0 - routing.shed)[..., None]
    shares = np.concatenate((free, routing.shed[..., None]), axis=2)
    cells = routing.weight.shape[2]
    for o, k in np.argwhere(routing.pick == Pick.SLOTS).tolist():
        owners = np.where(routing.slots[o, k] == NOBODY, cells, routing.slots[o, k])
        shares[o, k] = np.bincount(owners, minlength=cells + 1) / owners.size
    return shares


class Proxies:
    """All balancers of all regions: the `Balancer` of a simulated stage.

    Args:
        world: Whose plant follows.
        clock: On which that takes the scenario's control delay.
        note: Told every program's moment (of the scenario) and its shares, once it is given out.
    """

    def __init__(
        self, world: World, clock: Clock, *, note: Callable[[float, Floats], None]
    ) -> None:
        self._world = world
        self._clock = clock
        self._note = note

    @property
    def count(self) -> int:
        """How many there are."""
        return self._world.scenario.proxies * len(self._world.scenario.origins)

    async def route(self, routing: Routing) -> None:
        """Follow this from now on; returns when the last proxy does."""
        at_s = round(self._clock.now_s() - self._world.start_s, 6)
        self._note(at_s, shares_of(routing))
        self._world.plant.route(routing)
        await self._clock.sleep(self._world.scenario.control_delay_s)


class WorldRouteSink:
    """The `RouteSink` of a simulated stage: every proxy acknowledges every table.

    Args:
        proxies: They follow.
        world: For the scenario's names.
        clock: Measures how long it took.
        net: What stands under every table.
    """

    def __init__(
        self, proxies: Proxies, world: World, clock: Clock, *, net: SafetyNet | None = None
    ) -> None:
        self._proxies = proxies
        self._fleet: Fleet = world.scenario.fleet()
        self._origins = world.scenario.origins
        self._classes = tuple(c.name for c in world.scenario.classes)
        self._clock = clock
        self._net = net or SafetyNet()
        self._live: RoutingTable | None = None

    async def apply(self, table: RoutingTable) -> Applied:
        """Make the table live.

        Raises:
            LabError: Its classes are not the scenario's, in their order.
        """
        named = tuple(route.request_class.name for route in table.classes)
        if named != self._classes:
            raise LabError(f"table {table.version}: classes are {named}, must be {self._classes}")
        began_s = self._clock.now_s()
        routing = routing_of(table, self._fleet, self._origins, self._net)
        await self._proxies.route(routing)
        self._live = table
        took_s = self._clock.now_s() - began_s
        return Applied(version=table.version, acks=self._proxies.count, push_to_ack_s=took_s)

    async def live(self) -> RoutingTable | None:
        """The table that is live."""
        return self._live


class WorldCellDriver:
    """The `CellDriver` of a simulated stage.

    Args:
        world: Whose cells restart.
        clock: On which asking takes a moment.
    """

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock

    async def recycle(self, cell: str) -> None:
        """Ask for a restart; it begins once it is accepted.

        Raises:
            DriverError: The cell is off or cannot be reached: nobody is there to restart it.
        """
        await self._clock.sleep(ACCEPT_S)
        names = [site.name for site in self._world.scenario.sites]
        if cell in names and not self._world.effects.is_reachable[names.index(cell)]:
            raise DriverError(f"driver: {cell} cannot be reached")
        self._world.restart(cell)
