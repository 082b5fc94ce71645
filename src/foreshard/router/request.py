"""This module is what `shard_request` is told: a request, what cells measured, what work costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from math import inf, isfinite, isnan

from foreshard.model.errors import InvalidValueError
from foreshard.model.workload import Needs, Priority

__all__ = ["CellHistory", "Request", "ShardPolicy", "ShardRule", "WorkloadProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that is on its way to a cell.

    Attributes:
        request_class: What it is, as the profile names it.
        cell: Where it would go now.
        origin: Region it comes from.
        priority: Critical requests may use what others may not; see `ShardPolicy.reserve_ratio`.
        regions: Regions that may serve it; empty = all.
    """

    request_class: str
    cell: str
    origin: str
    priority: Priority = Priority.NORMAL
    regions: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for what in ("request_class", "cell"):
            if not getattr(self, what):
                raise InvalidValueError(f"request: {what} is empty, must be a name")
        if not isinstance(self.priority, Priority):
            raise InvalidValueError(f"request: priority is {self.priority!r}, must be a Priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHistory:
    """What one cell measured of itself, up to now.

    Attributes:
        name: Of the cell.
        region: Where it stands.
        capacity: What it offers a second, by resource, in the unit of the profile's needs (cpu:
            cpu seconds a second); a resource that is not listed bounds nothing.
        used: What is in use of each of them now; over capacity is possible.
        time_s: Moments of the readings, rising; () = there are none.
        gauges: Readings by name, one for each moment: fraction of the limit, NaN = not heard.
        load: Work offered to the cell at each moment, in any unit; () = unknown.
        scales_with_load: Which gauges follow it.
        is_up: What health checks say.
    """

    name: str
    region: str
    capacity: Mapping[str, float]
    used: Mapping[str, float]
    time_s: tuple[float, ...] = ()
    gauges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    load: tuple[float, ...] = ()
    scales_with_load: frozenset[str] = frozenset()
    is_up: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidValueError("cell: name is empty")
        for resource, capacity in self.capacity.items():
            if not 0.0 < capacity < inf:
                self._refuse(f"capacity of {resource} is {capacity}, must be finite and > 0")
        if self.used.keys() != self.capacity.keys():
            odd = sorted(self.used.keys() ^ self.capacity.keys())
            self._refuse(f"{odd} are in only one of used and capacity; what is not known is not 0")
        for resource, used in self.used.items():
            if not 0.0 <= used < inf:
                self._refuse(f"{resource} used is {used}, must be finite and 0 or more")
        self._check_readings()

    def _check_readings(self) -> None:
        if not all(map(isfinite, self.time_s)) or any(b <= a for a, b in pairwise(self.time_s)):
            self._refuse("time_s must be finite and rise")
        n = len(self.time_s)
        for gauge, readings in self.gauges.items():
            if len(readings) != n:
                self._refuse(f"gauge {gauge} has {len(readings)} readings at {n} moments")
            if not all(isnan(each) or 0.0 <= each < inf for each in readings):
                self._refuse(f"a reading of gauge {gauge} is negative or infinite")
        if len(self.load) not in {0, n} or any(each < 0.0 for each in self.load):
            self._refuse(f"load has {len(self.load)} values at {n} moments, all must be 0 or more")
        strange = sorted(self.scales_with_load - self.gauges.keys())
        if strange:
            self._refuse(f"scales_with_load names {strange}, which are no gauges of it")

    def _refuse(self, because: str) -> None:
        raise InvalidValueError(f"cell {self.name}: {because}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadProfile:
    """What requests need.

    Attributes:
        needs: By class, what one request costs.
        default_class: Whose needs a class that is not listed has; "" = such a one is refused.
    """

    needs: Mapping[str, Needs]
    default_class: str = ""

    def __post_init__(self) -> None:
        if self.default_class and self.default_class not in self.needs:
            raise InvalidValueError(
                f"profile: default_class is {self.default_class!r}, must be one of its classes "
                f"({', '.join(sorted(self.needs))})"
            )

    def of(self, request_class: str) -> Mapping[str, float]:
        """What one request of a class needs, by resource.

        Raises:
            InvalidValueError: The class is not listed, and there is no default.
        """
        known = self.needs.get(request_class) or self.needs.get(self.default_class)
        if known is None:
            listed = ", ".join(sorted(self.needs)) or "which is empty"
            raise InvalidValueError(
                f"class {request_class!r} is not in the profile ({listed}); give its needs, or a "
                "default_class"
            )
        return known.per_request


class ShardRule(StrEnum):
    """When a request leaves its cell.

    AND: failure is likely and the need does not fit. So what fits stays, and a cell that suffers
    from its load is relieved of what it cannot carry.

    OR: the same, and besides for either reason alone: the need does not fit, or a failure is
    likely *that no relief of load cures* (a leak, a full disk, a maintenance): then the small
    requests are lost with the cell as well. Risk that does depend on load stays under AND.
    """

    AND = "and"
    OR = "or"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPolicy:
    """How `shard_request` decides.

    Attributes:
        threshold_p: A failure is likely when it is more probable than this; in (0, 1).
        horizon_s: Within so long; > 0.
        rule: See there.
        reserve_ratio: Part of each alternative's capacity that only critical requests may fill;
            in [0, 1).
        latency_ms: Round trip between an origin and a cell's region; a pair that is missing is 0
            within a region, and farther than all others across.
    """

    threshold_p: float = 0.5
    horizon_s: float = 300.0
    rule: ShardRule = ShardRule.AND
    reserve_ratio: float = 0.1
    latency_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold_p < 1.0:
            raise InvalidValueError(f"threshold_p is {self.threshold_p}, must lie in (0, 1)")
        if not 0.0 < self.horizon_s < inf:
            raise InvalidValueError(f"horizon_s is {self.horizon_s}, must be finite and > 0")
        if not 0.0 <= self.reserve_ratio < 1.0:
            raise InvalidValueError(f"reserve_ratio is {self.reserve_ratio}, must lie in [0, 1)")
        for pair, latency_ms in self.latency_ms.items():
            if not latency_ms >= 0.0:
                raise InvalidValueError(f"latency_ms of {pair} is {latency_ms}, must be 0 or more")
        if self.rule not in set(ShardRule):
            raise InvalidValueError(
                f"rule is {self.rule!r}, must be ShardRule.AND or ShardRule.OR"
            )

    def distance_ms(self, origin: str, region: str) -> float:
        """From an origin to a region; inf = unknown."""
        return self.latency_ms.get((origin, region), 0.0 if origin == region else inf)
