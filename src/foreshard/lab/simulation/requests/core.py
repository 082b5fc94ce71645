"""This module is the core that follows every single request: a `Plant`.

The machine code is in this room's kernels; this is the clerk who tells them what is told, makes
room and reads the tallies. It is fit for up to about fifty cells.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects
from foreshard.lab.simulation.plant import Counts, Ledger
from foreshard.lab.simulation.requests.course import ROOM, befall, run
from foreshard.lab.simulation.requests.cpu import busy_s
from foreshard.lab.simulation.requests.founding import enlarged, founded
from foreshard.lab.simulation.requests.steering import Program, install, widened
from foreshard.lab.simulation.requests.world import World, held
from foreshard.lab.simulation.routing import Routing
from foreshard.model.errors import LabError

__all__ = ["RequestPlant"]

# The first proxy follows a decision after half the control delay, the last one after all of it.
SOONEST = 0.5


class RequestPlant:
    """Cells, requests and balancers, each request by itself.

    Whoever asks is told the same to the bit for the same scenario, seed and calls. The requests
    (when they come, what they cost, their keys) depend on the scenario, the seed and the demand
    that is told, and on nothing else: runs of one seed under different routings are paired.

    Args:
        scenario: Its faults are not looked at; they are told as effects.
        seed: >= 0.
    """

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        self._scenario = scenario
        self._world = founded(scenario, seed=seed)
        self._held = held(self._world)
        self._coming: list[tuple[float, int, int, Program]] = []
        self._routes = 0
        self._busy_s = np.zeros(len(scenario.sites))

    @property
    def now_s(self) -> float:
        """Up to when everything has happened."""
        return float(self._world.state["now_s"][0])

    def route(self, routing: Routing) -> None:
        """What arrives from now on is routed like this, once the control delay has passed.

        The first one holds at once: a proxy without a program has opened no door. Before it,
        requests fail.
        """
        program, proxies = Program.of(routing), len(self._world.rows)
        if self._world.slots.shape[2] < routing.slots.shape[2]:
            self._keep(widened(self._world, routing.slots.shape[2]))
        for p in range(proxies):
            delay_s = self._scenario.control_delay_s * (1.0 - SOONEST * p / proxies)
            if self._routes == 0:
                install(self._world, p, program)
            else:
                heappush(self._coming, (self.now_s + delay_s, self._routes, p, program))
        self._routes += 1

    def advance(self, to_s: float, effects: Effects) -> None:
        """Let everything happen until then, under these effects.

        Raises:
            LabError: The moment lies in the past.
        """
        if to_s < self.now_s:
            raise LabError(
                f"simulation: cannot go back from {self.now_s} s to {to_s} s; begin a new one"
            )
        self._tell(effects)
        self._pass(to_s)

    def count(self) -> Counts:
        """What was seen since the last call."""
        w = self._world
        origins, cells, classes = w.tally.shape
        spent_s = np.array([busy_s(self._held, c) for c in range(cells)])
        open_now = w.links["in_flight"].reshape(origins, -1, classes, cells).sum(axis=1)
        counts = Counts(
            arrived=w.asked[0].copy(),
            shed=w.asked[1].copy(),
            tries=w.tally["tries"].copy(),
            failed=w.tally["failed"].copy(),
            slow=w.tally["slow"].copy(),
            latency_s=w.tally["latency_s"].copy(),
            in_flight=open_now.swapaxes(1, 2).astype(np.float64),
            busy_s=spent_s - self._busy_s,
            inside=w.cells["held"].astype(np.float64),
            waiting=w.cells["waiting"].astype(np.float64),
            is_noticed=w.checks["is_alive"].reshape(origins, -1, cells).mean(axis=1),
        )
        self._busy_s = spent_s
        w.asked[:] = 0.0
        w.tally[:] = np.zeros((), dtype=w.tally.dtype)
        return counts

    def ledger(self) -> Ledger:
        """What became of all requests so far; those still open are not in it."""
        w = self._world
        return Ledger(
            fates=w.fates.copy(),
            served=w.served.copy(),
            latency=w.latency.copy(),
            crossed=w.crossed.copy(),
        )

    def close(self) -> Ledger:
        """Let what is open end (nothing arrives any more), and return the whole ledger."""
        self._world.state["is_closed"] = True
        while self._world.state["open"][0]:
            self._pass(self.now_s + 1.0)
        return self.ledger()

    def _tell(self, effects: Effects) -> None:
        w = self._world
        for name in ("is_up", "is_reachable", "speed", "stall_ratio"):
            w.told[name] = getattr(effects, name)
        most = self._scenario.make.connections
        w.told["connections"] = np.clip(np.floor(effects.connections), 0, most)
        w.wait_s[:] = effects.wait_s
        w.error_ratio[:] = effects.error_ratio
        w.flows["demand"] = effects.demand.ravel()
        w.state["hot_ratio"] = effects.hot_ratio
        self._make_room(2 * int(w.state["live"][0]) + ROOM)
        befall(self._held)

    def _pass(self, to_s: float) -> None:
        while self._coming and self._coming[0][0] <= to_s:
            at_s, _, p, program = heappop(self._coming)
            self._run(max(at_s, self.now_s))
            install(self._world, p, program)
        self._run(to_s)

    def _run(self, to_s: float) -> None:
        while not run(self._held, to_s):
            self._make_room(len(self._world.requests))

    def _make_room(self, count: int) -> None:
        """For so many more requests and events; at least twice as large when it is too small."""
        w = self._world
        state = w.state[0]
        requests = max(count, len(w.requests)) if state["free_count"] < count else 0
        free = len(w.events) - state["events"]
        events = max(count, len(w.events)) if free < count else 0
        if requests or events:
            self._keep(enlarged(w, requests=requests, events=events))

    def _keep(self, world: World) -> None:
        self._world = world
        self._held = held(world)
