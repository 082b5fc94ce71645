"""This module is what is asked of the service: request classes, priorities and their needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf

from foreshard.model.errors import InvalidValueError
from foreshard.model.topology import Cell

__all__ = [
    "TRANSFER_KB",
    "Flow",
    "Match",
    "Needs",
    "OwnedData",
    "Priority",
    "RequestClass",
]


# Seconds of bad service that a moved share counts for: a connection, a cold cache, copied data.
FREE_MOVE_S, KEY_MOVE_S, DATA_MOVE_S = 1.0, 3.0, 120.0
# An answer of an interactive service, where nobody says how large one is.
TRANSFER_KB = 10.0


# A part of a path template, and a gRPC method or service.
PART = re.compile(r"[^{}\s]*|\{[A-Za-z_][A-Za-z0-9_-]*\}")
GRPC = re.compile(r"[A-Za-z_][\w.]*(/[A-Za-z_]\w*)?", re.ASCII)


# Of a match, names of headers twice. Escaped, one takes up to twelve, and Envoy takes 16,384 bytes
# in one piece.
MOST_CHARACTERS = 1_200


class Priority(IntEnum):
    """Which request is given up first; lower value = more important."""

    CRITICAL = 0
    NORMAL = 1
    SHEDDABLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests belong to a class; an empty field matches all.

    Of `path_prefix`, `path_template` and `grpc_method` one may be given.

    Attributes:
        method: HTTP method, as it is sent.
        path_prefix: Start of the path.
        path_template: The whole path; `{name}` stands for one part of it, whatever it is.
        headers: Value by lower-case name of a header; "" = any value, but it must be there.
        grpc_method: `package.Service/Method`, or `package.Service` for all of its methods.
    """

    method: str = ""
    path_prefix: str = ""
    path_template: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    grpc_method: str = ""

    def __post_init__(self) -> None:
        for what in ("path_prefix", "path_template"):
            if not getattr(self, what).startswith("/") and getattr(self, what):
                raise InvalidValueError(
                    f"match: {what} is {getattr(self, what)!r}, must start with '/'"
                )
        for part in self.path_template.split("/"):
            if PART.fullmatch(part) is None:
                raise InvalidValueError(
                    f"match: path_template is {self.path_template!r}, {part!r} in it must be "
                    "plain text or one {name}"
                )
        if self.grpc_method and GRPC.fullmatch(self.grpc_method) is None:
            raise InvalidValueError(
                f"match: grpc_method is {self.grpc_method!r}, must be package.Service/Method or "
                "package.Service"
            )
        given = [w for w in ("path_prefix", "path_template", "grpc_method") if getattr(self, w)]
        if len(given) > 1 or (self.grpc_method and self.method):
            said = ", ".join([*(["method"] if self.method else []), *given])
            raise InvalidValueError(
                f"match: {said} are given, must be one of path_prefix, path_template and "
                "grpc_method; a gRPC method is always sent by POST"
            )
        texts = (self.method, self.path_prefix, self.path_template, self.grpc_method)
        length = sum(map(len, (*texts, *self.headers, *self.headers, *self.headers.values())))
        if length > MOST_CHARACTERS:
            raise InvalidValueError(
                f"match: has {length} characters, must have at most {MOST_CHARACTERS}: balancers "
                "take no longer ones"
            )
        for name in self.headers:
            if name != name.lower():
                raise InvalidValueError(f"match: header {name!r} must be in lower case")

    def takes(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request belongs here.

        Args:
            method: As it was sent.
            path: Without what follows `?`, as the balancer normalised it.
            headers: By lower-case name.
        """
        if self.method and method != self.method:
            return False
        for name, value in self.headers.items():
            if name not in headers or (value and headers[name] != value):
                return False
        if self.grpc_method:
            is_grpc = headers.get("content-type", "").startswith("application/grpc")
            there = f"/{self.grpc_method}"
            is_it = path == there if "/" in self.grpc_method else path.startswith(f"{there}/")
            return method == "POST" and is_grpc and is_it
        if self.path_template:
            return _fits(self.path_template, path)
        return path.startswith(self.path_prefix)

    def covers(self, other: Match) -> bool:
        """Whether it takes all that `other` takes, as far as can be told by looking at both."""
        if self.method and self.method != ("POST" if other.grpc_method else other.method):
            return False
        for name, value in self.headers.items():
            if name not in other.headers or (value and other.headers[name] != value):
                return False
        if self.grpc_method:
            return bool(other.grpc_method) and f"{other.grpc_method}/".startswith(
                f"{self.grpc_method}/"
            )
        if self.path_template:
            return bool(other.path_template) and _fits(self.path_template, other.path_template)
        first = other.path_template.partition("{")[0]
        grpc = f"/{other.grpc_method}{'' if '/' in other.grpc_method else '/'}"
        start = grpc if other.grpc_method else (other.path_prefix or first)
        return start.startswith(self.path_prefix)


def _fits(template: str, path: str) -> bool:
    """Whether a path is one of a template; another template is a path of `{}` parts."""
    wanted, parts = template.split("/"), path.split("/")
    return len(wanted) == len(parts) and all(
        (part != "" if want.startswith("{") else want == part)
        for want, part in zip(wanted, parts, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one request costs, per resource, in that resource's own unit.

    The unit is the one in which cells declare capacity: cpu in cpu seconds (a cell of three
    cpus offers 3 cpu seconds a second), memory in byte seconds held, and so on.
    """

    per_request: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for resource, cost in self.per_request.items():
            if not cost >= 0.0:
                raise InvalidValueError(f"need of {resource} is {cost}, must be 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedData:
    """That a keyed class has data in the cell that owns a key, and where it may go.

    Attributes:
        replicas: By cell, the cells that a slot of it may move to, most wanted first. A slot
            is never given to any other cell.
        handover_s: How long a hand-over may take until the service is ready, and how long it
            then waits for the switch; > 0. None = nobody is asked, slots move at once.
    """

    replicas: Mapping[str, tuple[str, ...]]
    handover_s: float | None = None

    def __post_init__(self) -> None:
        if not any(self.replicas.values()):
            raise InvalidValueError(
                "replicas: no cell has one, so no slot could ever move; name at least one"
            )
        for cell, others in self.replicas.items():
            if cell in others or len(set(others)) != len(others):
                raise InvalidValueError(
                    f"replicas of {cell} are {list(others)}, must be other cells, each once"
                )
        if self.handover_s is not None and not self.handover_s > 0.0:
            raise InvalidValueError(f"handover: timeout is {self.handover_s} s, must be > 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClass:
    """Requests with the same needs and the same priority.

    Attributes:
        name: Lower-case identifier; also the value of the class header at the edge.
        priority: Which class is shed first.
        weight: How much one bad request of this class counts; > 0.
        objective_s: A request slower than this is bad; > 0.
        timeout_s: After this the balancer gives up on the request; >= objective_s.
        match: Which requests belong to it.
        retriable: Whether a second cell may be asked after the first failed.
        key_header: Request header whose value binds a request to a cell; "" = free to go
            anywhere.
        regions: Regions that may serve it (data residency); empty = all.
        cells: Cells that may serve it, within those regions; empty = all.
        residency: By origin: regions that may serve what comes from there, when the key space of
            an origin may not leave some regions; an origin that is not named may use `regions`.
        transfer_kb: Bytes of one answer that cross a link between regions, in kilobytes; > 0.
        dependencies: What it needs besides the cell itself.
        declared: Needs as a person declared them; the profiler's prior.
        data: What it owns in the cell of a key; None = a key may go to any cell.
        move_cost_s: For how many seconds the requests of a moved key count as bad (cold
            caches, copying, a lock); >= 0. None = by kind: 1 free, 3 keyed, 120 with data.
    """

    name: str
    priority: Priority
    weight: float
    objective_s: float
    timeout_s: float
    match: Match = field(default_factory=Match)
    retriable: bool = False
    key_header: str = ""
    regions: frozenset[str] = frozenset()
    cells: frozenset[str] = frozenset()
    residency: Mapping[str, frozenset[str]] = field(default_factory=dict)
    transfer_kb: float = TRANSFER_KB
    dependencies: frozenset[str] = frozenset()
    declared: Needs = field(default_factory=Needs)
    data: OwnedData | None = None
    move_cost_s: float | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise InvalidValueError(
                f"request class {self.name!r}: use letters, digits, '-' and '_'"
            )
        for what in ("weight", "objective_s", "transfer_kb"):
            if not getattr(self, what) > 0.0:
                raise InvalidValueError(
                    f"request class {self.name}: {what} is {getattr(self, what)}, must be > 0"
                )
        if self.timeout_s < self.objective_s:
            raise InvalidValueError(
                f"request class {self.name}: timeout_s is {self.timeout_s}, must be at least "
                f"objective_s ({self.objective_s})"
            )
        if self.data is not None and not self.key_header:
            raise InvalidValueError(
                f"request class {self.name}: has replicas but no key_header; only "
                "what a key binds to a cell can own data there"
            )
        if self.move_cost_s is not None and not 0.0 <= self.move_cost_s < inf:
            raise InvalidValueError(
                f"request class {self.name}: move_cost_s is {self.move_cost_s}, must be 0 or more"
            )

        for origin, regions in sorted(self.residency.items()):
            if not regions or (self.regions and not regions & self.regions):
                raise InvalidValueError(
                    f"request class {self.name}: residency of {origin} is {sorted(regions)}, "
                    f"must name one of {', '.join(sorted(self.regions)) or 'the regions'}"
                )
        if self.residency and self.data is not None:
            raise InvalidValueError(
                f"request class {self.name}: has residency by origin and owns data, but a slot of "
                "data has one holder for all origins; make a class of each key space, with regions"
            )

    @property
    def moving_s(self) -> float:
        """`move_cost_s`, or what is usual for its kind."""
        if self.move_cost_s is not None:
            return self.move_cost_s
        return DATA_MOVE_S if self.data else KEY_MOVE_S if self.is_keyed else FREE_MOVE_S

    @property
    def is_keyed(self) -> bool:
        """Whether a key binds its requests to a cell."""
        return bool(self.key_header)

    @property
    def has_one_home(self) -> bool:
        """Whether a key has the same home wherever its requests come from."""
        return self.is_keyed and not self.residency

    def allows_region(self, region: str) -> bool:
        """Whether data residency lets a region serve some of it."""
        return not self.regions or region in self.regions

    def allows_cell(self, cell: Cell) -> bool:
        """Whether a cell may serve some of it: residency, and the cells that were named."""
        return self.allows_region(cell.region) and (not self.cells or cell.name in self.cells)

    def allows(self, origin: str, region: str) -> bool:
        """Whether data residency lets a region serve what comes from an origin."""
        own = self.residency.get(origin)
        return self.allows_region(region) and (own is None or region in own)


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """The unit the planner splits over cells: requests of one class from one origin region."""

    origin: str
    request_class: str
