"""This module is how Envoy chooses a cell for one request of one class, by a routing table.

Free classes: two choices while all weights are equal, else the earliest deadline of
`weight / (in flight + 1) ** bias`; cells that fail five times in a row are left out for five
seconds and more. Keyed classes: the slot's owner, or a backup once health checks have noticed
that it is dead. What is told as weight is what the renderer tells (`endpoints.node_weights`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from foreshard.adapters.routing.envoy.endpoints import node_weights
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.routing import ClassRoute, SlotRow, WeightRow

__all__ = ["SHED", "Fleetwide", "Pick", "picks_of"]

SETTINGS = EnvoySettings(listen_port=1)
NET = SETTINGS.net
SHED = -1
# Three failed checks, a second apart.
NOTICED_S = 3.0
MIX = 0x9E3779B97F4A7C15


@dataclass
class Fleetwide:
    """What Envoy knows of the cells, by index.

    Attributes:
        died_s: When each died; infinity = it lives.
        open: [class][cell] requests of a class that are in a cell.
        failures: [class][cell] failures in a row.
        ejected_s: [class][cell] left out until then.
        ejections: [class][cell] how often so far.
    """

    died_s: list[float]
    open: list[list[int]]
    failures: list[list[int]] = field(init=False)
    ejected_s: list[list[float]] = field(init=False)
    ejections: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.failures = [[0] * len(row) for row in self.open]
        self.ejections = [[0] * len(row) for row in self.open]
        self.ejected_s = [[0.0] * len(row) for row in self.open]

    def told(self, k: int, cell: int, *, failed: bool, now_s: float) -> None:
        """Take what came of a try of a free class."""
        if not failed:
            self.failures[k][cell] = 0
            return
        self.failures[k][cell] += 1
        out = sum(until_s > now_s for until_s in self.ejected_s[k])
        most = NET.max_ejected_ratio * len(self.died_s)
        if self.failures[k][cell] >= NET.consecutive_5xx and out < most:
            self.failures[k][cell] = 0
            self.ejections[k][cell] += 1
            lasts_s = min(NET.eject_max_s, NET.eject_base_s * self.ejections[k][cell])
            self.ejected_s[k][cell] = now_s + lasts_s

    def is_noticed_dead(self, cell: int, now_s: float) -> bool:
        """Whether health checks have taken it out."""
        return now_s - self.died_s[cell] > NOTICED_S


class Pick:
    """Chooses for one class; made anew with each table."""

    def __init__(
        self, k: int, route: ClassRoute, origin: str, names: Sequence[str], chance: random.Random
    ) -> None:
        self._k = k
        self._chance = chance
        row = route.rows[origin]
        self._slots: list[int] = []
        if isinstance(row, SlotRow):
            for run in row.runs:
                self._slots += [names.index(run.owner) if run.owner else SHED] * run.length
            self._backups = {
                names.index(home): [names.index(b) for b in backups]
                for home, backups in route.backups.items()
            }
            return
        assert isinstance(row, WeightRow)
        total = sum(row.weights.values())
        self.shed = row.shed / (total + row.shed)
        told = node_weights({c: w / total for c, w in row.weights.items()}, SETTINGS)
        self._weights = {names.index(c): float(w) for c, w in told.items()}
        self._cells = sorted(self._weights)
        self._is_even = len(set(self._weights.values())) == 1
        self._due = {c: chance.random() / w for c, w in self._weights.items()}

    def first(self, key: int, fleet: Fleetwide, now_s: float) -> int:
        """The cell of a request's first try, or `SHED`."""
        if self._slots:
            mixed = (key + 1) * MIX & (2**64 - 1)
            home = self._slots[(mixed ^ (mixed >> 29)) % len(self._slots)]
            if home != SHED and fleet.is_noticed_dead(home, now_s):
                alive = [b for b in self._backups[home] if not fleet.is_noticed_dead(b, now_s)]
                return alive[key % len(alive)] if alive else home
            return home
        if self.shed and self._chance.random() < self.shed:
            return SHED
        return self.another(frozenset(), fleet, now_s)

    def another(self, tried: frozenset[int], fleet: Fleetwide, now_s: float) -> int:
        """A cell for a further try of a free class."""
        able = [
            c
            for c in self._cells
            if fleet.ejected_s[self._k][c] <= now_s and not fleet.is_noticed_dead(c, now_s)
        ]
        if len(able) < NET.panic_ratio * len(self._cells):
            able = self._cells
        able = [c for c in able if c not in tried] or able
        busy = fleet.open[self._k]
        if self._is_even:
            one, two = self._chance.choice(able), self._chance.choice(able)
            return one if busy[one] <= busy[two] else two
        chosen = min(able, key=lambda c: self._due[c])
        pull = self._weights[chosen] / (busy[chosen] + 1.0) ** SETTINGS.active_request_bias
        self._due[chosen] += 1.0 / pull
        return chosen


def picks_of(
    routes: Mapping[str, ClassRoute], origin: str, names: Sequence[str], chance: random.Random
) -> list[Pick]:
    """One for each class, in the order of the routes."""
    return [Pick(k, route, origin, names, chance) for k, route in enumerate(routes.values())]
