"""This module is what can go wrong in a cell, as a function of the time since it began."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from foreshard.model.errors import InvalidValueError

__all__ = ["Fault", "FaultKind", "Faults"]


class FaultKind(StrEnum):
    """What sort of fault; see `Fault` for what magnitude and duration mean to each."""

    LEAK = "leak"
    SLOW_DEPENDENCY = "slow_dependency"
    CREEP = "creep"
    THROTTLE = "throttle"
    DISK_FILL = "disk_fill"
    POOL = "pool"
    MUTE = "mute"
    LATENCY = "latency"
    ERRORS = "errors"
    CRASH = "crash"
    MAINTENANCE = "maintenance"

    @property
    def is_outside(self) -> bool:
        """Whether its cause is outside the process, so that a restart does not cure it."""
        return self in OUTSIDE

    @property
    def is_of_classes(self) -> bool:
        """Whether it may befall the requests of one class alone."""
        return self in {FaultKind.LATENCY, FaultKind.ERRORS}

    @property
    def is_external(self) -> bool:
        """Whether it is done *to* the process rather than in it."""
        return self in {FaultKind.CRASH, FaultKind.MAINTENANCE}


OUTSIDE: Final = frozenset(
    {FaultKind.SLOW_DEPENDENCY, FaultKind.THROTTLE, FaultKind.LATENCY, FaultKind.ERRORS}
)
# Magnitudes of these are seconds.
WAITS: Final = frozenset({FaultKind.SLOW_DEPENDENCY, FaultKind.LATENCY})
# What `foreshard fault CELL KIND` means when nothing more is said.
DEFAULT_MAGNITUDES: Final[Mapping[FaultKind, float]] = MappingProxyType(
    {
        FaultKind.LEAK: 1.0,
        FaultKind.SLOW_DEPENDENCY: 0.8,
        FaultKind.CREEP: 0.4,
        FaultKind.THROTTLE: 0.4,
        FaultKind.DISK_FILL: 1.0,
        FaultKind.POOL: 1.0,
        FaultKind.MUTE: 1.0,
        FaultKind.LATENCY: 0.3,
        FaultKind.ERRORS: 0.5,
        FaultKind.CRASH: 1.0,
        FaultKind.MAINTENANCE: 1.0,
    }
)
DEFAULT_DURATION_S: Final = 40.0
KEYS: Final = frozenset({"cell", "kind", "magnitude", "duration_s", "elapsed_s", "request_class"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one cell. It grows over `duration_s` and then stays until it is cleared.

    | kind            | magnitude at its end                                | unit       |
    |-----------------|-----------------------------------------------------|------------|
    | leak            | share of the room left; 1 goes on until the kill    | (0, 1]     |
    | slow_dependency | added wait                                          | s, > 0     |
    | creep           | speed of the cpus                                   | (0, 1)     |
    | throttle        | the same, and a restart does not cure it            | (0, 1)     |
    | disk_fill       | share of the room                                   | (0, 1]     |
    | pool            | share of the connections that are gone              | (0, 1]     |
    | mute            | none; metrics are no longer answered, at once       |            |
    | latency         | added wait                                          | s, > 0     |
    | errors          | share of requests answered 503 at once              | (0, 1]     |
    | crash           | none; happens at once                               |            |
    | maintenance     | none; `duration_s` is how long the host is off      |            |

    Attributes:
        kind: What sort.
        magnitude: See above.
        duration_s: > 0.
        elapsed_s: How much of it is over already when it is injected; >= 0.
        request_class: The only one that suffers from latency or errors; "" = all.
    """

    kind: FaultKind
    magnitude: float
    duration_s: float = DEFAULT_DURATION_S
    elapsed_s: float = 0.0
    request_class: str = ""

    def __post_init__(self) -> None:
        if self.request_class and not self.kind.is_of_classes:
            raise InvalidValueError(
                f"fault {self.kind}: request_class is {self.request_class!r}, but it befalls all "
                "classes alike; leave it out"
            )
        if not (self.duration_s > 0.0 and math.isfinite(self.duration_s)):
            raise InvalidValueError(
                f"fault {self.kind}: duration_s is {self.duration_s}, must be > 0 and finite"
            )
        if not (self.elapsed_s >= 0.0 and math.isfinite(self.elapsed_s)):
            raise InvalidValueError(
                f"fault {self.kind}: elapsed_s is {self.elapsed_s}, must be 0 or more"
            )
        top = 60.0 if self.kind in WAITS else 1.0
        if not 0.0 < self.magnitude <= top:
            raise InvalidValueError(
                f"fault {self.kind}: magnitude is {self.magnitude}, must be over 0 and at most "
                f"{top:g}"
            )

    @classmethod
    def of(cls, kind: FaultKind, *, duration_s: float = DEFAULT_DURATION_S) -> Fault:
        """A fault of that kind with its usual magnitude."""
        return cls(kind=kind, magnitude=DEFAULT_MAGNITUDES[kind], duration_s=duration_s)

    @classmethod
    def from_json(cls, body: object) -> Fault:
        """Read `{"kind": ..., "magnitude"?, "duration_s"?, "elapsed_s"?}`; "cell" is ignored.

        Raises:
            InvalidValueError: It says nothing of the kind.
        """
        if not isinstance(body, dict):
            raise InvalidValueError('fault: the body must be an object like {"kind": "leak"}')
        unknown = sorted(str(key) for key in body if key not in KEYS)
        if unknown:
            raise InvalidValueError(
                f"fault: {', '.join(unknown)} is unknown; use {', '.join(sorted(KEYS))}"
            )
        try:
            kind = FaultKind(str(body.get("kind")))
        except ValueError:
            raise InvalidValueError(
                f"fault: kind is {body.get('kind')!r}, must be one of {', '.join(FaultKind)}"
            ) from None
        return cls(
            kind=kind,
            magnitude=_number(body, "magnitude", DEFAULT_MAGNITUDES[kind]),
            duration_s=_number(body, "duration_s", DEFAULT_DURATION_S),
            elapsed_s=_number(body, "elapsed_s", 0.0),
            request_class=str(body.get("request_class", "")),
        )

    def to_json(self) -> dict[str, str | float]:
        """What `from_json` reads."""
        return {
            "kind": self.kind.value,
            "magnitude": self.magnitude,
            "duration_s": self.duration_s,
            "elapsed_s": self.elapsed_s,
            **({"request_class": self.request_class} if self.request_class else {}),
        }

    def older(self, by_s: float) -> Fault:
        """The same fault, begun that much earlier."""
        return replace(self, elapsed_s=self.elapsed_s + by_s)


class Faults:
    """The faults that a cell has now, at most one of a kind; told the time."""

    def __init__(self) -> None:
        self._began: dict[FaultKind, tuple[Fault, float]] = {}

    def inject(self, fault: Fault, *, now_s: float) -> None:
        """Begin a fault; one of the same kind is replaced."""
        self._began[fault.kind] = (fault, now_s - fault.elapsed_s)

    def clear(self) -> None:
        """End all faults."""
        self._began.clear()

    def has(self, kind: FaultKind) -> bool:
        """Whether there is a fault of that kind, however small it still is."""
        return kind in self._began

    def growth(self, kind: FaultKind, *, now_s: float) -> float:
        """Magnitude times the share of its duration that is over; 0 without such a fault."""
        if kind not in self._began:
            return 0.0
        fault, began_s = self._began[kind]
        return fault.magnitude * min(1.0, (now_s - began_s) / fault.duration_s)

    def growth_for(self, kind: FaultKind, request_class: str, *, now_s: float) -> float:
        """As `growth`, for the requests of a class."""
        if kind not in self._began:
            return 0.0
        fault, _ = self._began[kind]
        suffers = fault.request_class in {"", request_class}
        return self.growth(kind, now_s=now_s) if suffers else 0.0

    def unbounded_growth(self, kind: FaultKind, *, now_s: float) -> float:
        """As `growth`, but a full magnitude of 1 goes on growing past its duration."""
        if kind not in self._began:
            return 0.0
        fault, began_s = self._began[kind]
        if fault.magnitude < 1.0:
            return self.growth(kind, now_s=now_s)
        return (now_s - began_s) / fault.duration_s

    def speed(self, *, now_s: float) -> float:
        """Of the cpus: 1 when well, falling in a line to a creep's or a throttle's magnitude."""
        speed = 1.0
        for kind in (FaultKind.CREEP, FaultKind.THROTTLE):
            if kind in self._began:
                fault, began_s = self._began[kind]
                over = min(1.0, (now_s - began_s) / fault.duration_s)
                speed = min(speed, 1.0 - (1.0 - fault.magnitude) * over)
        return speed


def _number(body: Mapping[str, object], key: str, default: float) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"fault: {key} is {value!r}, must be a number")
    return float(value)
