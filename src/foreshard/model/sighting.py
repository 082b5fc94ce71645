"""This module is that a path was asked for, as whoever stands at the door tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from foreshard.model.errors import InvalidValueError

__all__ = ["Sighting", "Sightings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """That a path was asked for.

    Attributes:
        method: As sent.
        path: As sent; what follows `?` or `#` is ignored.
        requests: How often, > 0.
        told: By resource, how many of them said what they cost (> 0), and the sum (>= 0).
    """

    method: str
    path: str
    requests: float = 1.0
    told: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise InvalidValueError(f"sighting: path is {self.path!r}, must start with '/'")
        if not 0.0 < self.requests < inf:
            raise InvalidValueError(f"sighting: requests is {self.requests}, must be > 0")
        for resource, (count, total) in self.told.items():
            if not (0.0 < count < inf and 0.0 <= total < inf):
                raise InvalidValueError(
                    f"sighting of {self.path}: {resource} is {total} of {count} requests, "
                    "must be 0 or more of more than none"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """What was asked for since the last look.

    Attributes:
        seen: Each method and path once.
        left_out: Requests that nobody had room for, or whose path is none to be folded; >= 0.
    """

    seen: tuple[Sighting, ...] = ()
    left_out: float = 0.0
