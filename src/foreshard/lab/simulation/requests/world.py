"""This module is the state of the core: a few tables of records that every kernel is given.

O origins, P proxies (all of them, an origin's beside each other), K classes, C cells, N slots.
Lists run through the records by index, `NONE` ends one.

A `World` is for Python. Kernels are given the same arrays as one reference, `held`: a tuple
would be handed over field by field in each call, thirty arrays of up to thirteen words.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from numba import types
from numba.experimental import structref

from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.requests.compiled import SOURCES, entry
from foreshard.lab.simulation.routing import Ints

__all__ = ["Held", "HeldType", "World", "held", "records"]

Table = npt.NDArray[np.void]

NONE: Final = -1
FOREVER: Final = np.inf


def _record(**columns: str) -> np.dtype[np.void]:
    """Fields by type: a word of names for each."""
    fields: list[Any] = [(n, kind) for kind, names in columns.items() for n in names.split()]
    return np.dtype(fields, align=True)


STATE: Final = _record(
    f8="now_s next_s until_s swing turn hot_ratio warm_up_s pool_wait_s cold_s shape",
    i8="order keys",
    i4="events open live free free_count next_flow client_retries backlog proxies",
    b1=f"is_sharing is_closed {SOURCES}",
)
NET: Final = _record(
    f8="connect_timeout_s slow_start_s eject_interval_s eject_base_s eject_max_s "
    "max_ejected_ratio failure_ratio panic_ratio retry_budget_ratio backoff_base_s "
    "backoff_max_s check_interval_s check_timeout_s",
    i4="choices consecutive_5xx consecutive_local failure_minimum_hosts "
    "failure_minimum_requests retries retry_budget_minimum host_attempts unhealthy_threshold "
    "healthy_threshold",
    b1="ejects_keyed",
)
# left: expected arrivals until the next; at_s: until when they are counted off; due_s: the next.
FLOW: Final = _record(f8="rate_rps demand left at_s due_s", u8="seed index", i4="origin k")
# head, tail: those open, earliest deadline first.
KIND: Final = _record(
    f8="cpu_s first_s dependency_s objective_s timeout_s",
    i4="head tail",
    b1="is_retriable is_keyed owns_data is_watched",
)
# size: speed of its servers for its size; line_*: who waits for a connection; first, last: all
# inside; spent_s: cpu seconds promised (first come) or used (sharing); the rest is for sharing.
CELL: Final = _record(
    f8="speed size stall_ratio started_s spent_s virtual_s moved_s due_s",
    i4="servers connections held waiting inside line_head line_tail first last life jobs stamp "
    "region",
    b1="is_up is_reachable is_line_watched",
)
TOLD: Final = _record(f8="speed stall_ratio", i4="connections", b1="is_up is_reachable")
# t_s: asked; first_s: asked for the first time by this client; cost_s: cpu; is_pending: an event
# or a line will come back to it; tried: bits of the cells that were tried.
REQUEST: Final = _record(
    f8="t_s first_s try_s since_s cost_s dependency_s",
    u8="draw tried",
    i8="key",
    i4="k origin proxy cell stamp tries asks rif deadline_before deadline_after line_after "
    "inside_before inside_after",
    u1="verdict",
    b1="is_over is_retry is_trying is_pending is_connected",
)
EVENT: Final = _record(f8="at_s", i8="order", i4="who stamp", u1="what")
# pull: the weight that is told for it; due: its deadline in the proxy's schedule; since_s: when
# its slow start began; is_out, ejected_s: left out until then; the rest counts failures.
LINK: Final = _record(
    f8="weight pull due since_s ejected_s",
    i4="in_flight run_5xx run_local good bad backoff",
    b1="is_out",
)
ROW: Final = _record(
    f8="shed schedule slow_until_s",
    i4="open retries hosts able probes removals slots",
    u1="pick",
    b1="is_even",
)
CHECK: Final = _record(f8="asked_s", i4="failed passed", b1="is_alive is_pending")
PROBE: Final = _record(f8="latency_s at_s", i4="cell rif uses")
JOB: Final = _record(f8="done", i4="who")
SERVED: Final = _record(f8="latency_s at_s", i4="rif")
TALLY: Final = _record(f8="tries failed slow latency_s")


class World(NamedTuple):
    """All of it."""

    state: Table
    chance: npt.NDArray[np.uint64]
    net: Table
    events: Table
    requests: Table
    flows: Table
    kinds: Table
    cells: Table
    told: Table
    wait_s: Floats  # [C, K]
    error_ratio: Floats  # [C, K]
    free_s: Floats  # [C, servers]: when each cpu falls free
    jobs: Table  # [C, J]: heaps of those that share a cell's cpus
    seen: Bools  # [C, keys]
    recent: Table  # [C, K, RECENT]: what was served last, in turn
    ended: Ints  # [C, K]: how much was served
    half_s: Floats  # [O, C]: one way
    home: Ints  # [O]: region, as `cell.region`; -1 if no cell stands there
    links: Table  # [P, K, C]
    rows: Table  # [P, K]
    checks: Table  # [P, C]
    able: Ints  # [P, K, C]: the first `row.able` may be chosen
    upto: Floats  # [P, K, C]: their weights, added up
    slots: Ints  # [P, K, N]
    backups: Ints  # [P, K, C, BACKUPS]
    probes: Table  # [P, K, POOL]
    asked: Floats  # [2, O, K]: arrived, shed
    tally: Table  # [O, C, K]
    fates: Floats  # [second, O, K, Fate]
    served: Floats  # [second, C, K]
    latency: Floats  # [K, B]
    crossed: Floats  # [second]


PAYLOADS: Final[dict[str, object]] = {}


@structref.register
class HeldType(types.StructRef):
    """How Numba knows a held world.

    Its name stands in the name of every compiled function and is part of what a kept one is found
    by. Numba would spell all fields of all records out, anew for each field that is read: half of
    the time to compile was spent on that.
    """

    def __init__(self, fields: tuple[tuple[str, Any], ...]) -> None:
        super().__init__(fields)  # type: ignore[no-untyped-call]  # Numba's
        spelt = sha256(repr(self._fields).encode()).hexdigest()[:16]
        self.name = f"Held_{spelt}"

    def get_data_type(self) -> object:
        """What it refers to."""
        if self.name not in PAYLOADS:
            PAYLOADS[self.name] = super().get_data_type()  # type: ignore[no-untyped-call]  # as above
        return PAYLOADS[self.name]


class Held(structref.StructRefProxy):
    """The arrays of a world, by one reference; kernels read them as from a `World`."""


structref.define_proxy(Held, HeldType, World._fields)  # type: ignore[no-untyped-call]  # as above


def held(world: World) -> World:
    """What a kernel is given."""
    return cast("World", _hold(*world))


@entry
def _hold(*arrays: object) -> Held:
    return Held(*arrays)  # type: ignore[no-untyped-call]  # as above


def records(kind: np.dtype[np.void], *shape: int) -> Table:
    """A table of zeros."""
    return np.zeros(shape, dtype=kind)
