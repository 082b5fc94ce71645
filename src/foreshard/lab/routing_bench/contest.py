"""This module is the router and its rivals over the same keys, in turns, in one run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foreshard.lab.routing_bench.rival import rendezvous, ring
from foreshard.model.errors import LabError
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Priority, RequestClass
from foreshard.planning.slots import assign_slots, slot_count_for
from foreshard.router import Router

__all__ = ["MOST_CELLS", "Figures", "compete"]

KEYS = 20_000
# Each time all have their turn; the least is what it costs, the rest is what else the machine did.
TURNS = 15
MOST_CELLS = 60_000
CHECKOUT = RequestClass(
    name="checkout",
    priority=Priority.CRITICAL,
    weight=1.0,
    objective_s=1.0,
    timeout_s=1.0,
    key_header="x-customer",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Nanoseconds a decision, loop included; the least of all turns.

    Attributes:
        cells: Over which keys are spread.
        seed: Of keys and shares.
        route_ns: `Router.route`, key by key.
        batch_ns: `Router.route_many`, a key of an array.
        rendezvous_ns: Weighted rendezvous hashing, compiled, key by key.
        bisect_ns: Bisection of a ring with 128 points a cell, key by key.
    """

    cells: int
    seed: int
    route_ns: float
    batch_ns: float
    rendezvous_ns: float
    bisect_ns: float


def compete(*, cells: int, seed: int, keys: int = KEYS, turns: int = TURNS) -> Figures:
    """Let them decide on the same keys, with the same shares.

    Args:
        cells: 1 to `MOST_CELLS`.
        seed: Of keys and shares.
        keys: How many.
        turns: How often.

    Raises:
        LabError: So many cells cannot be had.
    """
    if not 1 <= cells <= MOST_CELLS:
        raise LabError(f"cells is {cells}, must be 1 to {MOST_CELLS:,}")
    draw = random.Random(seed)
    weights = [draw.uniform(0.5, 2.0) for _ in range(cells)]
    asked = [f"customer-{draw.randrange(10**9)}" for _ in range(keys)]
    array = np.array(asked)
    router = Router(_table(weights))
    route, by_hash, by_ring = router.route, rendezvous(weights), ring(weights)

    def one_by_one() -> None:
        for key in asked:
            route("checkout", "here", key)

    contestants: dict[str, Callable[[], object]] = {
        "route_ns": one_by_one,
        "batch_ns": lambda: router.route_many("checkout", "here", array),
        "rendezvous_ns": lambda: _each(by_hash, asked),
        "bisect_ns": lambda: _each(by_ring, asked),
    }
    # Compiles, and lays out the row.
    least_s = dict.fromkeys(contestants, float("inf"))
    for decide in contestants.values():
        decide()
    for _ in range(turns):
        for name, decide in contestants.items():
            began_s = time.perf_counter()
            decide()
            least_s[name] = min(least_s[name], time.perf_counter() - began_s)
    return Figures(cells=cells, seed=seed, **{name: 1e9 * s / keys for name, s in least_s.items()})


def _each(choose: Callable[[str], int], keys: list[str]) -> None:
    for key in keys:
        choose(key)


def _table(weights: list[float]) -> RoutingTable:
    node = Node(host="192.0.2.1", port=80)
    cells = tuple(
        Cell(name=f"cell-{i}", region="here", zone="a", nodes=(node,)) for i in range(len(weights))
    )
    shares = {cell.name: weight for cell, weight in zip(cells, weights, strict=True)}
    row: SlotRow = assign_slots(None, shares, slot_count_for(len(weights)))
    route = ClassRoute(request_class=CHECKOUT, rows={"here": row}, backups={})
    return RoutingTable(version=1, cells=cells, classes=(route,), default_class="checkout")
