"""This module is how a proxy takes a new program up.

Only what has changed is touched, as over the discovery protocol: a cluster whose weights stay
keeps its schedule, and a cell that is new in one starts slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.requests.chance import chances
from foreshard.lab.simulation.requests.choice import BIAS, EXPECTED_IN_FLIGHT, FINEST
from foreshard.lab.simulation.requests.compiled import entry
from foreshard.lab.simulation.requests.ejection import refresh
from foreshard.lab.simulation.requests.world import NET, World, held
from foreshard.lab.simulation.routing import Routing
from foreshard.model.safety_net import SafetyNet

__all__ = ["Program", "install", "pulls", "tell_net", "widened"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """A routing, with what is made of it once for all proxies.

    Attributes:
        routing: As it was told.
        pull: [O, K, C] weights as they are told to least-request.
    """

    routing: Routing
    pull: Floats

    @classmethod
    def of(cls, routing: Routing) -> Program:
        """Work it out."""
        return cls(routing=routing, pull=pulls(routing.weight))


def pulls(weight: Floats) -> Floats:
    """Weights as the renderer of the Envoy adapter tells them (`endpoints.node_weights`).

    Args:
        weight: [..., C] shares, >= 0.
    """
    total = weight.sum(axis=-1, keepdims=True)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0.0)
    wanted = share * (share * EXPECTED_IN_FLIGHT + 1.0) ** BIAS
    largest = wanted.max(axis=-1, keepdims=True)
    told = np.divide(wanted, largest, out=np.zeros_like(weight), where=largest > 0.0)
    return np.where(weight > 0.0, np.maximum(1.0, np.rint(FINEST * told)), 0.0)


def widened(w: World, count: int) -> World:
    """The same with room for so many slots."""
    slots = np.full((*w.slots.shape[:2], count), -1, dtype=np.int32)
    slots[:, :, : w.slots.shape[2]] = w.slots
    return w._replace(slots=slots)


def install(w: World, p: int, program: Program) -> None:
    """From now on this proxy follows this program; there must be room for its slots."""
    routing, o = program.routing, p // int(w.state["proxies"][0])
    tell_net(w.net, routing.net)
    rows = w.rows[p]
    rows["shed"] = routing.shed[o]
    rows["pick"] = routing.pick[o]
    rows["slots"] = count = routing.slots.shape[2]
    w.slots[p, :, :count] = routing.slots[o]
    w.backups[p] = routing.backups
    _weigh(
        held(w), p, np.ascontiguousarray(routing.weight[o]), np.ascontiguousarray(program.pull[o])
    )


def tell_net(net: np.ndarray, told: SafetyNet) -> None:
    """Checks, ejection and retries of all proxies are like this."""
    values = {f.name: getattr(told, f.name) for f in fields(told)}
    values["choices"] = told.least_request_choices
    for name in NET.names or ():
        net[name] = values[name]


@entry
def _weigh(w: World, p: int, weight: Floats, pull: Floats) -> None:
    now_s = w.state[0].now_s
    for k in range(len(w.kinds)):
        row = w.rows[p, k]
        is_first = row.hosts == 0
        has_changed = False
        least, most, hosts = np.inf, 0.0, 0
        for c in range(len(w.cells)):
            link = w.links[p, k, c]
            has_changed |= link.weight != weight[k, c]
            if weight[k, c] > 0.0:
                least, most, hosts = min(least, pull[k, c]), max(most, pull[k, c]), hosts + 1
                if link.weight == 0.0 and not is_first:
                    link.since_s = now_s
                    row.slow_until_s = now_s + w.net[0].slow_start_s
            link.weight = weight[k, c]
            link.pull = pull[k, c]
        row.hosts = hosts
        row.is_even = least == most
        if has_changed:
            row.schedule = 0.0
            for c in range(len(w.cells)):
                link = w.links[p, k, c]
                link.due = chances(w.chance) / max(link.pull, 1.0)
        refresh(w, p, k)
