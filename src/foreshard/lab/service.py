"""This module is the service on trial: what `shop` is asked for, what it costs, where it runs.

Both fleets, the load generator and the golden file read these numbers and no others, so a
comparison cannot be won by feeding one side differently. Load is always a share of what the
cells can serve: `offered_rps(0.62)` is the demo's default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

from foreshard.model.errors import InvalidValueError
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import Match, Needs, Priority, RequestClass

__all__ = [
    "BACKLOG",
    "CELL_CPUS",
    "CLASSES",
    "CONNECTIONS",
    "DEFAULT_LOAD",
    "DRAW_HEADER",
    "HOST",
    "KEYS",
    "KEY_HEADER",
    "MEMORY_ROOM_BYTES",
    "MIX",
    "POOL_WAIT_S",
    "SERVICE",
    "SERVICE_CV",
    "SITES",
    "SWING_RATIO",
    "WORK",
    "Site",
    "Work",
    "capacity_rps",
    "describe",
    "fleet",
    "mean_cpu_s",
    "offered_rps",
    "request_class",
]

SERVICE: Final = "shop"
HOST: Final = "127.0.0.1"
# Carries the partition key of a keyed class.
KEY_HEADER: Final = "x-key"
# Carries the integer that seeds a request's cost, so both fleets draw the same one.
DRAW_HEADER: Final = "x-draw"
KEYS: Final = 4_000

CELL_CPUS: Final = 3.0
CONNECTIONS: Final = 48
# A request that gets no connection within this is refused: longer is slow for every class.
POOL_WAIT_S: Final = 1.0
# More requests than this at once in a cell are refused on arrival.
BACKLOG: Final = 256
# What a fresh process may grow by until the kernel would kill it.
MEMORY_ROOM_BYTES: Final = 100 * 1024 * 1024
# Coefficient of variation of service times: gamma with shape 4.
SERVICE_CV: Final = 0.5

DEFAULT_LOAD: Final = 0.62
SWING_RATIO: Final = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one request makes a cell do.

    Attributes:
        cpu_s: Mean cpu seconds; > 0.
        cold_s: Waiting that the first request of an unseen key adds.
        dependency: Whom it waits for; "" = nobody.
        dependency_s: Mean wait for it.
        holds_bytes: Memory held from start to end.
        writes: Whether it needs room on the disk.
    """

    cpu_s: float
    cold_s: float = 0.0
    dependency: str = ""
    dependency_s: float = 0.0
    holds_bytes: int = 0
    writes: bool = False

    def __post_init__(self) -> None:
        if not self.cpu_s > 0.0:
            raise InvalidValueError(f"work: cpu_s is {self.cpu_s}, must be > 0")
        if min(self.cold_s, self.dependency_s, self.holds_bytes) < 0:
            raise InvalidValueError(f"work: {self} has a negative cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a cell of the demo stands."""

    name: str
    region: str
    zone: str


WORK: Final[Mapping[str, Work]] = MappingProxyType(
    {
        "checkout": Work(cpu_s=0.012, cold_s=0.060, writes=True),
        "search": Work(cpu_s=0.024, dependency="index", dependency_s=0.010),
        "report": Work(cpu_s=0.080, holds_bytes=1024 * 1024),
    }
)

MIX: Final[Mapping[str, float]] = MappingProxyType(
    {"checkout": 0.40, "search": 0.50, "report": 0.10}
)


def _declared(name: str) -> Needs:
    work = WORK[name]
    needs = {"cpu": work.cpu_s}
    if work.holds_bytes:
        needs["memory"] = work.holds_bytes * work.cpu_s
    return Needs(per_request=needs)


CLASSES: Final[tuple[RequestClass, ...]] = (
    RequestClass(
        name="checkout",
        priority=Priority.CRITICAL,
        weight=10.0,
        objective_s=0.4,
        timeout_s=2.0,
        match=Match(method="POST", path_prefix="/checkout"),
        key_header=KEY_HEADER,
        declared=_declared("checkout"),
    ),
    RequestClass(
        name="search",
        priority=Priority.NORMAL,
        weight=3.0,
        objective_s=0.5,
        timeout_s=2.5,
        match=Match(method="GET", path_prefix="/search"),
        retriable=True,
        dependencies=frozenset({"index"}),
        declared=_declared("search"),
    ),
    RequestClass(
        name="report",
        priority=Priority.SHEDDABLE,
        weight=1.0,
        objective_s=2.0,
        timeout_s=6.0,
        match=Match(method="GET", path_prefix="/report"),
        retriable=True,
        declared=_declared("report"),
    ),
)

SITES: Final[tuple[Site, ...]] = tuple(
    Site(name=f"{region}-{number}", region=region, zone=f"{region}{letter}")
    for region in ("eu", "us")
    for number, letter in enumerate("abc", start=1)
)


def request_class(name: str) -> RequestClass:
    """The class of that name.

    Raises:
        InvalidValueError: No such class.
    """
    for candidate in CLASSES:
        if candidate.name == name:
            return candidate
    raise InvalidValueError(f"class {name!r} is unknown; {SERVICE} has {', '.join(MIX)}")


def mean_cpu_s() -> float:
    """Cpu seconds of a mean request of the mix."""
    return sum(share * WORK[name].cpu_s for name, share in MIX.items())


def capacity_rps(cells: int = 1) -> float:
    """Requests of the mix that so many cells serve a second with every cpu busy."""
    return cells * CELL_CPUS / mean_cpu_s()


def offered_rps(load: float, *, cells: int = len(SITES)) -> float:
    """Requests a second that use the share `load` of the cpus of so many cells.

    >>> round(offered_rps(0.62))
    450

    Raises:
        InvalidValueError: `load` is not positive.
    """
    if not load > 0.0:
        raise InvalidValueError(f"load is {load}, must be > 0, for example {DEFAULT_LOAD}")
    return load * capacity_rps(cells)


def fleet(ports: Mapping[str, int], *, sites: Sequence[Site] = SITES) -> Fleet:
    """The topology of a fleet whose cells listen on these ports, in the order of its sites.

    Args:
        ports: By cell; a site without a port is left out.
        sites: Where its cells stand.
    """
    return Fleet(
        cells=tuple(
            Cell(
                name=site.name,
                region=site.region,
                zone=site.zone,
                nodes=(Node(host=HOST, port=ports[site.name]),),
            )
            for site in sites
            if site.name in ports
        )
    )


def describe() -> dict[str, object]:
    """Everything a fair comparison depends on, as JSON values; the golden file holds it."""
    return {
        "service": SERVICE,
        "classes": {
            each.name: {
                "method": each.match.method,
                "path_prefix": each.match.path_prefix,
                "priority": each.priority.name,
                "weight": each.weight,
                "objective_s": each.objective_s,
                "timeout_s": each.timeout_s,
                "retriable": each.retriable,
                "key_header": each.key_header,
                "dependencies": sorted(each.dependencies),
                "regions": sorted(each.regions),
                "declared": dict(each.declared.per_request),
                "share": MIX[each.name],
                "work": asdict(WORK[each.name]),
            }
            for each in CLASSES
        },
        "sites": [asdict(site) for site in SITES],
        "cell": {
            "cpus": CELL_CPUS,
            "connections": CONNECTIONS,
            "pool_wait_s": POOL_WAIT_S,
            "backlog": BACKLOG,
            "memory_room_bytes": MEMORY_ROOM_BYTES,
            "service_cv": SERVICE_CV,
            "capacity_rps": round(capacity_rps(), 3),
        },
        "load": {
            "keys": KEYS,
            "key_header": KEY_HEADER,
            "draw_header": DRAW_HEADER,
            "default": DEFAULT_LOAD,
            "swing_ratio": SWING_RATIO,
            "offered_rps": round(offered_rps(DEFAULT_LOAD), 3),
        },
    }
