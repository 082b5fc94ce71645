"""This module is what regions tell each other when each has an engine of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from foreshard.model.errors import InvalidValueError

__all__ = ["Aggregate", "Membership"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A region's place in a federation.

    Attributes:
        region: Whose cells this engine plans.
        inbound: Origin under which requests of other regions come in; they go no further.
        peers: The other regions; each is one cell of this engine's fleet, by that name.
    """

    region: str
    inbound: str
    peers: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.region in self.peers or len(set(self.peers)) != len(self.peers):
            raise InvalidValueError(
                f"federation: peers of {self.region} are {list(self.peers)}, must be other "
                "regions, each once"
            )
        if self.inbound in {self.region, *self.peers}:
            raise InvalidValueError(
                f"federation: inbound is {self.inbound!r}, must be the name of no region"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A region in a few numbers, by resource, each in what is used or offered in a second.

    Attributes:
        region: Which one.
        made_at_s: When, on the clock of that region.
        offers: What its cells that take work can really serve.
        uses: What is asked of it by its own origin, as far as it may serve that.
        grants: By peer: the most that the peer may send here, all that it sends already counted
            in; together they fit beside `uses`. A resource that is missing bounds nothing.
    """

    region: str
    made_at_s: float
    offers: Mapping[str, float]
    uses: Mapping[str, float]
    grants: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isfinite(self.made_at_s):
            raise InvalidValueError(
                f"aggregate of {self.region}: made_at_s is {self.made_at_s}, must be finite"
            )
        for what, amounts in (("offers", self.offers), ("uses", self.uses), *self.grants.items()):
            for resource, amount in amounts.items():
                if not 0.0 <= amount < float("inf"):
                    raise InvalidValueError(
                        f"aggregate of {self.region}: {what} {amount} of {resource}, must be 0 "
                        "or more and finite"
                    )
